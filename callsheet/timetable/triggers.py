"""The rules of `when`, and the JSON documents that stand for them."""

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from attrs import frozen

from callsheet.errors import FieldError, Invalid
from callsheet.instants import SECOND, format_instant, parse_duration, parse_instant, to_seconds
from callsheet.timetable.expressions import read_expression
from callsheet.timetable.zones import read_zone
from callsheet.validation import pointer


@frozen
class Every:
    """Due at `anchor`, and every `interval` microseconds from then on."""

    interval: int
    anchor: int


@frozen
class Cron:
    """Due when the clocks of `timezone` show what `expression` names; both have been checked."""

    expression: str
    timezone: str


@frozen
class At:
    """Due once."""

    instant: int


@frozen
class After:
    """Due whenever an instance of `schedule` ends as `on` says; no clock names these due times."""

    schedule: str
    on: str


Trigger = Every | Cron | At | After


@frozen
class Bounded:
    """A trigger that names nothing before `starts_at` nor after `ends_at` (None: no bound)."""

    trigger: Trigger
    starts_at: int | None
    ends_at: int | None


Plan = Trigger | Bounded

ENDS = {  # what `on` of an After stands for: the outcomes that make it due
    "success": ("succeeded",),
    "failure": ("failed", "timed_out", "interrupted", "lost"),
    "any": ("succeeded", "failed", "timed_out", "cancelled", "interrupted", "lost"),
}

_FIELDS = {"every": {"every", "anchor"}, "cron": {"cron", "timezone"}, "at": {"at"}, "after": {"after", "on"}}
KINDS = tuple(_FIELDS)
_SHAPES = '{"every": "30s"}, {"cron": "0 2 * * *"}, {"at": "2027-08-08T17:35:00Z"} or {"after": "other-schedule"}'
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
"""What the id of a schedule looks like."""

_Value = TypeVar("_Value")


def parse_trigger(document: object, *, anchor: int) -> Trigger:
    """Read a trigger from its JSON document; `anchor` is for an interval that names none.

    Raises Invalid with every wrong field at once, its pointers relative to the document.
    """
    if not isinstance(document, Mapping):
        raise Invalid(FieldError("", f"must be an object: {_SHAPES}"))
    kinds = [kind for kind in _FIELDS if kind in document]
    errors = _unknown_fields(document, kinds or list(_FIELDS))
    if len(kinds) != 1:
        raise Invalid(FieldError("", f"must have exactly one of every, cron, at and after: {_SHAPES}"), *errors)
    reader = _Reader(document, errors)
    trigger = _READERS[kinds[0]](reader, anchor)
    if trigger is None or errors:
        raise Invalid(*errors)
    return trigger


def trigger_document(trigger: Trigger) -> dict[str, object]:
    """Write a trigger as JSON, defaults filled in; `parse_trigger` reads it back as it was."""
    match trigger:
        case Every():
            return {"every": to_seconds(trigger.interval), "anchor": format_instant(trigger.anchor)}
        case Cron():
            return {"cron": trigger.expression, "timezone": trigger.timezone}
        case At():
            return {"at": format_instant(trigger.instant)}
        case After():
            return {"after": trigger.schedule, "on": trigger.on}


def bounded(trigger: Trigger, starts_at: int | None, ends_at: int | None) -> Plan:
    """Return a trigger within its bounds, itself where there are none."""
    return trigger if starts_at is None and ends_at is None else Bounded(trigger, starts_at, ends_at)


def trigger_of(plan: Plan) -> Trigger:
    """Return the trigger of a plan, without its bounds."""
    return plan.trigger if isinstance(plan, Bounded) else plan


@frozen
class _Reader:
    """Reads the fields of one document and collects what is wrong with them."""

    document: Mapping[object, object]
    errors: list[FieldError]

    def read(self, name: str, how: Callable[[object], _Value], default: object = None) -> _Value | None:
        try:
            return how(self.document.get(name, default))
        except ValueError as wrong:
            self.errors.append(FieldError(f"/{name}", str(wrong)))
            return None


def _unknown_fields(document: Mapping[object, object], kinds: list[str]) -> list[FieldError]:
    known = set().union(*(_FIELDS[kind] for kind in kinds))
    names = [str(name) for name in document if name not in known]
    whose = f" of a trigger with {kinds[0]}" if len(kinds) == 1 else " of a trigger"
    return [FieldError(pointer(name), f"is not a field{whose}") for name in names]


def _read_every(reader: _Reader, anchor: int) -> Every | None:
    interval = reader.read("every", _read_interval)
    start = anchor
    if "anchor" in reader.document:
        start = reader.read("anchor", _read_instant) or 0
    return None if interval is None else Every(interval, start)


def _read_cron(reader: _Reader, _anchor: int) -> Cron | None:
    expression = reader.read("cron", read_expression)
    timezone = reader.read("timezone", read_zone, default="UTC")
    return None if expression is None or timezone is None else Cron(expression, timezone)


def _read_at(reader: _Reader, _anchor: int) -> At | None:
    instant = reader.read("at", _read_instant)
    return None if instant is None else At(instant)


def _read_after(reader: _Reader, _anchor: int) -> After | None:
    schedule = reader.read("after", _read_slug)
    on = reader.read("on", _read_on, default="success")
    return None if schedule is None or on is None else After(schedule, on)


_READERS: dict[str, Callable[[_Reader, int], Trigger | None]] = {
    "every": _read_every,
    "cron": _read_cron,
    "at": _read_at,
    "after": _read_after,
}


def _read_interval(value: object) -> int:
    interval = parse_duration(value)
    if interval < SECOND:
        raise ValueError("must be at least 1 second")
    return interval


def _read_instant(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError("must be an RFC 3339 time with an offset, like 2027-08-08T17:35:00Z")  # noqa: TRY004
    return parse_instant(value)


def _read_slug(value: object) -> str:
    if not isinstance(value, str) or not SLUG.fullmatch(value):
        raise ValueError("must be the id of a schedule")
    return value


def _read_on(value: object) -> str:
    if not isinstance(value, str) or value not in ENDS:
        raise ValueError("must be one of " + ", ".join(ENDS))
    return value
