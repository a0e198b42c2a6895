"""Promises of a node that is going to stop: nothing begins, what has begun is still written, nothing is forgotten."""

import pytest

from callsheet.errors import Unavailable
from storage.journal.commands import Claim, Drain, RerunInstance, Start, StartInstances, StopNode, TriggerSchedule

NOOP = StartInstances((Start("noop", b"null"),))


def test_nothing_begins_any_more(bench):
    bench.put(overlap="allow")
    run = bench.start()
    bench.ask(Drain())
    bench.clock.move(10)
    for command in (NOOP, TriggerSchedule("s"), RerunInstance(run.id), Claim(0)):
        with pytest.raises(Unavailable, match="stopping"):
            bench.ask(command)

    assert len(bench.instances()) == 1
    assert bench.ledger() == []


def test_nothing_begins_in_the_batch_that_drains(bench):
    applied = bench.journal.apply([NOOP, Drain(), NOOP])

    assert [verdict.error is None for verdict in applied.verdicts] == [True, True, False]
    assert len(bench.instances()) == 1


def test_what_has_begun_ends_and_is_written_down_with_its_retry(bench):
    run, tally = bench.start("failing"), bench.start("tally")
    bench.ask(Drain())
    bench.end(run, "failed")
    bench.end(tally, state=b'{"value":1}')
    bench.clock.move(60)
    bench.ask(StopNode())

    assert [row.state for row in bench.instances()] == ["queued", "succeeded", "failed"]
    assert bench.rows("SELECT value FROM task_state") == [('{"value":1}',)]


def test_what_is_queued_waits_for_the_next_boot(bench):
    first, second = bench.ask(StartInstances((Start("tally", b"null"),) * 2))
    failed = bench.start("failing")
    bench.ask(Drain())
    bench.end(bench.start_fact(first), state=b'{"value":1}')
    assert bench.started == []
    bench.end(failed, "failed")
    bench.clock.move(60)
    bench.boot()
    retry, released = bench.claim_after(0)

    assert retry.retry_of == failed.id
    assert (released.id, released.state) == (second, b'{"value":1}')


def test_due_times_that_came_while_draining_are_for_the_next_boot(bench):
    bench.put(every="10s")
    bench.ask(Drain())
    bench.clock.move(35)
    bench.boot()
    bench.claim()

    assert bench.fates() == [("missed", 10, 20, 2), ("ran", 30, 30, 1)]
