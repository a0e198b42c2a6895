"""`callsheet import crontab`: jobs of cron become schedules of the task `command`, in a sheet of their own."""

import argparse
import os
import pwd
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from callsheet.commands import crontab, job_names, output
from callsheet.commands.common import OK, USAGE, Arguments, asking, reason_of, say
from callsheet.commands.inputs import read_text
from callsheet.commands.sheets import TAG, Sheet
from callsheet.commands.toml_writer import toml

if TYPE_CHECKING:
    from callsheet.client import Client

OVERLAPS = ("skip", "queue", "replace", "allow")
SHELL, PATH = "/bin/sh", "/usr/bin:/bin"  # as cron has them, unless the crontab says otherwise
_SLUG = re.compile(r"[^A-Za-z0-9._-]+")
_OF_CRON = (
    "CRON_TZ",
    "MAILTO",
    "MAILFROM",
    "CONTENT_TYPE",
    "CONTENT_TRANSFER_ENCODING",
    "RANDOM_DELAY",
    "START_HOURS_RANGE",
)


@frozen
class Person:
    """Whom a crontab belongs to."""

    name: str
    home: str


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb."""
    verbs = parser.add_subparsers(required=True, metavar="WHAT")
    one = verbs.add_parser("crontab", help="a crontab as Debian's cron reads it", description=__doc__)
    asking(one, _import)
    ask = one.get_default("run")
    one.add_argument("file", metavar="FILE|-", help="the crontab; `crontab -l | callsheet import crontab -`")
    one.add_argument("--system", action="store_true", help="a user stands in each line, as in /etc/crontab")
    one.add_argument("--user", help="import only the lines of this user; without --system: whose crontab it is")
    one.add_argument("--timezone", "--tz", metavar="ZONE", help="zone of the times (CRON_TZ, else the machine's)")
    one.add_argument("--name", help="name of the sheet, the tag that all get (crontab, or the name of the file)")
    one.add_argument(
        "--overlap", choices=("skip", "queue", "replace", "allow"), default="allow", help="while one goes on (allow)"
    )
    one.add_argument("--catch-up", choices=("latest", "none", "all"), default="none", help="after a downtime (none)")
    one.add_argument("--partial", action="store_true", help="leave out lines that cannot be taken over")
    one.add_argument("--dry-run", action="store_true", help="print the schedules as a sheet for `callsheet apply`")
    one.add_argument("--prune", action="store_true", help="delete schedules of this sheet that are in it no more")
    one.set_defaults(run=lambda arguments: _dry_run(arguments) if arguments.dry_run else ask(arguments))


def _dry_run(arguments: Arguments) -> int:
    """Print the sheet; no service is needed."""
    try:
        sheet = _sheet(arguments)
    except (OSError, UnicodeDecodeError) as error:
        say(f"callsheet: {reason_of(error)}")
        return USAGE
    if sheet is None:
        return USAGE
    if arguments.output == "table":
        output.line(toml({"name": sheet.name, "schedules": {name: _own(one) for name, one in sheet.schedules.items()}}))
    else:
        documents = [{"id": name, **one} for name, one in sheet.schedules.items()]
        output.show(documents, (), arguments.output, lambda one: str(one["id"]))
    return OK


def _import(client: "Client", arguments: Arguments) -> int | None:
    from callsheet.commands.apply_command import make_so  # noqa: PLC0415 - a dry run needs none of it

    sheet = _sheet(arguments)
    if sheet is None:
        return USAGE
    make_so(client, sheet, arguments)
    return None


def _own(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document as a sheet has it: without the tag that it gets anyway, the trigger in its own words."""
    tags = [tag for tag in document["tags"] if not tag.startswith(TAG)]
    rest = {name: value for name, value in document.items() if name not in ("tags", "trigger")}
    return {**document["trigger"], **rest} | ({"tags": tags} if tags else {})


def _sheet(arguments: Arguments) -> Sheet | None:
    """Return the sheet that a crontab becomes, None when it holds what cannot be taken over."""
    where = arguments.file
    system = arguments.system or str(Path(where).absolute()).startswith(("/etc/crontab", "/etc/cron.d/"))
    found = crontab.parse(read_text("-" if where == "-" else f"@{where}"), system=system)
    if not system and crontab.names_users(found.jobs, _is_user):
        say(f"{where}: a user stands before each command, as in /etc/crontab. Nothing was imported; give --system.")
        return None
    for number, why in found.refused:
        say(f"{where}, line {number}: {why}.")
    if found.refused and not arguments.partial:
        say("Nothing was imported; --partial leaves such lines out.")
        return None
    jobs = [job for job in found.jobs if not system or arguments.user in (None, job.user)]
    _notes(jobs, system)
    name = arguments.name or (_SLUG.sub("-", Path(where).stem).strip("-") if where != "-" else "") or "crontab"
    return Sheet(name, schedules(jobs, arguments, name))


def schedules(jobs: list[crontab.Job], arguments: Arguments, name: str) -> dict[str, dict[str, Any]]:
    """Return the documents of some jobs by id; the same job gets the same id at each import."""
    zone = arguments.timezone or machine_zone()
    found: dict[str, dict[str, Any]] = {}
    for job in jobs:
        person = _person(job.user or arguments.user)
        slug = base = job_names.slug(person.name, job.command, job.stdin)
        for count in range(2, len(jobs) + 2):
            if slug not in found:
                break
            slug = f"{base}-{count}"
        tags = [f"user:{_SLUG.sub('-', job.user)}"] if job.user else []
        found[slug] = {
            "task": "command",
            "trigger": {"cron": job.expression, "timezone": job.zone or zone},
            "input": _input(job, person),
            "overlap": arguments.overlap,
            "catch_up": arguments.catch_up,
            "tags": [*tags, TAG + name],
        }
    return found


def _input(job: crontab.Job, person: Person) -> dict[str, Any]:
    ours = {"SHELL": SHELL, "PATH": PATH, "HOME": person.home, "LOGNAME": person.name} | job.environment
    environment = {name: value for name, value in ours.items() if name not in _OF_CRON and value != ""}
    given: dict[str, Any] = {
        "argv": [environment.get("SHELL", SHELL), "-c", job.command],
        "env": environment,
        "clear_env": True,
        "cwd": _folder(environment.get("HOME", "/")),
    }
    return given if job.stdin is None else given | {"stdin": job.stdin}


def _folder(home: str) -> str:
    """Return where a command begins: cron stays where it is when there is no such home, as of the user nobody."""
    return home if Path(home).is_dir() else "/"


def _person(name: str | None) -> Person:
    try:
        found = pwd.getpwuid(os.getuid()) if name is None else pwd.getpwnam(name)
    except KeyError:
        return Person(name or str(os.getuid()), "/")
    return Person(found.pw_name, found.pw_dir)


def _is_user(name: str) -> bool:
    return any(one.pw_name == name for one in pwd.getpwall())


def machine_zone() -> str:
    """Return the zone that the machine's cron goes by."""
    named = Path("/etc/timezone")
    linked = os.path.realpath("/etc/localtime")
    if "/zoneinfo/" in linked:
        return linked.split("/zoneinfo/", 1)[1]
    return named.read_text().strip() if named.is_file() else "UTC"


def _notes(jobs: list[crontab.Job], system: bool) -> None:
    """Say what will be otherwise than under cron."""
    settings = {name for job in jobs for name, value in job.environment.items() if value}
    if "MAILTO" in settings:
        say("MAILTO: nobody gets mail; what a command prints is in the log of its instance.")
    if "TZ" in settings and "CRON_TZ" not in settings:
        say("TZ: as under cron, only the commands see it. CRON_TZ or --timezone say what the times mean.")
    if "RANDOM_DELAY" in settings:
        say("RANDOM_DELAY is left out: give the schedules a jitter.")
    if system and jobs:
        users = ", ".join(sorted({str(job.user) for job in jobs}))
        say(f"All commands run as the user of the service, not as {users}; --user imports the lines of one only.")
