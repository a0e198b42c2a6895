"""What the engine counts of itself: facts once they are committed, transactions, restarts. Nothing here ever waits.

Schedules are no labels: there may be a million of them, and each label is a series for ever.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import partial
from typing import Any

from attrs import define, field

from callsheet.figures import LONG, SHORT, SIZES, Histogram
from callsheet.instants import SECOND
from storage.journal.facts import DueOmitted, Fact, InstanceEnded, InstanceStarted, NodeSaid

MOST_TASKS = 200  # that have series of their own, some 40 each: a scrape of all takes 0.1 s
OTHERS = "(others)"  # the label of all further ones; no task can be called that


def _by_task(bounds: tuple[float, ...]) -> defaultdict[str, Histogram]:
    return defaultdict(partial(Histogram, bounds))


@define
class Meter:
    """Counts since the start of the process."""

    facts: Counter[str] = field(factory=Counter)  # by type
    tasks: set[str] = field(factory=set)  # those that are labels
    started: Counter[tuple[str, str]] = field(factory=Counter)  # task, cause
    ended: Counter[tuple[str, str]] = field(factory=Counter)  # task, outcome
    omitted: Counter[tuple[str, str]] = field(factory=Counter)  # fate, reason
    lateness: defaultdict[str, Histogram] = field(factory=partial(_by_task, LONG))  # task -> seconds
    durations: defaultdict[str, Histogram] = field(factory=partial(_by_task, LONG))
    transactions: Histogram = field(factory=partial(Histogram, SHORT))  # seconds
    batches: Histogram = field(factory=partial(Histogram, SIZES))  # commands in one transaction
    failures: int = 0  # transactions that the database did not take
    restarts: Counter[str] = field(factory=Counter)  # actor

    def take(self, facts: Iterable[Fact]) -> None:
        """Count what was committed: the bus does so for each batch, so this is told off by kind, not fact by fact."""
        kinds: defaultdict[type[Fact], list[Any]] = defaultdict(list)
        for fact in facts:
            kinds[type(fact)].append(fact)
        for kind, found in kinds.items():
            if kind is InstanceStarted:
                self._take_starts(found)
            elif kind is InstanceEnded:
                self._take_ends(found)
            elif kind is DueOmitted:
                for one in found:
                    self.omitted[one.fate, one.reason] += one.count
            if kind is NodeSaid:
                self.facts.update(one.type for one in found)
            else:
                self.facts[kind.type] += len(found)

    def label(self, task: str) -> str:
        """Return the label of a task."""
        if task not in self.tasks:
            if len(self.tasks) >= MOST_TASKS:
                return OTHERS
            self.tasks.add(task)
        return task

    def _take_starts(self, starts: list[InstanceStarted]) -> None:
        for one in starts:
            label = self.label(one.task)
            self.started[label, one.cause] += 1
            if one.due_at is not None and one.cause == "schedule":
                self.lateness[label].add(max(one.started_at - one.due_at, 0) / SECOND)

    def _take_ends(self, ends: list[InstanceEnded]) -> None:
        for one in ends:
            label = self.label(one.task)
            self.ended[label, one.outcome] += 1
            if one.outcome != "lost":  # of which nobody knows when it ended
                self.durations[label].add(one.seconds)

    def copy(self) -> "Meter":
        """Return a copy that no longer changes, to be read in a thread."""
        return Meter(
            self.facts.copy(),
            self.tasks.copy(),
            self.started.copy(),
            self.ended.copy(),
            self.omitted.copy(),
            _copied(self.lateness),
            _copied(self.durations),
            self.transactions.copy(),
            self.batches.copy(),
            self.failures,
            self.restarts.copy(),
        )


def _copied(histograms: defaultdict[str, Histogram]) -> defaultdict[str, Histogram]:
    return defaultdict(histograms.default_factory, {name: one.copy() for name, one in histograms.items()})
