"""`callsheet webhook`: other servers that are told of events."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callsheet.commands import output
from callsheet.commands.common import FAILED, OK, Arguments, Usage, say, verb
from callsheet.models import Tried, Webhook

if TYPE_CHECKING:
    from callsheet.client import Client


def _state(one: Webhook) -> str:
    return "active" if one.enabled else "disabled"


def _schedules(one: Webhook) -> str:
    return ", ".join(one.schedules) or "all"


NONE = "There is no webhook; `callsheet webhook add` makes one."
LIST: output.Columns[Webhook] = (
    ("id", lambda one: one.id),
    ("state", _state),
    ("url", lambda one: one.url),
    ("events", lambda one: ", ".join(one.events)),
    ("schedules", _schedules),
    ("pending", lambda one: str(one.pending)),
    ("last error", lambda one: one.last_error or ""),
)
WHOLE: output.Columns[Webhook] = (
    *LIST[:1],
    ("state", lambda one: f"{_state(one)}: {one.disabled_because}" if one.disabled_because else _state(one)),
    *LIST[2:5],
    ("pending", lambda one: str(one.pending)),
    ("delivered", lambda one: output.when(one.last_delivered_at)),
    ("failed", lambda one: output.when(one.last_failed_at)),
    ("last error", lambda one: one.last_error or ""),
    ("created", lambda one: output.when(one.created_at)),
    ("updated", lambda one: output.when(one.updated_at)),
    ("secret", lambda one: one.secret or ""),
)
TRIED: output.Columns[Tried] = (
    ("delivered", lambda one: "yes" if one.delivered else "no"),
    ("status", lambda one: str(one.status or "")),
    ("took", lambda one: output.length(one.seconds)),
    ("error", lambda one: one.error or ""),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    verb(verbs, "ls", _ls, "list webhooks, oldest first")
    _one(verb(verbs, "get", _get, "show a webhook, and how it does"))
    add = verb(verbs, "add", _add, "have a server told of events; its secret is shown this once")
    add.add_argument("target", metavar="TARGET", help="where messages are posted to")
    _which(add, required=True)
    _secret(add)
    change = verb(verbs, "set", _set, "change what is given")
    _one(change)
    change.add_argument("--to", metavar="URL", help="where messages are posted to")
    _which(change, required=False)
    change.add_argument("--all-schedules", action="store_true", help="of all schedules, and of starts by hand, again")
    _many(verb(verbs, "enable", _enable, "send again to webhooks that were disabled"))
    _many(verb(verbs, "disable", _disable, "send nothing more, until enabled"))
    _many(verb(verbs, "rm", _rm, "forget webhooks, and what is on its way to them"))
    _one(verb(verbs, "test", _test, "send a test message now; 1 when it does not arrive"))
    rotate = verb(verbs, "rotate", _rotate, "sign with a new secret from now on, and print it: it is shown this once")
    _one(rotate)
    _secret(rotate)


def _one(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", help="id or URI of a webhook")


def _many(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", nargs="+", help="id or URI of a webhook")
    parser.set_defaults(many="id")


def _which(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--event",
        action="append",
        required=required,
        metavar="EVENT",
        help="instance.ended, instance.*, failed, missed, *; may be given again",
    )
    parser.add_argument(
        "--schedule", action="append", metavar="ID", help="only events of this schedule; may be given again (all)"
    )


def _secret(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--secret-file", metavar="FILE", help="a file that holds the secret, instead of one made up")


def _ls(client: "Client", arguments: Arguments) -> None:
    output.show(client.webhooks.list(), LIST, arguments.output, lambda one: one.id, none=NONE)


def _get(client: "Client", arguments: Arguments) -> None:
    output.show_one(client.webhooks.get(arguments.id), WHOLE, arguments.output, lambda one: one.id)


def _add(client: "Client", arguments: Arguments) -> None:
    secret = _read_secret(arguments)
    made = client.webhooks.create(arguments.target, arguments.event, schedules=arguments.schedule, secret=secret)
    output.show_one(made, WHOLE, arguments.output, lambda one: one.id)
    _name_missing(client, arguments)
    say(f"The secret is shown this once. `callsheet webhook test {made.id}` sends a message to try it.")


def _set(client: "Client", arguments: Arguments) -> None:
    if arguments.schedule and arguments.all_schedules:
        raise Usage("Give --schedule or --all-schedules, not both.")
    schedules = [] if arguments.all_schedules else arguments.schedule
    wanted: dict[str, Any] = {"url": arguments.to, "events": arguments.event, "schedules": schedules}
    if all(value is None for value in wanted.values()):
        raise Usage("Say what to change: --to, --event, --schedule or --all-schedules.")
    output.show_one(client.webhooks.change(arguments.id, **wanted), WHOLE, arguments.output, lambda one: one.id)
    _name_missing(client, arguments)


def _name_missing(client: "Client", arguments: Arguments) -> None:
    """Say which schedules are not there: a mistake in typing would make a webhook that is told of nothing."""
    for name in arguments.schedule or ():
        if client.schedules.find(name) is None:
            say(f"There is no schedule {name!r} now; the webhook hears of it once there is one.")


def _enable(client: "Client", arguments: Arguments) -> None:
    _switch(client, arguments, enabled=True)


def _disable(client: "Client", arguments: Arguments) -> None:
    _switch(client, arguments, enabled=False)


def _switch(client: "Client", arguments: Arguments, *, enabled: bool) -> None:
    what = "what happens from now on" if enabled else "nothing more"

    def done() -> Iterator[tuple[Webhook, str]]:
        for name in arguments.id:
            yield client.webhooks.change(name, enabled=enabled), f"{name} is told of {what}."

    output.tell(done(), arguments.output, lambda one: one.id)


def _rm(client: "Client", arguments: Arguments) -> None:
    def done() -> Iterator[tuple[dict[str, str], str]]:
        for name in arguments.id:
            client.webhooks.delete(name)
            yield {"id": name}, f"{name} is forgotten."

    output.tell(done(), arguments.output, lambda one: one["id"])


def _test(client: "Client", arguments: Arguments) -> int:
    tried = client.webhooks.test(arguments.id)
    output.show_one(tried, TRIED, arguments.output, lambda one: "delivered" if one.delivered else "not delivered")
    return OK if tried.delivered else FAILED


def _rotate(client: "Client", arguments: Arguments) -> None:
    secret = client.webhooks.rotate(arguments.id, _read_secret(arguments))
    if arguments.output in ("json", "jsonl"):
        output.show_one({"id": arguments.id, "secret": secret}, (), arguments.output, str)
    else:
        output.line(secret)
    say("The secret is shown this once; messages are signed with it from now on.")


def _read_secret(arguments: Arguments) -> str | None:
    """Return the secret that somebody brings along: never as an argument, which others could see."""
    if arguments.secret_file is None:
        return None
    return Path(arguments.secret_file).read_text().strip()
