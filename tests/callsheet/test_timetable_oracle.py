"""The timetable against the slowest way to be right: looking at the clock on the wall, tick by tick.

Nothing of the timetable is used to find what is expected; the expressions are made from sets of
values, so not even their text is read here.
"""

from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.instants import SECOND
from callsheet.timetable import count_due, last_due, next_due, parse_trigger, upcoming

HOUR, DAY = 3600, 86_400
MINUTES = {  # what happens there, and how long it is looked at
    ("America/New_York", "2025-03-09T07:00Z"): DAY,
    ("America/New_York", "2025-11-02T06:00Z"): DAY,
    ("Europe/Berlin", "2026-03-29T01:00Z"): DAY,
    ("Europe/Berlin", "2026-10-25T01:00Z"): DAY,
    ("Australia/Lord_Howe", "2025-04-05T15:00Z"): DAY,  # by half an hour
    ("Australia/Lord_Howe", "2025-10-04T15:30Z"): DAY,
    ("Pacific/Apia", "2011-12-30T10:00Z"): 2 * DAY,  # a day is missing
    ("Africa/Casablanca", "2026-02-15T02:00Z"): DAY,  # for Ramadan, the other way round
    ("Africa/Casablanca", "2026-03-22T02:00Z"): DAY,
    ("America/Sao_Paulo", "2018-11-04T03:00Z"): DAY,  # midnight is missing
    ("America/Sao_Paulo", "2018-02-18T02:00Z"): DAY,  # the day before is entered again
    ("America/St_Johns", "2010-11-07T02:31Z"): DAY,  # the same, a minute into the day
    ("UTC", "2024-02-29T00:00Z"): DAY,
}
SECONDS = dict.fromkeys([*MINUTES][:6], 2 * HOUR)


@frozen
class Part:
    """One field of an expression: its text, what it means, and whether it is a wildcard."""

    text: str
    values: frozenset[int]

    @property
    def wild(self):
        return self.text.startswith("*")


def parts(low, high):
    """Make fields over low..high."""
    every = range(low, high + 1)
    value = st.integers(low, high)
    pair = st.tuples(value, value).map(sorted)
    step = st.integers(1, (high - low) // 2 + 1)
    return st.one_of(
        st.just(Part("*", frozenset(every))),
        step.map(lambda n: Part(f"*/{n}", frozenset(every[::n]))),
        st.sets(value, min_size=1, max_size=4).map(lambda some: Part(",".join(map(str, some)), frozenset(some))),
        st.tuples(pair, step).map(
            lambda it: Part(f"{it[0][0]}-{it[0][1]}/{it[1]}", frozenset(range(it[0][0], it[0][1] + 1, it[1])))
        ),
    )


WEEKDAYS = st.one_of(
    st.just(Part("*", frozenset(range(7)))),
    st.sets(st.integers(0, 6), min_size=3).map(lambda some: Part(",".join(map(str, some)), frozenset(some))),
)
ANY = Part("*", frozenset(range(32)))


@frozen
class Expression:
    """Six fields; the month is always any."""

    second: Part
    minute: Part
    hour: Part
    day: Part
    weekday: Part
    with_seconds: bool

    @property
    def text(self):
        fields = [self.second, self.minute, self.hour, self.day, ANY, self.weekday]
        return " ".join(field.text for field in fields[not self.with_seconds :])

    @property
    def fixed(self):
        return not (self.second.wild or self.minute.wild or self.hour.wild)

    def names(self, wall):
        second, minute, hour, day, weekday = wall
        if self.day.wild or self.weekday.wild:
            date = day in self.day.values and weekday in self.weekday.values
        else:
            date = day in self.day.values or weekday in self.weekday.values
        return date and second in self.second.values and minute in self.minute.values and hour in self.hour.values


def expressions(*, with_seconds):
    days = st.one_of(st.just(ANY), parts(1, 31))
    second = parts(0, 59) if with_seconds else st.just(Part("0", frozenset([0])))
    return st.builds(Expression, second, parts(0, 59), parts(0, 23), days, WEEKDAYS, st.just(with_seconds))


def faces(moment):
    """Return what a clock and a calendar show: second, minute, hour, day, weekday (Sunday is 0)."""
    return moment.second, moment.minute, moment.hour, moment.day, moment.isoweekday() % 7


@cache
def ticks_of_real_time(zone, start, end, step):
    """Return [(instant, what the clocks show then)]."""
    place = ZoneInfo(zone)
    return [(at, faces(datetime.fromtimestamp(at, place))) for at in range(start, end, step)]


@cache
def ticks_of_civil_time(zone, start, end, step):
    """Return [(the first instant that shows it, or else follows it, what the clocks show)]."""
    place = ZoneInfo(zone)
    first, last = (
        int(datetime.fromtimestamp(at, place).replace(tzinfo=UTC).timestamp()) for at in (start - HOUR, end + HOUR)
    )
    found, instant = [], None
    for wall in range(last, first, -step):
        shown = datetime.fromtimestamp(wall, UTC).replace(tzinfo=None)
        at = int(shown.replace(tzinfo=place, fold=0).timestamp())
        if datetime.fromtimestamp(at, place).replace(tzinfo=None) == shown:
            instant = at  # what never is shown is due with the tick that follows it
        if instant is not None:
            found.append((instant, faces(shown)))
    return found[::-1]


def due_times(zone, expression, start, end, step):
    ticks = ticks_of_civil_time if expression.fixed else ticks_of_real_time
    named = {at for at, wall in ticks(zone, start, end, step) if expression.names(wall)}
    return sorted(at * SECOND for at in named if start <= at < end)


def window(where, reach):
    middle = int(datetime.fromisoformat(where[1]).timestamp())
    return middle - reach, middle + reach


def check(trigger, expected, start, end, fractions):
    """Hold every function against what is expected in [start, end), and in spans of it."""
    after, until = start * SECOND - 1, end * SECOND - 1
    assert upcoming(trigger, after, len(expected) + 1, until) == expected
    spans = [sorted(after + int(part * (until - after)) for part in pair) for pair in fractions]
    for early, late in [(after, until), *spans]:
        between = [due for due in expected if early < due <= late]
        assert count_due(trigger, early, late) == len(between)
        assert last_due(trigger, early, late) == (between[-1] if between else None)
        following = [due for due in expected if due > early]
        found = next_due(trigger, early)
        assert found == following[0] if following else found > until


PART = st.floats(0, 1) | st.floats(0.45, 0.55) | st.floats(0.495, 0.505)
FRACTIONS = st.lists(st.tuples(PART, PART), min_size=3, max_size=8)


@pytest.mark.parametrize("where", MINUTES, ids=" ".join)
@given(expression=expressions(with_seconds=False), fractions=FRACTIONS)
@settings(deadline=None, max_examples=60)
def test_minutes_are_due_when_the_wall_clock_says(where, expression, fractions):
    start, end = window(where, MINUTES[where])
    trigger = parse_trigger({"cron": expression.text, "timezone": where[0]}, anchor=0)

    check(trigger, due_times(where[0], expression, start, end, 60), start, end, fractions)


@pytest.mark.parametrize("where", SECONDS, ids=" ".join)
@given(expression=expressions(with_seconds=True), fractions=FRACTIONS)
@settings(deadline=None, max_examples=15)
def test_seconds_are_due_when_the_wall_clock_says(where, expression, fractions):
    start, end = window(where, SECONDS[where])
    trigger = parse_trigger({"cron": expression.text, "timezone": where[0]}, anchor=0)

    check(trigger, due_times(where[0], expression, start, end, 1), start, end, fractions)
