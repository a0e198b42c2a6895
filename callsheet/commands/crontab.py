"""Crontabs as Debian's cron reads them, without running anything.

A line is a comment, a setting of the environment for the lines below it, or a job: five fields or a nickname, in the
system form a user, and the rest of the line for the shell, in which `%` ends the command and begins its input.
"""

import re
from collections.abc import Callable, Iterator

from attrs import evolve, field, frozen

from callsheet.errors import Invalid
from callsheet.timetable import parse_trigger

_ENVIRONMENT = re.compile(r"""\s*(?P<name>"[^"]*"|'[^']*'|[^\s=]+)\s*=\s*(?P<value>.*?)\s*""")
_PERCENT = re.compile(r"\\.|%", re.DOTALL)
_SPLIT = "\0"
_FIELDS = 5
_NICKNAMES = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")


class BadLine(Exception):
    """A line that cannot become a schedule; `str(error)` says why, and what to do instead."""


@frozen
class Job:
    """One job of a crontab; `environment` is what stands above it, `zone` its CRON_TZ."""

    number: int
    expression: str
    command: str
    stdin: str | None
    user: str | None
    environment: dict[str, str] = field(factory=dict)

    @property
    def zone(self) -> str | None:
        """Return the zone that the times are meant in, if the crontab says so."""
        return self.environment.get("CRON_TZ") or None


@frozen
class Crontab:
    """What a crontab says: its jobs, and its lines that cannot be taken over, with the reason."""

    jobs: list[Job]
    refused: list[tuple[int, str]]


def parse(text: str, *, system: bool) -> Crontab:
    """Read a crontab; in the `system` form (/etc/crontab, /etc/cron.d) each job names its user."""
    jobs, refused, environment = [], [], dict[str, str]()
    for number, line in _lines(text):
        setting = _setting(line)
        if setting is not None:
            environment |= {setting[0]: setting[1]}
            continue
        try:
            job = evolve(_job(line, number, system), environment=dict(environment))
            _check_times(job)
        except BadLine as error:
            refused.append((number, str(error)))
        else:
            jobs.append(job)
    return Crontab(jobs, refused)


def names_users(jobs: list[Job], is_user: Callable[[str], bool]) -> bool:
    """Tell whether these look like jobs of the system form that were read as if they were of a user's."""
    first = [job.command.split(None, 1)[0] for job in jobs if job.command.strip()]
    return "root" in first or (bool(first) and all(is_user(word) for word in first))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.lstrip(" \t")
        if stripped and not stripped.startswith("#"):
            yield number, stripped


def _setting(line: str) -> tuple[str, str] | None:
    """Return name and value of a setting; in a job no `=` follows the first word."""
    found = _ENVIRONMENT.fullmatch(line)
    return None if found is None else (_unquoted(found["name"]), _unquoted(found["value"]))


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _job(line: str, number: int, system: bool) -> Job:
    expression, rest = _expression(line)
    user: str | None = None
    if system:
        user, *words = re.split(r"[ \t]+", rest, maxsplit=1)
        rest = words[0] if words else ""
    if not rest:
        raise BadLine("it has no command" + (": in this form a user stands before it" if system else ""))
    command, stdin = _split_percent(rest)
    return Job(number, expression, command, stdin, user)


def _check_times(job: Job) -> None:
    """Refuse what names no times, or never any."""
    try:
        parse_trigger({"cron": job.expression, "timezone": job.zone or "UTC"}, anchor=0)
    except Invalid as error:
        raise BadLine("; ".join(one.detail for one in error.errors)) from None


def _expression(line: str) -> tuple[str, str]:
    if line.startswith("@"):
        nickname, *rest = re.split(r"[ \t]+", line, maxsplit=1)
        if nickname == "@reboot":
            raise BadLine(
                "@reboot is no time: what must run when the machine starts belongs to its service manager,"
                " and a schedule with run_on_create runs once when it is created"
            )
        if nickname not in _NICKNAMES:
            raise BadLine(f"{nickname} is not known; there are {', '.join(_NICKNAMES)}")
        return nickname, rest[0] if rest else ""
    parts = re.split(r"[ \t]+", line, maxsplit=_FIELDS)
    if len(parts) <= _FIELDS:
        raise BadLine("it has too few fields: minute, hour, day of month, month, day of week, and a command")
    return " ".join(parts[:_FIELDS]), parts[_FIELDS]


def _split_percent(text: str) -> tuple[str, str | None]:
    r"""Return command and input: an unescaped `%` ends the command, further ones are new lines; `\%` is a `%`.

    An input that does not end with a new line gets one.
    """
    command, *rest = _PERCENT.sub(lambda found: _SPLIT if found[0] == "%" else found[0], text).split(_SPLIT)
    given = "\n".join(part.replace("\\%", "%") for part in rest)
    ended = given if given.endswith("\n") or not given else given + "\n"
    return command.replace("\\%", "%"), ended or None
