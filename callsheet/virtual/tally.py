"""What happens in a simulation, counted as it is committed."""

from collections import Counter

from attrs import define, field

from callsheet.clock import Clock
from callsheet.instants import MINUTE
from storage.journal.facts import DueOmitted, Fact, InstanceEnded, InstanceQueued, InstanceStarted


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
    """The account of all; `peaks` and `starts` are by minute, as instants."""

    clock: Clock
    lines: dict[str, Line]
    running: int = 0
    peak: int = 0
    peak_at: int | None = None
    peaks: dict[int, int] = field(factory=dict)
    starts: Counter[int] = field(factory=Counter)

    def watch(self, facts: list[Fact]) -> None:
        """Take in what was committed."""
        now = self.clock.now()
        minute = now - now % MINUTE
        for fact in facts:
            if isinstance(fact, InstanceStarted):
                self._started(fact, now, minute)
            elif isinstance(fact, InstanceEnded):
                self._ended(fact)
            elif isinstance(fact, DueOmitted):
                self.lines[fact.schedule].omissions[fact.fate, fact.reason] += fact.count
            elif isinstance(fact, InstanceQueued) and fact.start_after is None and fact.schedule:
                self.lines[fact.schedule].queued += 1
        if facts:
            self.peaks[minute] = max(self.peaks.get(minute, 0), self.running)

    def _started(self, fact: InstanceStarted, now: int, minute: int) -> None:
        line = self.lines[fact.schedule or ""]
        if fact.attempt > 1:
            line.retries += 1
        else:
            line.firings += 1
            line.latest = max(line.latest, now - (now if fact.due_at is None else fact.due_at))
        line.running += 1
        line.peak = max(line.peak, line.running)
        self.starts[minute] += 1
        self.running += 1
        self.peaks[minute] = max(self.peaks.get(minute, 0), self.running)
        if self.running > self.peak:
            self.peak, self.peak_at = self.running, now

    def _ended(self, fact: InstanceEnded) -> None:
        line = self.lines[fact.schedule or ""]
        line.outcomes[fact.outcome] += 1
        line.busy += fact.seconds
        if fact.seconds or fact.outcome != "cancelled":  # what was queued never ran
            line.running -= 1
            self.running -= 1

    def busiest(self, most: int) -> list[tuple[int, int, int]]:
        """Return the busiest minutes, the busiest first: when, how many ran at once, how many were started."""
        ranked = sorted(self.peaks, key=lambda minute: (-self.peaks[minute], -self.starts[minute], minute))
        return [(minute, self.peaks[minute], self.starts[minute]) for minute in ranked[:most]]
