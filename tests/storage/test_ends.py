"""Promises about ends: outcome and state together, retries that survive, and whoever waits is let in."""

import pytest

from callsheet.errors import Unknown
from callsheet.ids import IdMaker
from callsheet.instants import SECOND
from storage.journal.commands import (
    CancelInstance,
    EndInstance,
    KeepOutput,
    RerunInstance,
    Start,
    StartInstances,
    TriggerSchedule,
)


def state_of(bench, key):
    rows = bench.rows("SELECT value, version FROM task_state WHERE key = ?", key)
    return tuple(rows[0]) if rows else None


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "timed_out", "cancelled", "interrupted"])
def test_an_outcome_is_written_with_its_times_and_its_error(bench, outcome):
    run = bench.start()
    bench.clock.move(3)
    bench.ask(EndInstance(run, outcome, run.started_at + SECOND, bench.clock.now(), error=b'{"type":"X"}'))

    stored = bench.instance(run.id)
    assert (stored.state, stored.outcome, stored.error) == (outcome, outcome, '{"type":"X"}')
    assert (stored.started_at, stored.finished_at) == (run.started_at + SECOND, bench.clock.now())
    (fact,) = bench.facts
    assert (fact.type, fact.id, fact.outcome, fact.seconds) == ("instance.ended", run.id, outcome, 2.0)


def test_state_is_saved_in_the_transaction_of_its_outcome(bench):
    first = bench.start("tally")
    assert first.state is None
    bench.end(first, state=b'{"value":1}')
    second = bench.start("tally")

    assert second.state == b'{"value":1}'
    bench.end(second, state=b'{"value":2}')
    assert state_of(bench, "tally") == ('{"value":2}', 2)


def test_no_state_is_saved_when_the_outcome_could_not_be(bench):
    run = bench.start("tally")
    bench.journal.apply([EndInstance(run, "succeeded", 1, 2, state=b'{"value":1}')])
    bench.journal.apply([EndInstance(run, "succeeded", 1, 2, state=b'{"value":99}')])

    assert state_of(bench, "tally") == ('{"value":1}', 1)


@pytest.mark.parametrize("outcome", ["failed", "timed_out", "cancelled", "interrupted"])
def test_a_run_that_does_not_succeed_leaves_the_state_untouched(bench, outcome):
    bench.end(bench.start("tally"), state=b'{"value":1}')
    bench.end(bench.start("tally"), outcome, state=b'{"value":99}')

    assert state_of(bench, "tally") == ('{"value":1}', 1)


def test_each_schedule_has_its_own_state_and_runs_by_hand_have_the_tasks(bench):
    bench.put("a", task="tally")
    bench.put("b", task="tally")
    for run in bench.claim_after(10):
        bench.end(run, state=b'{"value":"%s"}' % run.schedule.encode())
    bench.end(bench.start("tally"), state=b'{"value":0}')
    states = {run.schedule: run.state for run in bench.claim_after(10)}

    assert states == {"a": b'{"value":"a"}', "b": b'{"value":"b"}'}
    assert bench.start("tally").state == b'{"value":0}'


def test_a_state_that_all_share_is_one(bench):
    bench.put("a", task="common")
    bench.end(bench.claim_after(10)[0], state=b'{"value":1}')

    assert bench.start("common").state == b'{"value":1}'


def test_who_shares_a_state_runs_one_after_the_other_in_order(bench):
    ids = bench.ask(StartInstances((Start("tally", b"null"),) * 4))
    assert [fact.type for fact in bench.facts] == ["instance.started"] + ["instance.queued"] * 3
    order = []
    for n in range(4):
        (run,) = bench.started
        order.append((run.id, run.state))
        bench.end(run, state=b'{"value":%d}' % n)

    assert order == [(ids[0], None)] + [(ids[n], b'{"value":%d}' % (n - 1)) for n in (1, 2, 3)]
    assert bench.instances(states=("queued", "running")) == []


def test_whoever_waits_for_a_state_is_let_in_however_the_run_before_ended(bench):
    ids = bench.ask(StartInstances((Start("tally", b"null"),) * 5))
    for n, outcome in enumerate(["failed", "timed_out", "cancelled", "interrupted"]):
        (run,) = bench.started
        assert run.id == ids[n]
        bench.end(run, outcome)

    assert [run.id for run in bench.started] == [ids[4]]


def test_who_waits_begins_on_the_boot_that_let_it_in_and_when_it_did(bench):
    first, second = bench.ask(StartInstances((Start("tally", b"null"),) * 2))
    waiting = bench.instance(second)
    assert (waiting.state, waiting.boot, waiting.started_at) == ("queued", None, None)
    bench.clock.move(7)
    bench.ask(EndInstance(bench.start_fact(first), "succeeded", 1, 2, state=b"{}"))

    let_in = bench.instance(second)
    assert (let_in.state, let_in.node, let_in.started_at) == ("running", "n1", bench.clock.now())
    assert let_in.queued_at == waiting.queued_at


def test_a_cancelled_waiter_is_passed_over(bench):
    ids = bench.ask(StartInstances((Start("tally", b"null"),) * 3))
    (run,) = bench.started
    assert bench.ask(CancelInstance(ids[1], "no need", "api")) is True
    assert [fact.type for fact in bench.facts] == ["instance.cancel_requested", "instance.ended"]
    assert {fact.id for fact in bench.facts} == {ids[1]}
    bench.end(run)

    assert [run.id for run in bench.started] == [ids[2]]
    stored = bench.instance(ids[1])
    assert (stored.state, stored.cancel_reason, stored.started_at) == ("cancelled", "no need", None)


@pytest.mark.parametrize("outcome", ["failed", "timed_out"])
def test_a_retry_is_a_new_instance_of_the_same_run(bench, outcome):
    bench.put(task="failing", tags=["x"], timeout="5s")
    (run,) = bench.claim_after(10)
    bench.end(run, outcome)

    (retry,) = bench.instances(states=("queued",))
    assert (retry.attempt, retry.cause, retry.retry_of, retry.schedule) == (2, "retry", run.id, "s")
    assert (retry.due_at, retry.tag_list, retry.timeout) == (run.due_at, ["x"], 5 * SECOND)
    assert retry.start_after == bench.clock.now() + 10 * SECOND
    assert [fact.type for fact in bench.facts] == ["instance.ended", "instance.queued"]


def test_a_retry_begins_when_its_time_has_come_and_not_before(bench):
    run = bench.start("failing")
    bench.end(run, "failed")
    assert bench.claim_after(9.999999) == []
    (retry,) = bench.claim_after(0.000001)

    assert (retry.attempt, retry.retry_of, retry.started_at) == (2, run.id, bench.clock.now())
    assert bench.claim_after(60) == []


def test_retries_are_counted_and_end(bench):
    bench.end(bench.start("failing"), "failed")
    for _ in range(2):
        (run,) = bench.claim_after(10)
        bench.end(run, "failed")

    assert [row.attempt for row in bench.instances()] == [3, 2, 1]
    assert len({row.retry_of for row in bench.instances()[:2]}) == 1
    assert bench.claim_after(3600) == []


@pytest.mark.parametrize("outcome", ["succeeded", "cancelled", "interrupted"])
def test_only_failures_are_tried_again(bench, outcome):
    bench.end(bench.start("failing"), outcome)

    assert len(bench.instances()) == 1


def test_a_failure_that_must_not_be_tried_again_is_not(bench):
    bench.end(bench.start("failing"), "failed", may_retry=False)

    assert len(bench.instances()) == 1


def test_a_retry_survives_a_restart(bench):
    run = bench.start("failing")
    bench.end(run, "failed")
    bench.clock.move(3)
    bench.boot()
    assert bench.started == []
    assert bench.claim().next_fire == bench.clock.now() + 7 * SECOND
    (retry,) = bench.claim_after(7)

    assert (retry.attempt, retry.retry_of) == (2, run.id)


def test_a_ledger_has_one_row_for_a_run_however_often_it_was_tried(bench):
    bench.put(task="failing", every="1h")
    run = bench.claim_after(3600)[0]
    bench.end(run, "failed")
    (retry,) = bench.claim_after(10)
    bench.end(retry, "succeeded")

    (row,) = bench.ledger()
    assert (row.fate, row.instance, row.state, row.attempt) == ("ran", retry.id, "succeeded", 2)


def test_cancelling_what_runs_orders_it_once_and_says_by_whom(bench):
    run = bench.start()
    assert bench.ask(CancelInstance(run.id, "enough", "ada")) is True
    (fact,) = bench.facts
    assert (fact.type, fact.by, fact.reason) == ("instance.cancel_requested", "ada", "enough")
    bench.clock.move(1)
    assert bench.ask(CancelInstance(run.id, "me too", "bob")) is True

    stored = bench.instance(run.id)
    assert (stored.state, stored.cancel_by, stored.cancel_reason) == ("running", "ada", "enough")
    assert stored.cancel_at == bench.clock.now() - SECOND


def test_cancelling_a_retry_that_waits_ends_it(bench):
    bench.end(bench.start("failing"), "failed")
    (retry,) = bench.instances(states=("queued",))
    assert bench.ask(CancelInstance(retry.id, None, "api")) is True

    assert bench.instance(retry.id).state == "cancelled"
    assert bench.claim().next_fire is None
    assert bench.claim_after(60) == []


def test_cancelling_what_is_over_changes_nothing(bench):
    run = bench.start()
    bench.end(run)
    before = bench.instance(run.id)

    assert bench.ask(CancelInstance(run.id, None, "api")) is False
    assert (bench.instance(run.id), bench.facts) == (before, [])


def test_cancelling_what_never_existed_is_unknown(bench):
    never = IdMaker().make(bench.clock.now())

    for command in (CancelInstance(never, None, "api"), RerunInstance(never)):
        with pytest.raises(Unknown, match=str(never)):
            bench.ask(command)


def test_an_end_and_its_last_words_in_one_batch_are_all_kept(bench):
    run = bench.start()
    first, last = (KeepOutput(run.id, number, 1, b"1") for number in range(2))
    applied = bench.journal.apply([first, EndInstance(run, "succeeded", 1, 2), last])

    assert [verdict.error for verdict in applied.verdicts] == [None] * 3
    assert bench.rows("SELECT count(*) FROM output")[0][0] == 2


def test_a_state_is_held_by_one_run_even_if_overlap_is_allowed(bench):
    bench.put(task="tally", overlap="allow")
    (first,) = bench.claim_after(10)
    assert bench.claim_after(10) == []
    bench.ask(TriggerSchedule("s", overlap="allow"))
    assert [row.state for row in bench.instances()] == ["queued", "queued", "running"]
    bench.end(first, state=b'{"value":1}')

    assert [(run.due_at, run.state) for run in bench.started] == [(bench.clock.now(), b'{"value":1}')]
