"""What happens in a simulation, counted as it is committed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from uuid import UUID

from attrs import define, field, frozen

from callsheet.clock import Clock
from callsheet.instants import MINUTE, SECOND
from callsheet.virtual.stand_in import Fates
from storage.journal.facts import DueOmitted, Fact, InstanceEnded, InstanceQueued, InstanceStarted

_BY_ITSELF = ("succeeded", "failed")


@define
class Line:
    """The account of one schedule."""

    firings: int = 0
    retries: int = 0
    queued: int = 0
    busy: float = 0.0
    running: int = 0
    peak: int = 0
    latest: int = 0  # by how much the latest start was late (duration)
    outcomes: Counter[str] = field(factory=Counter)
    omissions: Counter[tuple[str, str]] = field(factory=Counter)


@define
class Tally:
    """The account of all: a line for each schedule, and when instances began and ended (instants).

    `resolution` (a duration) is how finely is simulated: nothing was late by less, and a run took as long as its fate
    or its time-out says rather than until its end was noticed.
    """

    clock: Clock
    lines: dict[str, Line]
    fates: Fates
    resolution: int
    starts: list[int] = field(factory=list)
    ends: list[int] = field(factory=list)
    flashes: dict[int, int] = field(factory=dict)  # instants in which a run began and ended -> the most at once then
    _running: int = 0
    _most: tuple[int, int] = (0, 0)  # an instant, and how many ran at once in it so far
    _begun: dict[UUID, InstanceStarted] = field(factory=dict)  # those who run

    def watch(self, facts: list[Fact]) -> None:
        """Take in what was committed."""
        now = self.clock.now()
        for fact in facts:
            if isinstance(fact, InstanceStarted):
                self._started(fact, now)
            elif isinstance(fact, InstanceEnded):
                self._ended(fact, now)
            elif isinstance(fact, DueOmitted):
                self.lines[fact.schedule].omissions[fact.fate, fact.reason] += fact.count
            elif isinstance(fact, InstanceQueued) and fact.start_after is None and fact.schedule:
                self.lines[fact.schedule].queued += 1

    def _started(self, fact: InstanceStarted, now: int) -> None:
        line = self.lines[fact.schedule or ""]
        if fact.attempt > 1:
            line.retries += 1
        else:
            line.firings += 1
            if fact.due_at is not None:
                late = now - fact.due_at
                line.latest = line.latest if late < self.resolution else max(line.latest, late)
        line.running += 1
        line.peak = max(line.peak, line.running)
        self._running += 1
        at, most = self._most
        self._most = now, max(most, self._running) if at == now else self._running
        self.starts.append(now)
        self._begun[fact.id] = fact

    def _ended(self, fact: InstanceEnded, now: int) -> None:
        line = self.lines[fact.schedule or ""]
        line.outcomes[fact.outcome] += 1
        fate = self.fates.met.pop(fact.id, fact.seconds)
        if fact.id not in self._begun:  # what was cancelled in its queue never ran
            return
        begun = self._begun.pop(fact.id)
        timeout = begun.timeout
        if fact.outcome == "timed_out" and timeout is not None:
            line.busy += timeout / SECOND
        else:
            line.busy += fate if fact.outcome in _BY_ITSELF else fact.seconds
        line.running -= 1
        self._running -= 1
        self.ends.append(now)
        if begun.started_at == now:
            self.flashes[now] = self._most[1]

    def close(self, end: int) -> None:
        """Count what is unfinished as busy until the end."""
        for fact in self._begun.values():
            lasting = (end - fact.started_at) / SECOND
            self.lines[fact.schedule or ""].busy += min(lasting, self.fates.met.get(fact.id, lasting))


@frozen
class Rush:
    """How many ran at once: at most, since when, and in which minutes the most (minute, at once, started)."""

    peak: int
    peak_at: int | None
    busiest: list[tuple[int, int, int]]

    @classmethod
    def of(cls, starts: Sequence[int], ends: Sequence[int], flashes: Mapping[int, int], most: int) -> "Rush":
        """Reckon it from when instances began and ended; what ends as another begins does not overlap with it.

        `flashes` says how many ran at once in those instants in which some began and ended.
        """
        started = Counter(start - start % MINUTE for start in starts)
        peak, peak_at = 0, None
        peaks: dict[int, int] = {}
        for at, running in _levels(starts, ends, flashes):
            minute = at - at % MINUTE
            peaks[minute] = max(peaks.get(minute, 0), running)
            if running > peak:
                peak, peak_at = running, at
        ranked = sorted(peaks, key=lambda minute: (-peaks[minute], -started[minute], minute))
        return cls(peak, peak_at, [(minute, peaks[minute], started[minute]) for minute in ranked[:most]])


def _levels(starts: Iterable[int], ends: Iterable[int], flashes: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """Yield how many ran: at each instant the most, once the first of those who end then has ended."""
    running, began, ended = 0, Counter(starts), Counter(ends)
    for at in sorted(began.keys() | ended.keys()):
        if ended[at]:
            yield at, running - 1
        running += began[at] - ended[at]
        if began[at]:
            yield at, max(running, flashes.get(at, 0))
