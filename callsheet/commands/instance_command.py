"""`callsheet instance`: runs, past and present."""

import argparse
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from callsheet.commands import output
from callsheet.commands.common import Arguments, Usage, limit, read_time, say, verb
from callsheet.commands.following import follow, log_line, say_how_to_watch
from callsheet.lifecycle import INSTANCE_STATES
from callsheet.models import Instance, Output, Stack, Started

if TYPE_CHECKING:
    from callsheet.client import Client


def _progress(one: Instance) -> str:
    step = one.progress
    return "" if not step else f"{step.done:g} of {'?' if step.total is None else f'{step.total:g}'} {step.note}"


LIST: output.Columns[Instance] = (
    ("id", lambda one: one.id),
    ("task", lambda one: one.task),
    ("schedule", lambda one: one.schedule or ""),
    ("state", lambda one: one.state),
    ("created", lambda one: output.when(one.queued_at)),
    ("took", lambda one: output.length(one.seconds)),
)
WHOLE: output.Columns[Instance] = (
    *LIST[:4],
    ("cause", lambda one: one.cause),
    ("attempt", lambda one: str(one.attempt)),
    ("due", lambda one: output.when(one.due_at)),
    ("created", lambda one: output.when(one.queued_at)),
    ("waits for", lambda one: one.waits_for or ""),
    ("started", lambda one: output.when(one.started_at)),
    ("ended", lambda one: output.when(one.finished_at)),
    ("took", lambda one: output.length(one.seconds)),
    ("late by", lambda one: output.length(one.late_by)),
    ("node", lambda one: one.node or ""),
    ("tags", lambda one: ", ".join(one.tags)),
    ("input", lambda one: output.compact(one.input)),
    ("progress", _progress),
    ("cancelled", lambda one: f"by {one.cancel.by}: {one.cancel.reason or 'no reason given'}" if one.cancel else ""),
    ("stuck at", lambda one: one.stuck_at or ""),
    ("error", lambda one: f"{one.error.type}: {one.error.message}" if one.error else ""),
    ("traceback", lambda one: (one.error.traceback or "").rstrip() if one.error else ""),
    ("outputs", lambda one: "\n".join(output.compact(value) for value in one.outputs or ())),
)
NO_RUN, NO_OUTPUT = "There is no such run.", "It sent nothing."
STARTED: output.Columns[Started] = (("started", lambda one: one.id),)
OUTPUT: output.Columns[Output] = (
    ("at", lambda one: output.local(one.at)),
    ("value", lambda one: output.compact(one.value)),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    ls = verb(verbs, "ls", _ls, "list runs, newest first")
    ls.add_argument("--state", choices=INSTANCE_STATES, help="only those in this state")
    for name in ("task", "schedule", "tag"):
        ls.add_argument(f"--{name}", help=f"only those of this {name}")
    ls.add_argument("--since", type=read_time, metavar="TIME", help="created at or after")
    ls.add_argument("--until", type=read_time, metavar="TIME", help="created before")
    limit(ls, 50, "how many at most")
    _one(verbs, "get", _get, "show a run")
    cancel = verb(verbs, "cancel", _cancel, "cancel runs: those named, or all unfinished ones that match")
    cancel.add_argument("id", nargs="*", help="id or URI of an instance")
    cancel.set_defaults(many="id")
    for name in ("task", "schedule", "tag"):
        cancel.add_argument(f"--{name}", help=f"all of this {name}")
    cancel.add_argument("--reason", help="why; it stands in the record")
    rerun = _one(verbs, "rerun", _rerun, "run again with the same input")
    rerun.add_argument("--follow", action="store_true", help="show outputs, log and progress as they come")
    outputs = _one(verbs, "outputs", _outputs, "print what it sent")
    outputs.add_argument("-f", "--follow", action="store_true", help="until it is over")
    logs = _one(verbs, "logs", _logs, "print what it logged")
    logs.add_argument("-f", "--follow", action="store_true", help="until it is over")
    _one(verbs, "stack", _stack, "show where it stands in its code right now")
    _one(verbs, "watch", _watch, "follow it to its end; the exit code is that of the run")


def _one(verbs: object, name: str, body: object, help_: str) -> argparse.ArgumentParser:
    parser = verb(verbs, name, body, help_)  # type: ignore[arg-type]
    parser.add_argument("id", help="id or URI of an instance")
    return parser


def _ls(client: "Client", arguments: Arguments) -> None:
    found = client.instances.list(
        state=arguments.state,
        task=arguments.task,
        schedule=arguments.schedule,
        tag=arguments.tag,
        since=arguments.since,
        until=arguments.until,
        page=min(arguments.limit, 200),
    )
    output.show(
        islice(found, arguments.limit), LIST, arguments.output, lambda one: one.id, none="There is no such run."
    )


def _get(client: "Client", arguments: Arguments) -> None:
    output.show_one(client.instances.get(arguments.id), WHOLE, arguments.output, lambda one: one.id)


def _cancel(client: "Client", arguments: Arguments) -> None:
    wanted = {"task": arguments.task, "schedule": arguments.schedule, "tag": arguments.tag}
    if bool(arguments.id) == any(wanted.values()):
        raise Usage("Name instances, or all that match with --task, --schedule or --tag.")
    if not arguments.id:
        count = client.instances.cancel_matching(**wanted, reason=arguments.reason)
        output.tell([({"count": count}, f"Cancelled {count}.")], arguments.output, lambda one: str(one["count"]))
        return

    def done() -> Iterator[tuple[Instance, str]]:
        for name in arguments.id:
            found = client.instances.cancel(name, arguments.reason)
            over = f"{found.id} is over already: {found.outcome}."
            yield found, over if found.outcome else f"{found.id} is told to end."

    output.tell(done(), arguments.output, lambda one: one.id)


def _rerun(client: "Client", arguments: Arguments) -> int | None:
    started = client.instances.rerun(arguments.id)
    if arguments.follow:
        return follow(client, started.id)
    output.show_one(started, STARTED, arguments.output, lambda one: one.id)
    say_how_to_watch(started.id)
    return None


def _outputs(client: "Client", arguments: Arguments) -> None:
    read = client.instances.follow_outputs if arguments.follow else client.instances.outputs
    if arguments.follow and arguments.output == "table":
        for one in read(arguments.id):
            output.line(output.compact(one.value))
        return
    output.show(
        read(arguments.id), OUTPUT, arguments.output, lambda one: output.compact(one.value), none="It sent nothing."
    )


def _logs(client: "Client", arguments: Arguments) -> None:
    read = client.instances.follow_log if arguments.follow else client.instances.log
    if arguments.output == "table":
        for one in read(arguments.id):
            output.line(log_line(one))
        return
    output.show(read(arguments.id), (), arguments.output, lambda one: one.text)


def _stack(client: "Client", arguments: Arguments) -> None:
    found = client.instances.stack(arguments.id)
    if not found.running:
        say("It does not run right now.")
    output.show_one(found, (("frames", _frames),), arguments.output, _frames)


def _watch(client: "Client", arguments: Arguments) -> int:
    return follow(client, arguments.id.rsplit("/", 1)[-1])


def _frames(found: Stack) -> str:
    return "\n".join(found.frames)
