"""`callsheet schedule put`: a schedule from flags, or from a document."""

import argparse
import tomllib
from typing import TYPE_CHECKING, Any

import msgspec

from callsheet.commands import output, schedule_tables
from callsheet.commands.common import Arguments, Usage, positive, read_time, say, verb
from callsheet.commands.documents import plain_document
from callsheet.commands.inputs import read_input, read_text

if TYPE_CHECKING:
    from callsheet.client import Client

TRIGGERS = ("every", "cron", "at", "after")


def trigger_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that make a trigger."""
    parser.add_argument("--every", metavar="30s", help="at this interval")
    parser.add_argument("--cron", metavar="EXPRESSION", help="at the times of a cron expression")
    parser.add_argument("--at", type=read_time, metavar="TIME", help="once, at this time")
    parser.add_argument("--after", metavar="ID", help="when a run of this schedule has ended")
    parser.add_argument("--on", choices=("success", "failure", "any"), help="with --after: how it ended (success)")
    parser.add_argument("--timezone", "--tz", metavar="ZONE", help="with --cron: IANA time zone (UTC)")
    parser.add_argument("--anchor", type=read_time, metavar="TIME", help="with --every: one of its due times")


def trigger_words(arguments: Arguments, **more: Any) -> dict[str, Any]:
    """Return the words of a trigger that are given."""
    words = {name: getattr(arguments, name) for name in (*TRIGGERS, "on", "timezone", "anchor")}
    words |= {name: value for name, value in more.items() if value is not None}
    if sum(words[name] is not None for name in TRIGGERS) != 1:
        raise Usage("Say when: exactly one of --every, --cron, --at and --after.")
    return {name: value for name, value in words.items() if value is not None}


def configure_put(verbs: Any) -> None:
    """Add the verb."""
    put = verb(verbs, "put", _put, "create a schedule, or replace it whole")
    put.add_argument("id", help="id of the schedule")
    put.add_argument("pairs", nargs="*", metavar="key=value", help="fields of the task's input; a.b=1 reaches inside")
    put.set_defaults(many="pairs")
    put.add_argument("-f", "--file", metavar="FILE|-", help="the whole document, as JSON or TOML, instead of flags")
    put.add_argument("--task", help="name of the task")
    trigger_flags(put)
    put.add_argument("--input", metavar="JSON|@FILE|-", help="the input as JSON, from a file, or from standard input")
    put.add_argument("--overlap", choices=("skip", "queue", "replace", "allow"), help="while one goes on (skip)")
    put.add_argument("--catch-up", choices=("latest", "none", "all"), help="what was due while nobody was up (latest)")
    put.add_argument("--jitter", metavar="30s", help="fire up to this much later")
    put.add_argument("--timeout", metavar="30s", help="end a run after this")
    put.add_argument("--max-runs", type=positive, metavar="N", help="finished after so many runs")
    put.add_argument("--tag", action="append", metavar="TAG", help="tag; may be given again")
    put.add_argument("--new", action="store_true", help="create it, but never replace one")
    put.add_argument("--dry-run", action="store_true", help="only tell what would change, and which due times")


def _put(client: "Client", arguments: Arguments) -> None:
    document = _from_file(arguments.file) if arguments.file else _from_flags(client, arguments)
    task = document.pop("task", None)
    if not isinstance(task, str):
        raise Usage("Say which task: --task NAME, or a document with `task`.")
    if arguments.dry_run:
        would = client.schedules.compare(arguments.id, task, **document)
        output.show_one(would, schedule_tables.COMPARED, arguments.output, lambda one: one.id)
        return
    found = client.schedules.put(arguments.id, task, new=arguments.new, **document)
    if arguments.output == "table":
        say(f"{found.id}: {found.description}{schedule_tables.next_due(found)}.")
    else:
        output.show_one(found, (), arguments.output, lambda one: one.id)


def _from_flags(client: "Client", arguments: Arguments) -> dict[str, Any]:
    schema = client.tasks.get(arguments.task).input_schema if arguments.pairs and arguments.task else {}
    given = read_input(arguments.input, arguments.pairs, schema)
    names = ("task", "overlap", "catch_up", "jitter", "timeout", "max_runs")
    fields = {name: getattr(arguments, name) for name in names} | {"tags": arguments.tag}
    document = {name: value for name, value in fields.items() if value is not None} | trigger_words(arguments)
    return document if given is msgspec.UNSET else document | {"input": given}


def _from_file(name: str) -> dict[str, Any]:
    """Return a document as `schedule get -o json` prints it, or as TOML; what only the service sets is left out."""
    text = read_text(name if name == "-" else f"@{name}")
    try:
        found = msgspec.json.decode(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (msgspec.MsgspecError, tomllib.TOMLDecodeError) as error:
        raise Usage(f"{name} is neither JSON nor TOML: {error}.") from None
    return plain_document(found)
