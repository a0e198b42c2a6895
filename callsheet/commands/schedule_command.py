"""`callsheet schedule`: stored rules, their due times and their ledgers."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from callsheet.commands import output, schedule_tables
from callsheet.commands.common import (
    Arguments,
    Usage,
    limit,
    positive,
    read_time,
    say,
    selected,
    selection,
    states_of_schedules,
    verb,
)
from callsheet.commands.following import follow
from callsheet.commands.inputs import read_json
from callsheet.commands.schedule_put import configure_put, trigger_flags, trigger_words
from callsheet.models import Schedule, Started

if TYPE_CHECKING:
    from callsheet.client import Client

STARTED: output.Columns[Started] = (("started", lambda one: one.id), ("schedule", lambda one: one.schedule or ""))
NOTHING_DUE = "Nothing is due."
NO_ROW = "No due time has come yet."
NO_SCHEDULE = "There is no such schedule; `callsheet schedule put` makes one."


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
    trigger.add_argument("--input", metavar="JSON|@FILE|-", help="another input, as JSON, a file, or standard input")
    trigger.add_argument("--follow", action="store_true", help="show outputs, log and progress as they come")


def _looking(verbs: Any) -> None:
    preview = verb(verbs, "preview", _preview, "show the next due times of a trigger, without saving anything")
    preview.add_argument("expression", nargs="?", metavar="CRON", help="a cron expression, in quotes")
    trigger_flags(preview)
    preview.add_argument("--from", dest="start", type=read_time, metavar="TIME", help="due times after this (now)")
    limit(preview, 10, "how many")
    ledger = verb(verbs, "ledger", _ledger, "show what became of each due time, newest first")
    ledger.add_argument("id", help="id of a schedule")
    limit(ledger, 50, "how many rows at most")
    upcoming = verb(verbs, "upcoming", _upcoming, "show the next due times, of one schedule or of all")
    upcoming.add_argument("id", nargs="?", help="id of a schedule; all without")
    upcoming.add_argument("--until", type=read_time, metavar="TIME", help="of all: due times until then")
    limit(upcoming, 10, "how many")
    explain = verb(verbs, "explain", _explain, "tell why it ran at some time, or did not")
    explain.add_argument("id", help="id of a schedule")
    explain.add_argument("--at", type=read_time, metavar="TIME", help="which time (the latest due time)")


def _due_times(verbs: Any) -> None:
    skip = verb(verbs, "skip", _skip, "leave out the next due times, or one")
    skip.add_argument("id", help="id of a schedule")
    which = skip.add_mutually_exclusive_group()
    which.add_argument("--count", type=positive, metavar="N", help="how many of the next ones (1)")
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
    output.show(found, schedule_tables.LIST, arguments.output, lambda one: one.id, none=NO_SCHEDULE)


def _get(client: "Client", arguments: Arguments) -> None:
    found = client.schedules.get(arguments.id)
    output.show_one(found, schedule_tables.WHOLE, arguments.output, lambda one: one.id)


def _rm(client: "Client", arguments: Arguments) -> None:
    def done() -> Iterator[tuple[dict[str, str], str]]:
        for name in selected(client, arguments):
            client.schedules.delete(name, running=arguments.running)
            yield {"id": name}, f"{name} is deleted."

    output.tell(done(), arguments.output, lambda one: one["id"])


def _pause(client: "Client", arguments: Arguments) -> None:
    def done() -> Iterator[tuple[Schedule, str]]:
        for name in selected(client, arguments):
            found = client.schedules.pause(name, arguments.reason, arguments.until)
            until = f" until {output.when(found.paused_until)}" if found.paused_until else ""
            yield found, f"{name} is paused{until}."

    output.tell(done(), arguments.output, lambda one: one.id)


def _resume(client: "Client", arguments: Arguments) -> None:
    def done() -> Iterator[tuple[Schedule, str]]:
        for name in selected(client, arguments):
            found = client.schedules.resume(name)
            yield found, f"{name} is {found.state}{schedule_tables.next_due(found)}."

    output.tell(done(), arguments.output, lambda one: one.id)


def _trigger(client: "Client", arguments: Arguments) -> int | None:
    given = msgspec.UNSET if arguments.input is None else read_json(arguments.input, "--input")
    names = list(selected(client, arguments))
    if arguments.follow and len(names) != 1:
        raise Usage("--follow takes one schedule.")
    started = (client.schedules.trigger(name, given, overlap=arguments.overlap) for name in names)
    if arguments.follow:
        return follow(client, next(started).id)
    output.show(started, STARTED, arguments.output, lambda one: one.id, none="Nothing was started.")
    if names:
        say("`callsheet instance watch ID` follows a run.")
    return None


def _preview(client: "Client", arguments: Arguments) -> None:
    words = trigger_words(arguments, cron=arguments.expression)
    found = client.schedules.preview(after=arguments.start, limit=arguments.limit, **words)
    if arguments.output == "table":
        output.line(found.description)
    output.show(found.items, schedule_tables.DUE, arguments.output, lambda one: one.local, none=NOTHING_DUE)


def _ledger(client: "Client", arguments: Arguments) -> None:
    rows = schedule_tables.some(client.schedules.ledger(arguments.id), arguments.limit)
    output.show(rows, schedule_tables.LEDGER, arguments.output, lambda one: one.instance or one.fate, none=NO_ROW)


def _upcoming(client: "Client", arguments: Arguments) -> None:
    if arguments.id:
        found = list(client.schedules.upcoming(arguments.id, arguments.limit))
    else:
        found = client.upcoming(arguments.limit, arguments.until)
    output.show(found, schedule_tables.COMING, arguments.output, lambda one: one.schedule, none=NOTHING_DUE)


def _explain(client: "Client", arguments: Arguments) -> None:
    found = client.schedules.explain(arguments.id, arguments.at)
    output.show_one(found, schedule_tables.EXPLAINED, arguments.output, lambda one: one.schedule)


def _skip(client: "Client", arguments: Arguments) -> None:
    _tell_skips(client.schedules.skip(arguments.id, arguments.count, arguments.at), arguments)


def _unskip(client: "Client", arguments: Arguments) -> None:
    _tell_skips(client.schedules.unskip(arguments.id, arguments.at), arguments)


def _tell_skips(found: Schedule, arguments: Arguments) -> None:
    if arguments.output == "table":
        say(f"{found.id} leaves out " + (", ".join(output.when(one) for one in found.skips) or "nothing") + ".")
    else:
        output.show_one(found, (), arguments.output, lambda one: one.id)


def _backfill(client: "Client", arguments: Arguments) -> None:
    span = arguments.start, arguments.end
    found = client.schedules.backfill(arguments.id, *span, overlap=arguments.overlap, dry_run=arguments.dry_run)
    output.show(found.items, schedule_tables.FILLED, arguments.output, lambda one: one.instance or "", none="")
    done = "would be started" if found.dry_run else "started"
    say(f"{found.count} {done}, {found.left_out} left out.")
