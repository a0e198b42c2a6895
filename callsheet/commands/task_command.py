"""`callsheet task`: what there is in the code, run by hand."""

import argparse
from typing import TYPE_CHECKING

from callsheet.commands import output
from callsheet.commands.common import Arguments, verb
from callsheet.commands.following import conclude, follow, say_how_to_watch, wait
from callsheet.commands.inputs import read_input
from callsheet.commands.schemas import fields, in_words
from callsheet.models import Started, Task

if TYPE_CHECKING:
    from callsheet.client import Client

LIST: output.Columns[Task] = (
    ("name", lambda one: one.name),
    ("input", lambda one: ", ".join(fields(one.input_schema))),
    ("about", lambda one: one.doc.split("\n", 1)[0]),
)
WHOLE: output.Columns[Task] = (
    ("name", lambda one: one.name),
    ("about", lambda one: one.doc),
    ("from", lambda one: one.origin),
    ("timeout", lambda one: output.length(one.timeout)),
    ("retries", lambda one: str(one.retries)),
    ("at once", lambda one: str(one.max_running or "")),
    ("state", lambda one: one.state or ""),
    ("input", lambda one: in_words(one.input_schema)),
    ("output", lambda one: in_words(one.output_schema)),
)
STARTED: output.Columns[Started] = (("started", lambda one: one.id),)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    verb(verbs, "ls", _ls, "list the tasks")
    get = verb(verbs, "get", _get, "show a task with the types of its input and output")
    get.add_argument("name", help="name of the task")
    run = verb(verbs, "run", _run, "start an instance of a task now")
    run.add_argument("name", help="name of the task")
    run.add_argument("pairs", nargs="*", metavar="key=value", help="fields of the input; a.b=1 reaches inside")
    run.set_defaults(many="pairs")
    run.add_argument("--input", metavar="JSON|@FILE|-", help="the input as JSON, from a file, or from standard input")
    run.add_argument("--timeout", metavar="30s", help="end it after this")
    run.add_argument("--tag", action="append", metavar="TAG", help="tag of the instance; may be given again")
    how = run.add_mutually_exclusive_group()
    how.add_argument("--wait", action="store_true", help="wait for the end, and print what it sent")
    how.add_argument("--follow", action="store_true", help="show outputs, log and progress as they come")


def _ls(client: "Client", arguments: Arguments) -> None:
    output.show(client.tasks.list(), LIST, arguments.output, lambda one: one.name)


def _get(client: "Client", arguments: Arguments) -> None:
    output.show_one(client.tasks.get(arguments.name), WHOLE, arguments.output, lambda one: one.name)


def _run(client: "Client", arguments: Arguments) -> int | None:
    schema = client.tasks.get(arguments.name).input_schema if arguments.pairs else {}
    given = read_input(arguments.input, arguments.pairs, schema)
    started = client.tasks.start(arguments.name, given, timeout=arguments.timeout, tags=arguments.tag)
    if not arguments.wait and not arguments.follow:
        output.show_one(started, STARTED, arguments.output, lambda one: one.id)
        say_how_to_watch(started.id)
        return None
    if arguments.follow:
        return follow(client, started.id)
    over = wait(client, started.id)
    if arguments.output in ("json", "jsonl"):
        output.show_one(over, (), arguments.output, lambda one: one.id)
    else:
        for sent in client.instances.outputs(started):
            output.line(output.compact(sent.value))
    return conclude(over)
