"""Promises about `after`: each end of a run that counts is one due time, in the same transaction; never a circle."""

import pytest

from callsheet.errors import Invalid
from callsheet.tasks import Registry
from storage.journal.commands import (
    CancelInstance,
    DeleteSchedule,
    Drain,
    EndInstance,
    PatchSchedule,
    PauseSchedule,
    PutSchedule,
    ResumeSchedule,
    TriggerSchedule,
)


@pytest.fixture
def pair(bench):
    """A schedule `s` of every 10 s, and `t` that comes after it."""
    bench.put("s", every="10s", overlap="allow")
    bench.put("t", trigger={"after": "s", "on": "success"})
    return bench


def test_a_success_starts_what_comes_after_it_in_the_same_transaction(pair):
    (run,) = pair.claim_after(10)
    pair.clock.move(3)
    pair.end(run)

    (follower,) = pair.started
    assert (follower.schedule, follower.cause, follower.retry_of) == ("t", "after", run.id)
    assert pair.fates("t") == [("ran", 13, 13, 1)]
    assert (pair.schedule("t").state, pair.schedule("t").next_due) == ("active", None)


@pytest.mark.parametrize(
    ("on", "outcomes"),
    [
        ("success", {"succeeded"}),
        ("failure", {"failed", "timed_out", "interrupted"}),
        ("any", {"succeeded", "failed", "timed_out", "interrupted", "cancelled"}),
    ],
)
def test_only_the_ends_that_were_named_make_it_due(bench, on, outcomes):
    bench.put("s", overlap="allow")
    bench.put("t", trigger={"after": "s", "on": on}, overlap="allow")
    due = set()
    for outcome in ("succeeded", "failed", "timed_out", "interrupted", "cancelled"):
        (run,) = bench.claim_after(10)
        bench.end(run, outcome)
        due |= {outcome} if bench.started else set()

    assert due == outcomes


def test_a_run_is_over_only_with_its_last_attempt(bench):
    bench.put("s", task="failing", every="1h")
    bench.put("t", trigger={"after": "s", "on": "failure"})
    (run,) = bench.claim_after(3600)
    for _ in range(2):
        bench.end(run, "failed")
        assert bench.started == []
        (run,) = bench.claim_after(60)
    bench.end(run, "failed")

    assert [one.schedule for one in bench.started] == ["t"]


def test_what_comes_after_keeps_to_its_own_overlap_policy(pair):
    runs = [*pair.claim_after(10), *pair.claim_after(10), *pair.claim_after(10)]
    for run in runs:
        pair.end(run)

    assert [row[0] for row in pair.fates("t")] == ["ran", "skipped"]
    assert pair.ledger("t")[1].count == 2


def test_two_ends_in_one_transaction_are_two_due_times(pair):
    pair.ask(PatchSchedule("t", {"overlap": "allow"}))
    first, second = [*pair.claim_after(10), *pair.claim_after(10)]
    ends = [end(pair, first), end(pair, second)]
    pair.journal.apply(ends)

    one, another = pair.ledger("t")
    assert another.last_due == one.last_due + 1


def test_ends_in_one_transaction_do_not_start_followers_beside_each_other(bench):
    bench.put("s", every="10s", overlap="allow")
    bench.put("t", trigger={"after": "s", "on": "success"}, overlap="skip")
    runs = [run for _ in range(3) for run in bench.claim_after(10)]
    bench.journal.apply([end(bench, run) for run in runs])

    assert sorted(bench.rows("SELECT count(*) FROM instance WHERE schedule = 't'")) == [(1,)]
    assert bench.rows("SELECT reason, count FROM omission WHERE schedule = 't'") == [("overlap", 2)]


def end(bench, run):
    return EndInstance(run, "succeeded", run.started_at, bench.clock.now())


def test_runs_by_hand_and_cancelled_ones_that_never_began_count_too(bench):
    bench.put("s", overlap="queue", every="1h")
    bench.put("t", trigger={"after": "s", "on": "any"}, overlap="allow")
    bench.ask(TriggerSchedule("s"))
    waiting = bench.ask(TriggerSchedule("s"))
    bench.ask(CancelInstance(waiting, None, "tester"))

    assert [one.schedule for one in bench.started] == ["t"]


def test_a_chain_goes_on_and_on(bench):
    bench.put("a", every="1h")
    for name, before in (("b", "a"), ("c", "b"), ("d", "c")):
        bench.put(name, trigger={"after": before})
    (run,) = bench.claim_after(3600)
    names = []
    while run is not None:
        names.append(run.schedule)
        bench.end(run)
        run = next(iter(bench.started), None)

    assert names == ["a", "b", "c", "d"]


def test_a_circle_is_refused_and_says_how_it_goes(bench):
    bench.put("a", every="1h")
    bench.put("b", trigger={"after": "a"})
    bench.put("c", trigger={"after": "b"})
    with pytest.raises(Invalid, match="a after c after b after a"):
        bench.ask(PatchSchedule("a", {"trigger": {"after": "c"}}))
    with pytest.raises(Invalid, match="circle"):
        bench.put("d", trigger={"after": "d"})
    with pytest.raises(Invalid, match="there is no schedule 'nobody'"):
        bench.put("e", trigger={"after": "nobody"})


def test_paused_or_out_of_its_bounds_it_is_not_due(pair):
    pair.ask(PauseSchedule("t"))
    (run,) = pair.claim_after(10)
    pair.end(run)
    pair.put("u", trigger={"after": "s"}, starts_at="2099-01-01T00:00:00Z")
    (run,) = pair.claim_after(10)
    pair.end(run)

    assert (pair.fates("t"), pair.fates("u")) == ([], [])


def test_it_is_blocked_when_what_it_comes_after_is_deleted_and_freed_when_that_is_back(pair):
    pair.ask(DeleteSchedule("s"))
    assert (pair.schedule("t").state, pair.schedule("t").state_reason) == ("blocked", "upstream_deleted")
    pair.ask(PutSchedule("s", {"task": "noop", "trigger": {"every": "10s"}}))
    assert pair.schedule("t").state == "active"


def test_it_is_finished_after_as_many_runs_as_it_may_have(bench):
    bench.put("s", overlap="allow")
    bench.put("t", trigger={"after": "s"}, max_runs=1, overlap="allow")
    for _ in range(2):
        (run,) = bench.claim_after(10)
        bench.end(run)

    assert (bench.schedule("t").state, len(bench.ledger("t"))) == ("finished", 1)


def test_an_end_while_the_service_stops_is_followed_at_the_next_start(pair):
    (run,) = pair.claim_after(10)
    pair.ask(Drain())
    pair.end(run)
    assert pair.started == []
    assert pair.fates("t") == [("ran", 10, 10, 1)]
    pair.boot()

    assert [one.schedule for one in pair.claim_after(0)] == ["t"]


def test_what_a_crash_cut_off_is_a_failure_to_those_after_it(bench):
    bench.put("s", every="1h")
    bench.put("t", trigger={"after": "s", "on": "failure"})
    bench.claim_after(3600)
    bench.boot()

    assert [one.schedule for one in bench.started] == ["t"]


def test_it_is_rejected_while_its_task_is_gone(pair, tasks):
    pair.put("t", task="again", trigger={"after": "s"})
    pair.boot(Registry([one for one in tasks.values() if one.name != "again"]))
    (run,) = pair.claim_after(10)
    pair.end(run)

    assert [row[0] for row in pair.fates("t")] == ["rejected"]


def test_jitter_delays_what_comes_after_by_no_more_than_that_though_the_clock_was_set_back(pair):
    pair.ask(PatchSchedule("t", {"overlap": "allow", "jitter": "5s"}))
    first, second = [*pair.claim_after(10), *pair.claim_after(10)]
    pair.end(first)
    pair.clock.move(-3600)
    pair.end(second)

    assert [run.retry_of for run in pair.claim_after(5)] == [second.id]


def test_neither_a_change_nor_a_resumption_frees_what_comes_after_a_deleted_schedule(pair):
    pair.put("u", trigger={"after": "s"})
    pair.ask(PauseSchedule("u", until=pair.clock.now() + 5_000_000))
    pair.put("v", trigger={"after": "s"})
    pair.ask(PauseSchedule("v"))
    pair.ask(DeleteSchedule("s"))
    pair.ask(PatchSchedule("t", {"tags": ["changed"]}))
    pair.ask(ResumeSchedule("v"))
    pair.claim_after(5)
    assert {pair.schedule(slug).state_reason for slug in "tuv"} == {"upstream_deleted"}
    pair.put("s")
    assert {pair.schedule(slug).state for slug in "tuv"} == {"active"}
