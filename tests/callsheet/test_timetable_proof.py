"""Every zone, every change of its clocks from 1970 to 2037, a few hundred expressions: due as the wall clock says.

What is expected comes from walking through the time around a change, tick by tick, and looking at what `zoneinfo`
shows; nothing of the timetable is asked, and the expressions are made from sets of values, so not even their text is
read here. A change is looked at with a few expressions in each zone that makes it, by turns; `make prove-timetable`
takes all of them, and every second.

Many zones change together. The walk is done once for all zones that change at one instant by one amount, which is
sound because no zone changes twice within the time looked at, so that those two offsets are all the zone shows there.
"""

import os
import zoneinfo
from bisect import bisect_left, bisect_right
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib.resources import files
from io import BytesIO
from itertools import chain, cycle, groupby, pairwise
from operator import itemgetter
from random import Random
from zoneinfo import ZoneInfo

import pytest
from attrs import frozen

from callsheet.instants import SECOND
from callsheet.timetable import Cron, count_due, last_due, next_due, upcoming
from callsheet.timetable.expressions import read_expression
from callsheet.timetable.zones import spell_at

ALL = os.environ.get("PROVE_TIMETABLE") == "all"
MINUTE, HOUR, DAY, FORTNIGHT = 60, 3600, 86_400, 14 * 86_400
FARTHEST = 10 * HOUR  # how far to look around a change that is none of whole days
END = int(datetime.fromisoformat("2038-01-01T00:00Z").timestamp())
ZONES = sorted(set(files("tzdata").joinpath("zones").read_text("ascii").split()) - {"Factory"})
pytestmark = pytest.mark.timeout(3600 if ALL else 120)
YEARS = [range(*ends) for ends in pairwise((1970, 1980, 1990, 2000, 2012, 2024, 2038))]


# The changes of all zones, as the bundled files list them


@frozen(order=True)
class Change:
    """At `at`, clocks that were `before` seconds ahead of UTC became `after` seconds ahead."""

    at: int
    before: int
    after: int

    size = property(lambda self: abs(self.after - self.before))
    in_minutes = property(lambda self: all(number % MINUTE == 0 for number in (self.at, self.before, self.after)))


@cache
def data_of(key):
    return files("tzdata").joinpath("zoneinfo", *key.split("/")).read_bytes()


NAMES = list({data_of(key): key for key in ZONES}.values())  # the others are second names for the same data


@cache
def place(key):
    return ZoneInfo.from_file(BytesIO(data_of(key)), key=key)


def offset(key, second):
    return int(datetime.fromtimestamp(second, place(key)).utcoffset().total_seconds())


@cache
def listed(key):
    """Return [(second, offset from then on)] as the 64-bit block of a zone's file lists them."""
    data = data_of(key)
    for width in (4, 8):
        ut, std, leap, times, types, chars = (int.from_bytes(data[at : at + 4], "big") for at in range(20, 44, 4))
        body, data = data[44:], data[44 + times * (width + 1) + types * 6 + chars :]
        data = data[leap * (width + 4) + std + ut :]
    number = lambda at, size: int.from_bytes(body[at : at + size], "big", signed=True)  # noqa: E731
    kinds = body[times * 8 : times * 9]
    offsets = [number(times * 9 + kind * 6, 4) for kind in range(types)]
    return [(-1, offsets[0]), *((number(at * 8, 8), offsets[kinds[at]]) for at in range(times))]


@cache
def changes_of(key):
    """Return the changes of a zone from 1970 to 2037, oldest first."""
    steps = [Change(at, before, after) for (_, before), (at, after) in pairwise(listed(key)) if before != after]
    return [step for step in steps if 0 <= step.at < END] + list(ruled(key, max(0, listed(key)[-1][0] + 1)))


def ruled(key, start):
    """Yield the changes past the last one listed: they follow a rule, with two a year, months apart."""
    for early in range(start, END, FORTNIGHT):
        late = min(early + FORTNIGHT, END)
        before, after = offset(key, early), offset(key, late)
        if before != after:
            at = early + bisect_left(range(early, late), True, key=lambda second: offset(key, second) != before)
            yield Change(at, before, after)


@cache
def all_changes():
    """Return {change: the zones that make it}, with one name for each zone."""
    found = defaultdict(list)
    for key in NAMES:
        for change in changes_of(key):
            found[change].append(key)
    return dict(found)


# Expressions, made from what they mean


@frozen(eq=False)
class Field:
    """One field of an expression, its text and what it means; of days, what it means of a date."""

    text: str
    means: object
    wild = property(lambda self: self.text[0] == "*")


@frozen(eq=False)
class Expression:
    """Six fields; `text` has seconds only if they are not 0."""

    second: Field
    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field

    @property
    def text(self):
        fields = [self.second, self.minute, self.hour, self.day, self.month, self.weekday]
        return " ".join(field.text for field in fields[self.second.text == "0" :])

    @property
    def fixed(self):
        return not (self.second.wild or self.minute.wild or self.hour.wild)

    def names_date(self, day):
        """Both days must fit if one of them is a wildcard, and either will do if none is."""
        both = all if self.day.wild or self.weekday.wild else any
        return day.month in self.month.means and both((self.day.means(day), self.weekday.means(day)))

    def names_time(self, time):
        hour, rest = divmod(time, HOUR)
        minute, second = divmod(rest, MINUTE)
        return second in self.second.means and minute in self.minute.means and hour in self.hour.means


def listing(*values):
    return Field(",".join(map(str, values)), frozenset(values))


def every(high, step=1, low=0):
    return Field("*" if step == 1 else f"*/{step}", frozenset(range(low, high + 1, step)))


def span(first, last, step=1):
    return Field(f"{first}-{last}" + (f"/{step}" if step > 1 else ""), frozenset(range(first, last + 1, step)))


ZERO = listing(0)
LAST_DAY = lambda day: (day + timedelta(days=1)).day == 1  # noqa: E731


def of_month(field):
    return Field(field.text, lambda day: day.day in field.means)


def of_week(text, *isodays):
    return Field(text, lambda day: day.isoweekday() in isodays)


def last_working_day(day):
    later = (day + timedelta(days=more) for more in range(1, 7))
    return day.isoweekday() <= 5 and all(other.month != day.month or other.isoweekday() > 5 for other in later)


def nth(text, isoday, number):
    return Field(text, lambda day: day.isoweekday() == isoday and (day.day - 1) // 7 + 1 == number)


def final(text, isoday):
    return Field(text, lambda day: day.isoweekday() == isoday and (day + timedelta(days=7)).month != day.month)


ANY_DAY, ANY_MONTH = of_month(every(31, low=1)), every(12, low=1)
ANY_WEEKDAY = of_week("*", *range(1, 8))
SECONDS = [ZERO, listing(30), listing(0, 1, 59), every(59), every(59, 7), span(10, 50, 20), span(58, 59)]
MINUTES = [
    *(ZERO, listing(1), listing(30), listing(59), listing(0, 30), listing(5, 17, 44)),
    *(every(59), every(59, 5), every(59, 7), every(59, 15), every(59, 45), span(0, 59), span(3, 50, 9), span(29, 31)),
]
HOURS = [
    *(ZERO, listing(1), listing(2), listing(3), listing(12), listing(23), listing(0, 12), listing(1, 2, 3)),
    *(every(23), every(23), every(23, 2), every(23, 5), span(0, 23), span(0, 4), span(22, 23), span(1, 23, 2)),
]
DAYS = [
    *(of_month(listing(*days)) for days in ((1,), (15,), (25, 26, 27), (29,), (30,), (31,), (28, 1))),
    *(of_month(every(31, step, low=1)) for step in (2, 3)),
    *(of_month(span(*ends)) for ends in ((1, 7), (24, 31), (2, 30, 2))),
    *(Field("L", LAST_DAY), Field("LW", last_working_day), Field("1,L", lambda day: day.day == 1 or LAST_DAY(day))),
]
MONTHS = [
    *(listing(3), listing(10), listing(1, 4, 9, 12), span(3, 11), span(1, 12, 2), every(12, 3, low=1)),
    *(Field("MAR,OCT", {3, 10}), Field("jan-jun", set(range(1, 7))), Field("FEB-NOV/3", {2, 5, 8, 11})),
]
WEEKDAYS = [
    *(of_week("0", 7), of_week("7", 7), of_week("SUN", 7), of_week("0,6", 6, 7), of_week("5-7", 5, 6, 7)),
    *(of_week("mon-FRI", 1, 2, 3, 4, 5), of_week("*/2", 7, 2, 4, 6), of_week("1-6/2", 1, 3, 5), of_week("sat", 6)),
    *(nth("0#1", 7, 1), nth("SUN#2", 7, 2), nth("7#4", 7, 4), nth("5#5", 5, 5), final("0L", 7), final("5L", 5)),
]


def dates():
    """Return what a day, a month and a weekday can be together: any date, half of the time."""
    some = [(day, ANY_MONTH, ANY_WEEKDAY) for day in DAYS]
    some += [(ANY_DAY, ANY_MONTH, weekday) for weekday in WEEKDAYS]
    some += [(ANY_DAY, month, ANY_WEEKDAY) for month in MONTHS]
    some += zip(DAYS, cycle([ANY_MONTH, *MONTHS[:4]]), WEEKDAYS[::-1], strict=False)
    return chain.from_iterable(zip(some, cycle([(ANY_DAY, ANY_MONTH, ANY_WEEKDAY)]), strict=False))


@cache
def expressions():
    """Return some hundred expressions without seconds, the same ones each time, and some with them."""
    draw = Random(3)
    times = [(ZERO, minute, hour) for minute in MINUTES for hour in HOURS]
    draw.shuffle(times)
    plain = [Expression(*time, *days) for time, days in zip(times, cycle(dates()), strict=False)]
    moments = [(second, draw.choice(MINUTES), draw.choice(HOURS)) for second in SECONDS[1:] * 8]
    return plain, [Expression(*time, *days) for time, days in zip(moments, cycle(dates()), strict=False)]


def aimed(change):
    """Return expressions for the hours and minutes that this change leaves out or shows twice."""
    hours = {(change.at + shift) // HOUR % 24 for shift in (change.before, change.after, change.before - HOUR)}
    wall = (change.at + max(change.before, change.after) - 1) % DAY
    hour, minute = divmod(wall // MINUTE, 60)
    times = [
        *((listing(minute), listing(hour)), (listing(30), listing(*sorted(hours))), (every(59, 20), listing(hour))),
        *((listing(0, 15, 30, 45), every(23)), (span(0, 40, 8), span(min(hours), max(hours))), (ZERO, listing(hour))),
        *((listing(1, 31), every(23, 2)), (listing(minute), listing(change.at // HOUR % 24))),
    ]
    return [Expression(ZERO, *time, ANY_DAY, ANY_MONTH, ANY_WEEKDAY) for time in times]


# What is expected


@frozen
class Window:
    """What the clocks of a place show at each tick of [start, end): tick, civil day, second of that day."""

    start: int
    end: int
    real: list
    civil: list

    def due(self, expression):
        """Return the instants at which an expression is due here, in order and without doubles."""
        ticks = self.civil if expression.fixed else self.real
        days = {day: expression.names_date(date.fromordinal(day)) for day in {day for _, day, _ in ticks}}
        times = named_times(expression)
        named = {at for at, day, time in ticks if days[day] and time in times}
        return sorted(at * SECOND for at in named if self.start <= at < self.end)


@cache
def named_times(expression):
    return frozenset(filter(expression.names_time, range(0, DAY, MINUTE if expression.second is ZERO else 1)))


def look(key, change, reach, step):
    """See what the clocks show around a change; beyond that, as much as it takes to tell what they show twice."""
    zone, real, first = place(key), [], {}
    start, end = change.at - reach, change.at + reach
    for at in range(start - change.size, end + change.size, step):
        shown = datetime.fromtimestamp(at, zone)
        face = shown.toordinal(), shown.hour * HOUR + shown.minute * MINUTE + shown.second
        real.append((at, *face))
        first.setdefault(face, at)  # of two moments that look the same, the first one
    return Window(start, end, real, civil_ticks(first, step))


def civil_ticks(first, step):
    """Return every tick of civil time: one that is never shown is due with the one that follows it."""
    earliest, (day, time) = min(first), max(first)
    following, found = first[day, time], []
    while (day, time) >= earliest:
        following = first.get((day, time), following)
        found.append((following, day, time))
        day, time = (day, time - step) if time else (day - 1, DAY - step)
    return found


def check(window, zone, expression):
    """Hold every function of the timetable against what is expected, over the window and over parts of it."""
    trigger, expected = Cron(expression.text, zone), window.due(expression)
    after, until = window.start * SECOND - 1, window.end * SECOND - 1
    assert upcoming(trigger, after, len(expected) + 1, until) == expected, (zone, expression.text)
    middle = (after + until) // 2 + 1
    near = min(1800 * SECOND, (until - after) // 3)
    cuts = [after, middle - near, middle - 1, middle, middle + near, until]
    for early, late in [*pairwise(cuts), (after, until)]:
        low, high = bisect_right(expected, early), bisect_right(expected, late)
        found = count_due(trigger, early, late), last_due(trigger, early, late)
        assert found == (high - low, expected[high - 1] if high > low else None), (zone, expression.text, early, late)
        following = next_due(trigger, early)
        assert following == expected[low] if low < len(expected) else following > until, (zone, expression.text, early)


# The proofs


def test_every_zone_there_is_takes_part():
    zoneinfo.reset_tzpath(to=[])  # the bundled data alone
    try:
        assert zoneinfo.available_timezones() - {"Factory"} == set(ZONES)
    finally:
        zoneinfo.reset_tzpath()


def test_every_expression_that_takes_part_is_one_that_a_schedule_may_have():
    general = {expression.text for expression in chain.from_iterable(expressions())}
    special = {expression.text for change in all_changes() for expression in aimed(change)}
    assert all(read_expression(text) == text for text in general | special)
    assert len(general) > 250


def test_no_zone_changes_twice_within_the_time_looked_at():
    for key in ZONES:
        for early, late in pairwise(changes_of(key)):
            assert late.at - early.at > 2 * (FARTHEST + 2 * max(early.size, late.size)), key


@pytest.mark.parametrize("part", range(4))
def test_the_timetable_knows_every_change_of_every_zone_and_a_fixed_time_once_on_each_civil_day(part):
    for key in NAMES[part::4]:
        assert changes_known(key) == changes_of(key), key
        noons = [(at + offset(key, at) - 1 - DAY // 2) // DAY for at in (0, END)]
        assert count_due(Cron("0 12 * * *", key), -1, END * SECOND - 1) == noons[1] - noons[0], key


def changes_known(key):
    """Walk through all spells of a zone, which must leave no hole, and return the changes between them."""
    found, second = [], 0
    while second < END:
        spell = spell_at(key, second)
        assert spell.start <= second < spell.end
        if 0 < spell.changed == spell.start and spell.before != spell.offset:
            found.append(Change(spell.changed, spell.before, spell.offset))
        second = spell.end
    return found


def turns(years):
    """Return (change, zone, expressions): each takes its turn, with every zone that changes in these years."""
    turn = cycle(plain := expressions()[0])
    for number, change in enumerate(sorted(all_changes())):
        if datetime.fromtimestamp(change.at, UTC).year not in years:
            continue
        special, keys = aimed(change), all_changes()[change]
        for place_in_turn, key in enumerate(keys):
            if ALL:
                yield change, key, special if place_in_turn else [*special, *plain]
            else:
                one = next(turn) if place_in_turn % 2 else special[(number + place_in_turn) % len(special)]
                yield change, key, [one]


@pytest.mark.parametrize("years", YEARS, ids=lambda years: f"{years.start}-{years.stop - 1}")
def test_minutes_are_due_as_the_clocks_show_around_every_change_of_every_zone(years):
    for change, group in groupby(turns(years), key=itemgetter(0)):
        window = None
        for _, key, some in group:
            window = window or look(key, change, FARTHEST + change.size, MINUTE if change.in_minutes else 1)
            edges = [window.start, change.at - 1, change.at, window.end]
            assert [offset(key, at) for at in edges] == [change.before] * 2 + [change.after] * 2
            for expression in some:
                check(window, key, expression)


def test_seconds_are_due_as_the_clocks_show_around_every_kind_of_change():
    kinds = {(one.before - one.after, (one.at + one.before) % DAY): one for one in sorted(all_changes())}
    turn = cycle(expressions()[1])
    for change in all_changes() if ALL else kinds.values():
        key = all_changes()[change][0]
        window = look(key, change, 10 * MINUTE, 1)
        for _ in range(4):
            check(window, key, next(turn))
