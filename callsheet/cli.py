"""The command line: `callsheet serve`, `callsheet simulate`, `callsheet token`, `callsheet openapi`."""

import argparse
import os
import sys
from collections.abc import Sequence

from callsheet import __version__, token_command
from callsheet.errors import RefusedToStart
from callsheet.logs import FORMATS, LEVELS
from callsheet.settings import DEFAULT_DATABASE, RUN_WORKER, read_settings
from callsheet.timetable.zones import tzdata_version


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: of serve 0 stopped as told, 78 refused to start, 70 gave up."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == [RUN_WORKER]:
        return _work(given[1:])
    options = _parser().parse_args(given)
    if options.command == "simulate":
        from callsheet.virtual import command  # noqa: PLC0415 - as below

        return command.run(options)
    if options.command == "openapi":
        return _print_openapi()
    flags = vars(options)
    if flags.pop("command") == "token":
        return token_command.run(flags, os.environ)
    try:
        settings = read_settings(flags)
    except RefusedToStart as error:
        print(f"callsheet: {error}", file=sys.stderr)
        return 78
    from callsheet.service import serve  # noqa: PLC0415 - half a second of imports that --help does not need

    return serve(settings)


def _work(arguments: list[str]) -> int:
    descriptor, *sys.path[:] = arguments
    from callsheet.workers import child  # noqa: PLC0415 - as above

    child.main(int(descriptor))
    return 0


def _print_openapi() -> int:
    import msgspec  # noqa: PLC0415 - as below

    from web.app import create_app  # noqa: PLC0415
    from web.openapi import document  # noqa: PLC0415

    print(msgspec.json.format(msgspec.json.encode(document(create_app(None, insecure=False)))).decode())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="callsheet", description="A scheduler service for typed Python tasks.")
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
        "--tasks", action="append", metavar="MODULE|FILE", help="where your tasks are; may be given again"
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
    _add_simulate(commands)
    token_command.add_parser(commands)
    commands.add_parser("openapi", help="print the OpenAPI document of the API", description="Print it as JSON.")
    return parser


def _add_simulate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    simulate = commands.add_parser(
        "simulate",
        help="tell what would happen",
        description="Run what is planned on a clock that jumps, with stand-ins for the tasks. Nothing is changed.",
    )
    simulate.add_argument("--from", dest="start", metavar="TIME", help="where to begin: RFC 3339 (now)")
    simulate.add_argument("--to", dest="end", metavar="TIME|DURATION", default="7d", help="where to end (7d)")
    simulate.add_argument("--database", metavar="URL", help=f"read, never changed ({DEFAULT_DATABASE})")
    simulate.add_argument(
        "--tasks", action="append", metavar="MODULE|FILE", help="where your tasks are, for their limits"
    )
    simulate.add_argument("--seed", type=int, default=0, metavar="N", help="the same seed, the same answer (0)")
    simulate.add_argument(
        "--task-seconds", action="append", metavar="NAME=DURATION", help="how long a task or schedule takes"
    )
    simulate.add_argument("--resolution", metavar="DURATION", help="what lies closer together may happen together")
    simulate.add_argument("--max-running", type=int, metavar="N", help="instances that may run at once (no limit)")
    simulate.add_argument("--schedules", metavar="FILE", help="JSON: schedules to try, by id")
    simulate.add_argument("-o", "--output", choices=("text", "json"), default="text", help="how to answer (text)")
    simulate.add_argument("--plan", metavar="FILE", help=argparse.SUPPRESS)  # for the service


if __name__ == "__main__":
    sys.exit(main())
