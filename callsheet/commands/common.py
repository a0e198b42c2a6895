"""What the commands share: the options of those that ask a service, exit codes, errors as sentences with advice."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from callsheet.commands import INTERRUPTED
from callsheet.instants import SECOND, parse_duration
from callsheet.lifecycle import SCHEDULE_STATES

if TYPE_CHECKING:
    from callsheet.client import Client, ClientError

Arguments = argparse.Namespace
Body = Callable[["Client", Arguments], int | None]

OK, FAILED, USAGE, NOT_FOUND, CONFLICT, UNREACHABLE = range(6)
NOBODY_READS = 141  # as a shell counts SIGPIPE
FORMATS = ("table", "json", "jsonl", "name")


class Usage(Exception):
    """The command line makes no sense; `str(error)` says why."""


def verb(verbs: Any, name: str, body: Body, help_: str) -> argparse.ArgumentParser:
    """Add a command that asks the service, with the options all such have."""
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=help_, description=f"{help_[0].upper()}{help_[1:]}.")
    asking(parser, body)
    return parser


def asking(parser: argparse.ArgumentParser, body: Body) -> None:
    """Make a parser one of a command that asks the service."""
    parser._negative_number_matcher = re.compile(r"-\d\w*")  # or -3d could only be given as --from=-3d
    connecting(parser)
    parser.set_defaults(run=lambda arguments: ask(body, arguments))


def connecting(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which service is asked, by whom, and how results look."""
    parser.add_argument("--url", metavar="URL", help="address of the service (CALLSHEET_URL, http://127.0.0.1:8080)")
    parser.add_argument("--token-file", metavar="FILE", help="file that holds the API key (CALLSHEET_TOKEN_FILE)")
    parser.add_argument("-o", "--output", choices=FORMATS, default="table", help="how results look (table)")


def ask(body: Body, arguments: Arguments) -> int:
    """Run a command with a client; return its exit code."""
    from callsheet.client import Client  # noqa: PLC0415 - --help does not need it

    def do() -> int | None:
        with Client(arguments.url, token_file=arguments.token_file, tries=3) as client:
            return body(client, arguments)

    return guarded(do)


def guarded(do: Callable[[], int | None]) -> int:
    """Do something with a client, and turn what goes wrong into a sentence and an exit code."""
    from callsheet.client import ClientError  # noqa: PLC0415 - as above

    try:
        return do() or OK
    except ClientError as error:
        return complain(error)
    except (Usage, ValueError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            return nobody_reads()
        say(f"callsheet: {reason_of(error)}")
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED


def reason_of(error: Exception) -> str:
    """Return what an error says; of one of the system, without its number, and with the file that it is about."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."


def nobody_reads() -> int:
    """Let the interpreter end quietly although nobody reads our output any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return NOBODY_READS


def say(text: str) -> None:
    """Say something that is not the result."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def complain(error: "ClientError") -> int:
    """Say what went wrong and what to do next; return the exit code."""
    for sentence in _sentences(error):
        say(f"callsheet: {sentence}")
    advice = _advice(error)
    if advice is not None:
        say(advice)
    return _code(error)


def _code(error: "ClientError") -> int:
    from callsheet import client  # noqa: PLC0415 - it is loaded by now

    codes: dict[int, tuple[type[ClientError], ...]] = {
        UNREACHABLE: (client.Unreachable, client.Unavailable),
        NOT_FOUND: (client.NotFound, client.Gone),
        CONFLICT: (client.Conflict, client.PreconditionFailed),
        USAGE: (client.Invalid,),
    }
    return next((code for code, kinds in codes.items() if isinstance(error, kinds)), FAILED)


def _advice(error: "ClientError") -> str | None:
    from callsheet import client  # noqa: PLC0415 - as above

    match error:
        case client.Unreachable():
            return "Start it with `callsheet serve`, or say where it is: --url or CALLSHEET_URL."
        case client.Unavailable():
            return "Try again soon; `callsheet doctor` looks for what is wrong."
        case client.NotFound() if error.kind == "no-such-page":
            return "That service does not have this; `callsheet --version` on both sides tells which is older."
        case client.NotFound():
            return f"`callsheet {_named_in(str(error)) or 'schedule'} ls` shows what there is."
        case client.Gone():
            return "`--after 0` begins with the oldest that is kept."
        case client.Conflict() if error.blocked_by:
            return f"Look at it with `callsheet instance get {error.blocked_by.rsplit('/', 1)[-1]}`."
        case client.Invalid() if any(one.pointer.startswith("#/input") for one in error.errors):
            return "`callsheet task get NAME` shows what a task takes."
        case client.Unauthorized() | client.Forbidden():
            return "Give an API key that may do this: --token-file, CALLSHEET_TOKEN_FILE or CALLSHEET_TOKEN."
    return None


def _sentences(error: "ClientError") -> list[str]:
    """Return what an error says: each wrong field on a line of its own."""
    errors = getattr(error, "errors", ())
    if len(errors) < 2:
        return [str(error)]
    return [f"{one.pointer.removeprefix('#')}: {one.detail}" for one in errors]


def _named_in(sentence: str) -> str | None:
    """Return the kind of thing that is said not to be there, as its command is called."""
    found = re.match(r"There is no (task|schedule|instance|webhook|token) ", sentence)
    return None if found is None else found[1]


def positive(text: str) -> int:
    """Read a number of things, 1 or more."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def limit(parser: argparse.ArgumentParser, most: int, what: str) -> None:
    """Let a command be told how much to print."""
    parser.add_argument("-n", "--limit", type=positive, default=most, metavar="N", help=f"{what} ({most})")


def read_time(text: str) -> datetime:
    """Read a time: RFC 3339, the same without an offset in the local zone, `now`, or `+2h` and `-3d` from now."""
    if text == "now" or text[:1] in "+-":
        moved = timedelta(seconds=parse_duration(text[1:]) / SECOND) if text != "now" else timedelta()
        return datetime.now(UTC) + (-moved if text[0] == "-" else moved)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: write 2026-11-24T02:00:00Z, 2026-11-24 02:00 (local), now, +2h or -3d"
        ) from None
    return moment.astimezone()


def selection(parser: argparse.ArgumentParser) -> None:
    """Let a command name schedules one by one, or all that have a tag."""
    parser.add_argument("id", nargs="*", help="id of a schedule")
    parser.set_defaults(many="id")
    parser.add_argument("--tag", help="all schedules with this tag")


def selected(client: "Client", arguments: Arguments) -> Iterator[str]:
    """Yield the ids that a command means."""
    if bool(arguments.id) == bool(arguments.tag):
        raise Usage("Name schedules, or all that have a tag with --tag.")
    if arguments.id:
        yield from arguments.id
        return
    found = [one.id for one in client.schedules.list(tag=arguments.tag)]
    if not found:
        say(f"No schedule has the tag {arguments.tag}.")
    yield from found


def states_of_schedules() -> tuple[str, ...]:
    """Return the states that a schedule can be asked for by."""
    return SCHEDULE_STATES[:-1]
