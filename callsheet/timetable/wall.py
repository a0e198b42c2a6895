"""What a cron expression names on a wall calendar, before any zone turns it into instants.

A *wall second* is an `int`: seconds since 1970-01-01T00:00:00 as a wall clock reads them. All
ranges are half open. Nothing is searched second by second: a time of day has a rank among the
named times of its day, a year is one of fourteen kinds, and the rest is arithmetic.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import date, timedelta

from attrs import field, frozen

DAY = 86_400
_EPOCH = date(1970, 1, 1).toordinal()
# Between them these years begin on every weekday, leap and common: all fourteen kinds there are.
_ALL_KINDS = range(2000, 2028)


@frozen
class Clock:
    """The named times of day: every combination of these values, which are sorted."""

    hours: Sequence[int]
    minutes: Sequence[int]
    seconds: Sequence[int]
    size: int = field(init=False)

    @size.default
    def _count_all(self) -> int:
        return len(self.hours) * len(self.minutes) * len(self.seconds)

    def rank(self, time: int) -> int:
        """Count the named times of day before `time` (seconds since midnight)."""
        hour, rest = divmod(time, 3600)
        minute, second = divmod(rest, 60)
        rank, named = _place(self.hours, hour)
        rank *= len(self.minutes)
        if named:
            earlier, named = _place(self.minutes, minute)
            rank += earlier
        rank *= len(self.seconds)
        return rank + bisect_left(self.seconds, second) if named else rank

    def at(self, rank: int) -> int:
        """Return the named time of day that has `rank` others before it."""
        rank, second = divmod(rank, len(self.seconds))
        hour, minute = divmod(rank, len(self.minutes))
        return self.hours[hour] * 3600 + self.minutes[minute] * 60 + self.seconds[second]


def _place(values: Sequence[int], value: int) -> tuple[int, bool]:
    index = bisect_left(values, value)
    return index, index < len(values) and values[index] == value


@frozen(eq=False)
class Days:
    """The named dates, as days since 1970-01-01; `names` is asked once per kind of year."""

    names: Callable[[date], bool]
    _kinds: dict[tuple[int, int], tuple[int, ...]] = field(factory=dict, init=False)

    def exist(self) -> bool:
        """Tell whether any date is ever named."""
        return any(self._dates(year) for year in _ALL_KINDS)

    def first(self, start: int, stop: int) -> int | None:
        """Return the first named day in [start, stop)."""
        for year in range(_year(start), _year(stop - 1) + 1):
            opening, dates = _opening(year), self._dates(year)
            index = bisect_left(dates, start - opening)
            if index < len(dates):
                found = opening + dates[index]
                return found if found < stop else None
        return None

    def last(self, start: int, stop: int) -> int | None:
        """Return the last named day in [start, stop)."""
        for year in range(_year(stop - 1), _year(start) - 1, -1):
            opening, dates = _opening(year), self._dates(year)
            index = bisect_left(dates, stop - opening)
            if index:
                found = opening + dates[index - 1]
                return found if found >= start else None
        return None

    def count(self, start: int, stop: int) -> int:
        """Count the named days in [start, stop)."""
        total = 0
        for year in range(_year(start), _year(stop - 1) + 1):
            opening, dates = _opening(year), self._dates(year)
            total += bisect_left(dates, stop - opening) - bisect_left(dates, start - opening)
        return total

    def _dates(self, year: int) -> tuple[int, ...]:
        """Return the named days of a year, counted from its 1 January."""
        opening = date(year, 1, 1)
        length = (date(year, 12, 31) - opening).days + 1
        kind = length, opening.weekday()
        if kind not in self._kinds:
            dates = (day for day in range(length) if self.names(opening + timedelta(days=day)))
            self._kinds[kind] = tuple(dates)
        return self._kinds[kind]


def _year(day: int) -> int:
    return date.fromordinal(day + _EPOCH).year


def _opening(year: int) -> int:
    return date(year, 1, 1).toordinal() - _EPOCH


@frozen
class Calendar:
    """The wall seconds that are named: each time of `clock` on each date of `days`."""

    clock: Clock
    days: Days

    def first(self, start: int, stop: int) -> int | None:
        """Return the first named wall second in [start, stop)."""
        if start >= stop:
            return None
        today, time = divmod(start, DAY)
        rank = self.clock.rank(time)
        later_today = rank < self.clock.size
        day = self.days.first(today if later_today else today + 1, (stop - 1) // DAY + 1)
        if day is None:
            return None
        found = day * DAY + self.clock.at(rank if day == today else 0)
        return found if found < stop else None

    def last(self, start: int, stop: int) -> int | None:
        """Return the last named wall second in [start, stop)."""
        if start >= stop:
            return None
        today, time = divmod(stop, DAY)
        rank = self.clock.rank(time)
        day = self.days.last(start // DAY, today + 1 if rank else today)
        if day is None:
            return None
        found = day * DAY + self.clock.at((rank if day == today else self.clock.size) - 1)
        return found if found >= start else None

    def count(self, start: int, stop: int) -> int:
        """Count the named wall seconds in [start, stop)."""
        return self._before(stop, start // DAY) - self._before(start, start // DAY) if start < stop else 0

    def _before(self, stop: int, since_day: int) -> int:
        today, time = divmod(stop, DAY)
        whole_days = self.days.count(since_day, today) * self.clock.size
        return whole_days + self.days.count(today, today + 1) * self.clock.rank(time)
