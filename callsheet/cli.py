"""The command line: `callsheet serve`; the other commands are in `callsheet.commands`."""

import argparse
import atexit
import gc
import sys
from collections.abc import Container, Sequence

from callsheet import __version__, collector, onefile
from callsheet import commands as others
from callsheet.errors import RefusedToStart
from callsheet.first_process import step_aside
from callsheet.logs import FORMATS, LEVELS
from callsheet.settings import DEFAULT_DATABASE, RUN_WORKER
from callsheet.settings_file import load_settings
from callsheet.strangers import load_service
from callsheet.timetable.zones import tzdata_version


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; of `serve`: 0 stopped as told, 78 refused to start, 70 gave up."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        return _run(given)
    except KeyboardInterrupt:  # while a command was being loaded: what it does hears of it by itself
        return others.INTERRUPTED


def _run(given: list[str]) -> int:
    if given[:1] == [RUN_WORKER]:
        return _work(given[1:])
    collector.calm()
    atexit.register(gc.freeze)  # or the interpreter would look through all of it once more, to end
    parser = _parser([word for word in given if not word.startswith("-")][:1])
    parsed, rest = parser.parse_known_args(given)
    others.take_rest(parser, given, parsed, rest)
    flags = vars(parsed)
    if flags.pop("command") != "serve":
        onefile.interrupt_once()
        return int(parsed.run(parsed))
    try:
        settings = load_settings(flags).settings
        step_aside()
        serve = load_service()
    except RefusedToStart as error:
        print(f"callsheet: {error}", file=sys.stderr)
        return 78
    return serve(settings)


def _work(arguments: list[str]) -> int:
    descriptor, *sys.path[:] = arguments
    from callsheet.workers import child  # noqa: PLC0415 - as above

    child.main(int(descriptor))
    return 0


def _parser(wanted: Container[str] = ()) -> argparse.ArgumentParser:
    parser = others.Parser(prog="callsheet", description="A scheduler service for typed Python tasks.")
    parser.add_argument("--version", action="version", version=f"callsheet {__version__} (tzdata {tzdata_version()})")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        help="run the service",
        description="Run the service. Every flag can also be set as CALLSHEET_… in the environment.",
    )
    serve.add_argument("--host", help="address to listen on (127.0.0.1)")
    serve.add_argument("--port", help="port to listen on; 0 picks a free one (8080)")
    serve.add_argument("--database", metavar="URL", help=f"sqlite:///PATH or postgresql://… ({DEFAULT_DATABASE})")
    serve.add_argument(
        "--tasks", action="append", metavar="MODULE|FILE|FOLDER", help="where your tasks are; may be given again"
    )
    serve.add_argument("--demo", action="store_true", default=None, help="add three schedules to look at")
    serve.add_argument("--drain", metavar="20s", help="how long running tasks may finish when it stops (20s)")
    serve.add_argument(
        "--max-running", metavar="N", help="instances that may run at once; further ones are queued (no limit)"
    )
    serve.add_argument(
        "--http-allow", action="append", metavar="CIDR[:PORT]", help="private addresses http_get may fetch from"
    )
    serve.add_argument(
        "--allow-commands", action="store_true", default=None, help="add the task command, which runs any program"
    )
    serve.add_argument(
        "--insecure-no-auth", action="store_true", default=None, help="listen on other than loopback, unprotected"
    )
    serve.add_argument(
        "--log-format", choices=FORMATS, help="how log lines look (auto: console on a terminal, else json)"
    )
    serve.add_argument("--log-level", choices=LEVELS, help="the least that is logged (info)")
    serve.add_argument("--access-log", action="store_true", default=None, help="log each request")
    serve.add_argument("--node", metavar="NAME", help="name of this node (the host's name)")
    serve.add_argument("--keep-for", metavar="90d", help="how long ended instances stay; off: for ever (90d)")
    serve.add_argument("--keep-last", metavar="N", help="how many ended runs of each schedule stay (off: any number)")
    serve.add_argument("--keep-events", metavar="7d", help="how long events stay; off: for ever (7d)")
    serve.add_argument("--api-key-file", metavar="FILE", help="a file that holds the API key of an admin")
    serve.add_argument(
        "--rate-limit", metavar="N/s", help="requests a second of one caller, or off (2500/s, and twice that at once)"
    )
    serve.add_argument(
        "--otel", action="store_true", default=None, help="send spans to OpenTelemetry (OTEL_… variables)"
    )
    serve.add_argument("--config", metavar="FILE", help="file of settings (callsheet.toml, if there is one)")
    others.register(commands, serve, wanted)
    parser.set_defaults(every_command=every_command)
    return parser


def every_command() -> argparse.ArgumentParser:
    """Return the parser with all commands loaded."""
    return _parser(others.COMMANDS)


if __name__ == "__main__":
    sys.exit(main())
