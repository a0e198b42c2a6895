"""The three rules of `when`, and the JSON documents that stand for them."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from attrs import frozen

from callsheet.errors import FieldError, Invalid
from callsheet.instants import SECOND, format_instant, parse_duration, parse_instant, to_seconds
from callsheet.timetable.expressions import read_expression
from callsheet.timetable.zones import read_zone


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


Trigger = Every | Cron | At

_FIELDS = {"every": {"every", "anchor"}, "cron": {"cron", "timezone"}, "at": {"at"}}
_SHAPES = '{"every": "30s"}, {"cron": "0 2 * * *"} or {"at": "2027-08-08T17:35:00Z"}'
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
        raise Invalid(FieldError("", f"must have exactly one of every, cron and at: {_SHAPES}"), *errors)
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
    return [FieldError(f"/{_escaped(name)}", f"is not a field{whose}") for name in names]


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


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


_READERS: dict[str, Callable[[_Reader, int], Trigger | None]] = {
    "every": _read_every,
    "cron": _read_cron,
    "at": _read_at,
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
