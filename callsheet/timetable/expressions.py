"""Cron expressions as people write them: nicknames, whitespace, and sentences about what is wrong.

cronsim decides what a field means; here is only what it does not say or does not know.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache

from attrs import frozen
from cronsim import CronSim, CronSimError

from callsheet.timetable.wall import Days

_LONGEST = 1000  # every list of every field written out in full needs about 600
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EXAMPLE = 'like "0 2 * * *" (minute, hour, day of month, month, day of week)'
_STRANGE = re.compile(r"[^A-Za-z0-9*,/#@ -]")
_ONE_VALUE_RANGE = re.compile(r"\b(\w+)-\1(?:/0*[1-9]\d*)?\b")  # cronsim takes 5-5/2 for 5/2
_VALUE = re.compile(r"\d+|[A-Z]{3}")
ANY_DATE = datetime(2000, 1, 1, tzinfo=UTC)


@frozen
class _Field:
    name: str
    low: int
    high: int
    also: str = ""

    def allowed(self) -> str:
        return f"{self.low}-{self.high}{self.also}, *, lists (1,2), ranges (1-5) or steps (*/5)"


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31, ", L, LW"),
    _Field("month", 1, 12, ", JAN-DEC"),
    _Field("day of week", 0, 7, ", SUN-SAT, 1#2, 5L"),
)


def read_expression(text: object) -> str:
    """Return a sound cron expression as it was written, trimmed; ValueError says what is wrong."""
    if not isinstance(text, str):
        raise ValueError(f"must be a cron expression {_EXAMPLE}")  # noqa: TRY004
    if len(text) > _LONGEST:
        raise ValueError(f"is longer than {_LONGEST} characters")
    trimmed = " ".join(text.split())
    if strange := sorted(set(_STRANGE.findall(trimmed))):
        raise ValueError(f"has characters that cron does not use: {' '.join(map(ascii, strange[:5]))}")
    wrong = _complaints(spelled_out(trimmed))
    if wrong:
        raise ValueError("; ".join(wrong))
    return trimmed


def spelled_out(expression: str) -> list[str]:
    """Return the six fields of an expression, seconds first, as far as it has that many."""
    full = _NICKNAMES.get(expression.lower(), expression).upper()
    fields = _ONE_VALUE_RANGE.sub(r"\1", full).split()
    return ["0", *fields] if len(fields) == 5 else fields


@lru_cache(maxsize=256)
def named_days(day: str, month: str, weekday: str) -> Days:
    """Return the dates that three sound fields name."""
    rule = CronSim(f"* * * {day} {month} {weekday}", ANY_DATE)
    return Days(lambda date: date.month in rule.months and rule.match_day(date))


def _complaints(fields: list[str]) -> list[str]:
    if fields and fields[0].startswith("@"):
        return [f"is none of the nicknames {', '.join(_NICKNAMES)}, which stand alone"]
    if len(fields) != len(_FIELDS):
        number = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
        return [f"has {number}; it takes 5, {_EXAMPLE}, or 6 with seconds first"]
    wrong = [
        next(_complaint(place, term) for term in field.split(",") if not _sound(place, term))
        for place, field in enumerate(fields)
        if not _sound(place, field)
    ]
    return wrong or _complaints_about_dates(fields)


def _complaints_about_dates(fields: list[str]) -> list[str]:
    try:
        if named_days(*fields[3:]).exist():
            return []
    except CronSimError:
        pass
    return ["names no date that ever comes, like a 30 February"]


def _sound(place: int, term: str) -> bool:
    fields = ["*"] * len(_FIELDS)
    fields[place] = term
    try:
        CronSim(" ".join(fields), ANY_DATE)
    except CronSimError:
        return False
    return term != ""


def _complaint(place: int, term: str) -> str:
    field, shown = _FIELDS[place], repr(term[:20])
    if not term:
        return f"{field.name}: there is nothing beside a comma"
    values, slash, step = term.partition("/")
    if slash and not (step.isdigit() and int(step)):
        return f"{field.name}: the step of {shown} must be a whole number from 1"
    for number in re.findall(r"\d+", values.partition("#")[0]):
        if not field.low <= int(number) <= field.high:
            return f"{field.name}: {number[:20]} is outside {field.low}-{field.high}"
    ends = values.split("-")
    if len(ends) == 2 and all(_VALUE.fullmatch(end) and _sound(place, end) for end in ends):
        return f"{field.name}: the range {shown} runs backwards"
    return f"{field.name}: {shown} is not understood; use {field.allowed()}"
