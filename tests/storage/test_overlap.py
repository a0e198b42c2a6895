"""Promises about overlap: who waits, who is replaced, and that a schedule never overlaps itself unless it may."""

import pytest

from callsheet.errors import Invalid, Refused
from storage.journal.commands import CancelInstance, Drain, TriggerSchedule
from storage.journal.facts import CancelRequested


def states(bench):
    return [one.state for one in bench.instances()[::-1]]


def test_one_due_time_waits_behind_a_run_and_begins_when_it_ends(bench):
    bench.put(overlap="queue")
    (first,) = bench.claim_after(10)
    assert bench.claim_after(10) == []
    assert states(bench) == ["running", "queued"]
    assert bench.instances()[0].waits_for == "schedule:s"
    bench.end(first)

    (second,) = bench.started
    assert (bench.seconds(second.due_at), states(bench)) == (20, ["succeeded", "running"])
    assert bench.instances()[0].waits_for is None


def test_at_most_one_waits_and_what_comes_beyond_is_skipped_in_one_row(bench):
    bench.put(overlap="queue")
    for _ in range(5):
        bench.claim_after(10)

    assert bench.fates() == [("ran", 10, 10, 1), ("ran", 20, 20, 1), ("skipped", 30, 50, 3)]
    assert bench.ledger()[-1].reason == "queue_full"


def test_a_queued_due_time_waits_for_the_retry_too_as_it_is_still_the_same_run(bench):
    bench.put(task="failing", overlap="queue", every="5s")
    (first,) = bench.claim_after(5)
    bench.claim_after(5)
    bench.end(first, "failed")
    assert states(bench) == ["failed", "queued", "queued"]
    (retry,) = [one for one in bench.claim_after(30) if one.attempt == 2]
    assert bench.started == [retry]
    bench.end(retry)

    assert [bench.seconds(one.due_at) for one in bench.started] == [10]


def test_who_waits_can_be_cancelled_and_the_next_due_time_takes_the_place(bench):
    bench.put(overlap="queue")
    bench.claim_after(10)
    bench.claim_after(10)
    bench.ask(CancelInstance(bench.instances()[0].id, "no more", "tester"))
    bench.claim_after(10)

    assert states(bench) == ["running", "cancelled", "queued"]


def test_replace_cancels_what_runs_and_begins_only_when_that_has_ended(bench):
    bench.put(overlap="replace")
    (first,) = bench.claim_after(10)
    assert bench.claim_after(10) == []
    (ordered,) = [fact for fact in bench.facts if isinstance(fact, CancelRequested)]
    assert (ordered.id, ordered.by) == (first.id, "schedule")
    bench.end(first, "cancelled")

    assert [bench.seconds(one.due_at) for one in bench.started] == [20]
    assert states(bench) == ["cancelled", "running"]
    assert bench.instance(first.id).cancel_reason == "replaced by the next due time"


def test_replace_replaces_who_waits_as_long_as_the_first_does_not_end(bench):
    bench.put(overlap="replace")
    for _ in range(4):
        bench.claim_after(10)

    assert states(bench) == ["running", "cancelled", "cancelled", "queued"]
    assert [row[0] for row in bench.fates()] == ["ran"] * 4


def test_a_retry_that_waits_is_replaced_as_well(bench):
    bench.put(task="failing", overlap="replace", every="5s")
    (first,) = bench.claim_after(5)
    bench.end(first, "failed")
    bench.claim_after(5)

    assert states(bench) == ["failed", "cancelled", "running"]


@pytest.mark.parametrize("given", [True, False])
def test_a_run_by_hand_follows_the_policy_of_its_schedule_or_the_one_that_is_given(bench, given):
    bench.put(overlap="skip" if given else "queue", every="1h")
    first = bench.instance(bench.ask(TriggerSchedule("s")))
    policy = {"overlap": "queue"} if given else {}
    second = bench.ask(TriggerSchedule("s", **policy))
    with pytest.raises(Refused, match="waits for its turn") as refused:
        bench.ask(TriggerSchedule("s", **policy))

    assert (first.state, bench.instance(second).state) == ("running", "queued")
    assert refused.value.blocked_by == f"/v1/instances/{second}"


def test_a_run_by_hand_can_replace_what_goes_on(bench):
    bench.put(every="1h")
    first = bench.ask(TriggerSchedule("s"))
    second = bench.ask(TriggerSchedule("s", overlap="replace"))
    bench.end(bench.start_fact(first), "cancelled")

    assert [one.id for one in bench.started] in ([second], [])
    assert bench.instance(first).cancel_by == "api"


def test_a_run_by_hand_that_is_refused_for_its_input_has_replaced_nothing(bench):
    bench.put(task="greet", input={"name": "Ada"}, overlap="replace", every="1h")
    bench.ask(TriggerSchedule("s"))
    with pytest.raises(Invalid):
        bench.ask(TriggerSchedule("s", input=b'{"name":7}'))

    assert [(one.state, one.cancel_at) for one in bench.instances()] == [("running", None)]


def test_who_waits_for_a_turn_waits_on_after_a_restart(bench):
    bench.put(overlap="queue", every="5s")
    (first,) = bench.claim_after(5)
    bench.claim_after(5)
    bench.ask(Drain())
    bench.end(first)
    assert states(bench) == ["succeeded", "queued"]
    bench.boot()

    assert states(bench) == ["succeeded", "running"]


def test_who_waits_for_its_turn_does_not_wait_for_those_who_come_later(bench):
    bench.put(overlap="allow")
    (first,) = bench.claim_after(10)
    waiting = bench.ask(TriggerSchedule("s", overlap="queue"))
    bench.claim_after(10)
    bench.end(first)

    assert [one.id for one in bench.started] == [waiting]


def test_a_retry_of_an_older_run_is_waited_for_and_that_of_a_newer_one_is_not(bench):
    bench.put(task="failing", overlap="allow", every="1h")
    older = bench.start_fact(bench.ask(TriggerSchedule("s")))
    waiting = bench.ask(TriggerSchedule("s", overlap="queue"))
    newer = bench.start_fact(bench.ask(TriggerSchedule("s", overlap="allow")))
    bench.end(newer, "failed")
    bench.end(older, "failed")
    assert bench.instance(waiting).state == "queued"
    retry = next(run for run in bench.claim_after(60) if run.retry_of == older.id)
    bench.end(retry)

    assert bench.instance(waiting).state == "running"


def test_what_was_lost_makes_room_for_who_waits(bench):
    bench.put(overlap="queue", every="5s")
    bench.claim_after(5)
    bench.claim_after(5)
    bench.boot()

    assert states(bench) == ["lost", "running"]
