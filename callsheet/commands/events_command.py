"""`callsheet events tail`: what happens, as it is committed."""

import argparse
from typing import TYPE_CHECKING

from callsheet.client.values import Event
from callsheet.commands import output
from callsheet.commands.common import Arguments, verb

if TYPE_CHECKING:
    from callsheet.client import Client


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    tail = verb(verbs, "tail", _tail, "print events as they come, also after the service was started again")
    tail.add_argument("--after", metavar="ID", help="begin after this event: 0 is the very beginning")
    tail.add_argument("--type", action="append", default=[], metavar="TYPE", help="only these; may be given again")
    tail.add_argument("--schedule", help="only what is about this schedule")
    tail.add_argument("--instance", help="only what is about this instance")
    tail.add_argument("--no-follow", action="store_true", help="end with what has happened until now")


def _tail(client: "Client", arguments: Arguments) -> None:
    events = client.events(
        arguments.after if arguments.after or not arguments.no_follow else "0",
        types=arguments.type,
        schedule=arguments.schedule,
        instance=arguments.instance,
        follow=not arguments.no_follow,
    )
    for event in events:
        if arguments.output == "table":
            output.line(_shown(event))
        else:
            output.line(str(event.id) if arguments.output == "name" else output.compact(event))


def _shown(event: Event) -> str:
    said = " ".join(f"{name}={_word(value)}" for name, value in event.data.items())
    about = [part for part in (event.schedule, (event.instance or "").rsplit("/", 1)[-1], said) if part]
    at = output.clock(event.at) if event.at else ""
    return f"{at}  {event.type:<22}  {'  '.join(about)}"


def _word(value: object) -> str:
    return value if isinstance(value, str) else output.compact(value)
