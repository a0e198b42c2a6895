"""When a trigger is due: pure functions of the trigger and the instants asked about, no clock.

Due times are strictly increasing and do not depend on where one starts to look. All ranges are
(after, until]; instants outside 0..LAST name no due time.
"""

from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, assert_never

from callsheet.instants import LAST, SECOND, to_datetime
from callsheet.timetable.cron import timetable
from callsheet.timetable.triggers import After, At, Bounded, Cron, Every, Plan, trigger_of
from callsheet.timetable.zones import load_zone

if TYPE_CHECKING:
    from collections.abc import Iterator


def next_due(trigger: Plan, after: int) -> int | None:
    """Return the first due time strictly after `after`; None when there is none any more."""
    return _first(trigger, after, LAST)


def _first(trigger: Plan, after: int, until: int) -> int | None:
    match trigger:
        case Every():
            steps = (after - trigger.anchor) // trigger.interval + 1
            due = trigger.anchor + steps * trigger.interval if steps > 0 else trigger.anchor
        case Cron():
            start, stop = _whole_seconds(after, until)
            second = _first_second(trigger.expression, trigger.timezone, start, stop)
            return None if second is None else second * SECOND
        case At():
            due = trigger.instant
        case After():
            return None
        case Bounded():
            return _first(trigger.trigger, *_within(trigger, after, until))
        case _:
            assert_never(trigger)
    return due if after < due <= until else None


@lru_cache(maxsize=256)
def _first_second(expression: str, timezone: str, start: int, stop: int) -> int | None:
    """Many schedules have the same expression, and are asked about at the same moment: those of every full hour."""
    return timetable(expression, timezone).first(start, stop)


def last_due(trigger: Plan, after: int, until: int) -> int | None:
    """Return the latest due time in (after, until]; None when there is none."""
    until = min(until, LAST)
    match trigger:
        case Every():
            due = until - (until - trigger.anchor) % trigger.interval
            return due if due > after and due >= trigger.anchor else None
        case Cron():
            start, stop = _whole_seconds(after, until)
            second = timetable(trigger.expression, trigger.timezone).last(start, stop)
            return None if second is None else second * SECOND
        case At():
            return trigger.instant if after < trigger.instant <= until else None
        case After():
            return None
        case Bounded():
            return last_due(trigger.trigger, *_within(trigger, after, until))
        case _:
            assert_never(trigger)


def count_due(trigger: Plan, after: int, until: int) -> int:
    """Count the due times in (after, until], without going through them."""
    until = min(until, LAST)
    match trigger:
        case Every():
            return max(0, _due_until(trigger, until) - _due_until(trigger, after))
        case Cron():
            start, stop = _whole_seconds(after, until)
            return timetable(trigger.expression, trigger.timezone).count(start, stop)
        case At():
            return int(after < trigger.instant <= until)
        case After():
            return 0
        case Bounded():
            return count_due(trigger.trigger, *_within(trigger, after, until))
        case _:
            assert_never(trigger)


def upcoming(trigger: Plan, after: int, limit: int, until: int | None = None) -> list[int]:
    """Return the first due times in (after, until], at most `limit` of them."""
    return list(islice(_walk(trigger, after, LAST if until is None else min(until, LAST)), limit))


def local_time(trigger: Plan, instant: int) -> str:
    """Write an instant as ISO 8601 with the offset that the trigger's zone has then."""
    inner = trigger_of(trigger)
    zone = load_zone(inner.timezone) if isinstance(inner, Cron) else UTC
    moment: datetime = to_datetime(instant).astimezone(zone)
    return moment.isoformat()


def _within(plan: Bounded, after: int, until: int) -> tuple[int, int]:
    """Return the part of (after, until] that lies within a plan's bounds, which belong to it."""
    opening = after if plan.starts_at is None else max(after, plan.starts_at - 1)
    return opening, until if plan.ends_at is None else min(until, plan.ends_at)


def _walk(trigger: Plan, after: int, until: int) -> "Iterator[int]":
    while (due := _first(trigger, after, until)) is not None:
        yield due
        after = due


def _due_until(trigger: Every, until: int) -> int:
    return max(0, (until - trigger.anchor) // trigger.interval + 1)


def _whole_seconds(after: int, until: int) -> tuple[int, int]:
    """Return [start, stop) in seconds for (after, until] in microseconds."""
    return max(after // SECOND + 1, 0), min(until, LAST) // SECOND + 1
