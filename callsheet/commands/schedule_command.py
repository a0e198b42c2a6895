"""`callsheet schedule`: stored rules, their due times and their ledgers."""

import argparse
from typing import TYPE_CHECKING, Any

from callsheet.commands import output, schedule_tables
from callsheet.commands.common import Arguments, read_time, say, selected, selection, states_of_schedules, verb
from callsheet.commands.schedule_put import configure_put, trigger_flags, trigger_words
from callsheet.models import Started

if TYPE_CHECKING:
    from callsheet.client import Client

STARTED: output.Columns[Started] = (("started", lambda one: one.id), ("schedule", lambda one: one.schedule or ""))


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    ls = verb(verbs, "ls", _ls, "list schedules")
    ls.add_argument("--task", help="only those of this task")
    ls.add_argument("--state", choices=states_of_schedules(), help="only those in this state")
    ls.add_argument("--tag", help="only those with this tag")
    verb(verbs, "get", _get, "show a schedule").add_argument("id", help="id of a schedule")
    configure_put(verbs)
    _changing(verbs)
    _looking(verbs)
    _due_times(verbs)


def _changing(verbs: Any) -> None:
    rm = verb(verbs, "rm", _rm, "delete schedules; their history stays")
    selection(rm)
    rm.add_argument("--running", choices=("finish", "cancel"), help="what becomes of their running instances (finish)")
    pause = verb(verbs, "pause", _pause, "plan nothing until resumed")
    selection(pause)
    pause.add_argument("--reason", help="why; it stands beside the state")
    pause.add_argument("--until", type=read_time, metavar="TIME", help="when the pause ends by itself")
    selection(verb(verbs, "resume", _resume, "plan again, strictly in the future"))
    trigger = verb(verbs, "trigger", _trigger, "run now, without moving the next due time")
    selection(trigger)
    trigger.add_argument("--overlap", choices=("skip", "queue", "replace", "allow"), help="while one goes on (refuse)")


def _looking(verbs: Any) -> None:
    preview = verb(verbs, "preview", _preview, "show the next due times of a trigger, without saving anything")
    preview.add_argument("expression", nargs="?", metavar="CRON", help="a cron expression, in quotes")
    trigger_flags(preview)
    preview.add_argument("--from", dest="start", type=read_time, metavar="TIME", help="due times after this (now)")
    preview.add_argument("-n", "--limit", type=int, default=10, metavar="N", help="how many (10)")
    ledger = verb(verbs, "ledger", _ledger, "show what became of each due time, newest first")
    ledger.add_argument("id", help="id of a schedule")
    ledger.add_argument("--limit", type=int, default=50, metavar="N", help="how many rows at most (50)")
    upcoming = verb(verbs, "upcoming", _upcoming, "show the next due times, of one schedule or of all")
    upcoming.add_argument("id", nargs="?", help="id of a schedule; all without")
    upcoming.add_argument("--until", type=read_time, metavar="TIME", help="of all: due times until then")
    upcoming.add_argument("-n", "--limit", type=int, default=10, metavar="N", help="how many (10)")
    explain = verb(verbs, "explain", _explain, "tell why it ran at some time, or did not")
    explain.add_argument("id", help="id of a schedule")
    explain.add_argument("--at", type=read_time, metavar="TIME", help="which time (the latest due time)")


def _due_times(verbs: Any) -> None:
    skip = verb(verbs, "skip", _skip, "leave out the next due times, or one")
    skip.add_argument("id", help="id of a schedule")
    which = skip.add_mutually_exclusive_group()
    which.add_argument("--count", type=int, metavar="N", help="how many of the next ones (1)")
    which.add_argument("--at", type=read_time, metavar="TIME", help="the one at this time")
    unskip = verb(verbs, "unskip", _unskip, "let run after all what was to be skipped")
    unskip.add_argument("id", help="id of a schedule")
    unskip.add_argument("--at", type=read_time, metavar="TIME", help="only the one at this time (all)")
    backfill = verb(verbs, "backfill", _backfill, "run what never ran of a range of the past")
    backfill.add_argument("id", help="id of a schedule")
    backfill.add_argument("--from", dest="start", type=read_time, required=True, metavar="TIME", help="first due time")
    backfill.add_argument("--to", dest="end", type=read_time, required=True, metavar="TIME", help="last due time")
    backfill.add_argument("--overlap", choices=("skip", "queue", "replace", "allow"), help="allow: all at once")
    backfill.add_argument("--dry-run", action="store_true", help="only tell what would run")


def _ls(client: "Client", arguments: Arguments) -> None:
    found = client.schedules.list(task=arguments.task, state=arguments.state, tag=arguments.tag)
    output.show(found, schedule_tables.LIST, arguments.output, lambda one: one.id)


def _get(client: "Client", arguments: Arguments) -> None:
    found = client.schedules.get(arguments.id)
    output.show_one(found, schedule_tables.WHOLE, arguments.output, lambda one: one.id)


def _rm(client: "Client", arguments: Arguments) -> None:
    for name in selected(client, arguments):
        client.schedules.delete(name, running=arguments.running)
        say(f"{name} is deleted.")


def _pause(client: "Client", arguments: Arguments) -> None:
    for name in selected(client, arguments):
        found = client.schedules.pause(name, arguments.reason, arguments.until)
        until = f" until {output.when(found.paused_until)}" if found.paused_until else ""
        say(f"{name} is paused{until}.")


def _resume(client: "Client", arguments: Arguments) -> None:
    for name in selected(client, arguments):
        found = client.schedules.resume(name)
        say(f"{name} is {found.state}; next due {output.when(found.next_due) or 'never'}.")


def _trigger(client: "Client", arguments: Arguments) -> None:
    for name in selected(client, arguments):
        started = client.schedules.trigger(name, overlap=arguments.overlap)
        output.show_one(started, STARTED, arguments.output, lambda one: one.id)


def _preview(client: "Client", arguments: Arguments) -> None:
    words = trigger_words(arguments, cron=arguments.expression)
    found = client.schedules.preview(after=arguments.start, limit=arguments.limit, **words)
    if arguments.output == "table":
        output.line(found.description)
    output.show(found.items, schedule_tables.DUE, arguments.output, lambda one: one.local)


def _ledger(client: "Client", arguments: Arguments) -> None:
    rows = schedule_tables.some(client.schedules.ledger(arguments.id), arguments.limit)
    output.show(rows, schedule_tables.LEDGER, arguments.output, lambda one: one.instance or one.fate)


def _upcoming(client: "Client", arguments: Arguments) -> None:
    if arguments.id:
        found = list(client.schedules.upcoming(arguments.id, arguments.limit))
    else:
        found = client.upcoming(arguments.limit, arguments.until)
    output.show(found, schedule_tables.COMING, arguments.output, lambda one: one.schedule)


def _explain(client: "Client", arguments: Arguments) -> None:
    found = client.schedules.explain(arguments.id, arguments.at)
    output.show_one(found, schedule_tables.EXPLAINED, arguments.output, lambda one: one.schedule)


def _skip(client: "Client", arguments: Arguments) -> None:
    found = client.schedules.skip(arguments.id, arguments.count, arguments.at)
    say(f"{found.id} leaves out " + ", ".join(output.when(one) for one in found.skips) + ".")


def _unskip(client: "Client", arguments: Arguments) -> None:
    found = client.schedules.unskip(arguments.id, arguments.at)
    say(f"{found.id} leaves out " + (", ".join(output.when(one) for one in found.skips) or "nothing") + ".")


def _backfill(client: "Client", arguments: Arguments) -> None:
    span = arguments.start, arguments.end
    found = client.schedules.backfill(arguments.id, *span, overlap=arguments.overlap, dry_run=arguments.dry_run)
    output.show(found.items, schedule_tables.FILLED, arguments.output, lambda one: one.instance or "")
    done = "would be started" if found.dry_run else "started"
    say(f"{found.count} {done}, {found.left_out} left out.")
