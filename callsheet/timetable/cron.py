"""The due times of a cron expression in a zone; where clocks change, by the rules of Debian's cron.

A *fixed time* (no field of its time of day begins with `*`) is due once on each civil day: when the
gap ends if clocks jump over it, and the first time of two if they go back over it. Anything else
follows real time: due whenever the clocks show what is named.

Both are one picture. A zone is a row of spells of one offset; each spell owns a stretch of wall
time, and a wall second `w` of it falls due at `w - offset`, but not before the spell begins. The
rules differ only in where that stretch opens: for real time at what the clocks show when the spell
begins, for fixed times where the spell before it left off, so that no wall second is owned twice or
by nobody. Nothing here depends on where a search began; docs/decisions/0004 says why that matters.

All arguments and results are seconds since the epoch, all ranges half open.
"""

from functools import lru_cache

from attrs import frozen
from cronsim import CronSim

from callsheet.timetable.expressions import ANY_DATE, named_days, spelled_out
from callsheet.timetable.wall import Calendar, Clock
from callsheet.timetable.zones import Spell, spell_at

_MARGIN = 86_400  # more than any wall clock was ever away from UTC


@frozen
class Timetable:
    """The due times of one cron trigger."""

    calendar: Calendar
    zone: str
    fixed: bool

    def first(self, start: int, stop: int) -> int | None:
        """Return the first due second in [start, stop)."""
        while start < stop:
            spell = spell_at(self.zone, start)
            wall = self.calendar.first(self._opening(spell, start), _closing(spell, stop))
            if wall is not None:
                return max(wall - spell.offset, spell.changed)
            start = self._leap(spell.end, stop)
        return None

    def last(self, start: int, stop: int) -> int | None:
        """Return the last due second in [start, stop)."""
        while start < stop:
            spell = spell_at(self.zone, stop - 1)
            opening = self._opening(spell, max(start, spell.start))
            wall = self.calendar.last(opening, _closing(spell, stop))
            if wall is not None:
                return max(wall - spell.offset, spell.changed)
            stop = self._leap_back(start, spell.start)
        return None

    def count(self, start: int, stop: int) -> int:
        """Count the due seconds in [start, stop)."""
        total = 0
        while start < stop:
            spell = spell_at(self.zone, start)
            total += self._count_in(spell, start, stop)
            start = self._leap(spell.end, stop)
        return total

    def _count_in(self, spell: Spell, start: int, stop: int) -> int:
        opening, closing = self._opening(spell, start), _closing(spell, stop)
        after_gap = spell.changed + spell.offset + 1
        if opening >= after_gap:
            return self.calendar.count(opening, closing)
        # All that is named in a gap, and the first second after it, falls due in one instant.
        in_gap = self.calendar.first(opening, after_gap) is not None
        return in_gap + self.calendar.count(after_gap, closing)

    def _opening(self, spell: Spell, start: int) -> int:
        """Return the first wall second that a spell owns from `start` (which lies in it) on."""
        owned = spell.changed + (spell.before if self.fixed else spell.offset)
        return owned if start == spell.changed else max(owned, start + spell.offset)

    def _leap(self, start: int, stop: int) -> int:
        """Return where to look on: rare dates need no walk through the years before them."""
        wall = self.calendar.first(start - _MARGIN, stop + _MARGIN)
        return stop if wall is None else max(start, wall - _MARGIN)

    def _leap_back(self, start: int, stop: int) -> int:
        wall = self.calendar.last(start - _MARGIN, stop + _MARGIN)
        return start if wall is None else min(stop, wall + _MARGIN)


def _closing(spell: Spell, stop: int) -> int:
    return min(spell.end, stop) + spell.offset


@lru_cache(maxsize=2048)
def timetable(expression: str, zone: str) -> Timetable:
    """Return the due times of an expression and a zone that have been checked."""
    second, minute, hour, *days = spelled_out(expression)
    rule = CronSim(f"{second} {minute} {hour} * * *", ANY_DATE)
    clock = Clock(*(tuple(sorted(values)) for values in (rule.hours, rule.minutes, rule.seconds)))
    fixed = not any(field.startswith("*") for field in (second, minute, hour))
    return Timetable(Calendar(clock, named_days(*days)), zone, fixed)
