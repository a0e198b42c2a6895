"""What the engine counts of itself: histograms cumulate, restarts are counted, a lost run has no duration."""

from collections import Counter

import pytest

from actors.meter import Meter
from actors.supervisor import Budget, restarted
from callsheet.errors import GaveUp
from callsheet.figures import Histogram
from callsheet.ids import IdMaker
from callsheet.instants import SECOND
from storage.journal.facts import InstanceEnded, InstanceStarted

ID = IdMaker().make(SECOND)


def test_a_histogram_cumulates_and_a_value_on_a_bound_lies_within_it():
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7):
        histogram.add(value)

    assert histogram.buckets() == [("0.1", 2), ("1.0", 3), ("+Inf", 4)]
    assert histogram.total == pytest.approx(7.65)


def test_only_first_attempts_of_due_times_are_late():
    meter = Meter()
    due = {"id": ID, "task": "t", "input": b"null", "started_at": 12 * SECOND, "due_at": 10 * SECOND}
    meter.take([InstanceStarted(**due, cause="schedule"), InstanceStarted(**due, cause="retry", attempt=2)])

    assert meter.lateness["t"].total == 2
    assert sum(meter.lateness["t"].counts) == 1
    assert meter.started == {("t", "schedule"): 1, ("t", "retry"): 1}


def test_what_is_lost_is_counted_but_has_no_duration():
    meter = Meter()
    meter.take([InstanceEnded(ID, "t", None, "lost", 0.0)])

    assert meter.ended == {("t", "lost"): 1}
    assert meter.durations == {}


def test_a_copy_does_not_change_any_more():
    meter = Meter()
    meter.take([InstanceEnded(ID, "t", None, "failed", 1.0)])
    copy = meter.copy()
    meter.take([InstanceEnded(ID, "t", None, "failed", 1.0)])

    assert copy.ended == {("t", "failed"): 1}
    assert sum(copy.durations["t"].counts) == 1


async def test_restarts_are_counted(autojump_clock):
    async def actor():
        raise ValueError("again")

    count = Counter()
    with pytest.raises(GaveUp):
        await restarted("scheduler", actor, Budget(restarts=2), count)

    assert count == {"scheduler": 3}
