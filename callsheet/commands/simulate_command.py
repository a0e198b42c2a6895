"""`callsheet simulate`: what would happen, from a database that is only read."""

import argparse

from callsheet.commands.common import Arguments
from callsheet.settings import DEFAULT_DATABASE


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.description = "Run what is planned on a clock that jumps, with stand-ins for the tasks. Nothing is changed."
    parser.epilog = "Exit codes: 0 ok, 2 usage, 78 with a sentence on what is wrong."
    parser.add_argument("--from", dest="start", metavar="TIME", help="where to begin: RFC 3339 (now)")
    parser.add_argument("--to", dest="end", metavar="TIME|DURATION", default="7d", help="where to end (7d)")
    parser.add_argument("--database", metavar="URL", help=f"read, never changed ({DEFAULT_DATABASE})")
    parser.add_argument(
        "--tasks",
        action="append",
        metavar="MODULE|FILE|FOLDER",
        help="where your tasks are, for their limits; may be given again",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the same seed, the same answer (0)")
    parser.add_argument(
        "--task-seconds",
        action="append",
        metavar="NAME=DURATION",
        help="how long a task or schedule takes (as its history says); given again for a name, one of them is drawn",
    )
    parser.add_argument(
        "--resolution",
        metavar="DURATION",
        help="what lies closer together may happen together (a three-hundredth of the shortest interval, at most 1 s); "
        "0 is exact, and slower",
    )
    parser.add_argument("--max-running", type=int, metavar="N", help="instances that may run at once (no limit)")
    parser.add_argument("--schedules", metavar="FILE", help="JSON: schedules to try, by id")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="how to answer (text)")
    parser.add_argument("--plan", metavar="FILE", help=argparse.SUPPRESS)  # for the service
    parser.set_defaults(run=run)


def run(arguments: Arguments) -> int:
    """Simulate."""
    from callsheet.virtual import command  # noqa: PLC0415 - half a second of imports that --help does not need

    return command.run(arguments)
