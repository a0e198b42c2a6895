"""Promises about `max_running`: no task runs more often at once than it says, and nobody waits for ever."""

import pytest

from callsheet import Out, task
from callsheet.tasks import Registry
from storage.journal.commands import CancelInstance, Start, StartInstances


@task(max_running=2)
async def narrow(_in: None, out: Out[int]) -> None:
    """Run at most twice at once."""


@task(max_running=2, state="task")
class Guarded:
    """Run one at a time for its state, though two might by its limit."""

    value: int = 0

    async def __call__(self, _in: None, out: Out[int]) -> None:
        self.value += 1


@pytest.fixture
def crowd(bench):
    """Five instances of the narrow task, started at once."""
    bench.boot(Registry([narrow, Guarded]))
    return bench.ask(StartInstances((Start("narrow", b"null"),) * 5))


def states(bench, crowd):
    return [bench.instance(one).state for one in crowd]


def test_no_more_run_at_once_than_the_task_allows(bench, crowd):
    assert states(bench, crowd) == ["running", "running", "queued", "queued", "queued"]


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "cancelled"])
def test_an_end_lets_the_one_begin_that_has_waited_longest(bench, crowd, outcome):
    bench.end(bench.start_fact(crowd[1]), outcome)

    assert states(bench, crowd) == ["running", outcome, "running", "queued", "queued"]
    assert [fact.id for fact in bench.started] == [crowd[2]]


def test_who_waits_can_be_cancelled_and_takes_nobodys_turn(bench, crowd):
    assert bench.ask(CancelInstance(crowd[2], None, "api"))
    bench.end(bench.start_fact(crowd[0]))

    assert states(bench, crowd) == ["succeeded", "running", "cancelled", "running", "queued"]


def test_the_queue_survives_a_restart_and_goes_on_in_order(bench, crowd):
    bench.boot(Registry([narrow, Guarded]))
    bench.claim()

    assert states(bench, crowd) == ["lost", "lost", "running", "running", "queued"]
    bench.end(bench.start_fact(crowd[2]))
    assert states(bench, crowd) == ["lost", "lost", "succeeded", "running", "running"]


def test_a_due_time_that_has_to_wait_for_its_turn_is_recorded_as_run(bench, crowd):
    bench.put("s", "narrow", every="10s")
    assert bench.claim_after(10) == []

    (entry,) = bench.ledger("s")
    assert (entry.fate, entry.state) == ("ran", "queued")


def test_a_task_with_state_still_runs_one_at_a_time(bench, crowd):
    ids = bench.ask(StartInstances((Start("guarded", b"null"),) * 3))
    assert states(bench, ids) == ["running", "queued", "queued"]
