"""Promises about `starts_at`, `ends_at`, `max_runs` and `run_on_create`."""

import pytest

from callsheet.errors import Invalid, Unavailable, Unknown
from callsheet.instants import format_instant
from storage.journal.commands import (
    DeleteSchedule,
    Drain,
    PatchSchedule,
    PauseSchedule,
    PutSchedule,
    SkipDue,
    TriggerSchedule,
)
from storage.queries.schedules import upcoming_of


def at(bench, seconds):
    """Return an instant as text, seconds from the bench's start."""
    return format_instant(type(bench.clock)().instant + seconds * 1_000_000)


def coming(bench, limit=10):
    return [bench.seconds(one.due_at) for one in upcoming_of(bench.database, "s", limit)]


def test_nothing_is_due_before_the_start_nor_after_the_end_and_both_belong_to_it(bench):
    bench.put(starts_at=at(bench, 25), ends_at=at(bench, 45))
    assert coming(bench) == [25, 35, 45]
    runs = [run for _ in range(6) for run in bench.claim_after(10) if not bench.end(run)]

    assert [bench.seconds(run.due_at) for run in runs] == [25, 35, 45]
    assert (bench.schedule().state, bench.schedule().next_due) == ("finished", None)


def test_a_start_sets_the_phase_of_an_interval_unless_an_anchor_does(bench):
    bench.put(starts_at=at(bench, 25), trigger={"every": "10s", "anchor": at(bench, 0)})
    assert coming(bench, 2) == [30, 40]


def test_bounds_that_leave_no_due_time_are_refused_at_creation(bench):
    for wrong in ({"ends_at": at(bench, -5)}, {"ends_at": at(bench, 5)}):
        with pytest.raises(Invalid, match="/ends_at"):
            bench.put(**wrong)
    with pytest.raises(Invalid, match="must be later than starts_at"):
        bench.put(starts_at=at(bench, 50), ends_at=at(bench, 40))


def test_an_end_that_is_moved_into_the_past_finishes_a_schedule_and_another_one_revives_it(bench):
    bench.put()
    bench.clock.move(25)
    bench.claim()
    bench.ask(PatchSchedule("s", {"ends_at": at(bench, 22)}))
    assert bench.schedule().state == "finished"
    bench.ask(PatchSchedule("s", {"ends_at": None}))
    assert (bench.schedule().state, coming(bench, 1)) == ("active", [30])


def test_runs_are_counted_and_the_last_one_finishes_the_schedule(bench):
    bench.put(max_runs=2)
    assert coming(bench) == [10, 20]
    for _ in range(4):
        for run in bench.claim_after(10):
            bench.end(run)

    assert [row[:2] for row in bench.fates()] == [("ran", 10), ("ran", 20)]
    assert (bench.schedule().state, bench.schedule().run_count) == ("finished", 2)


def test_what_is_skipped_uses_up_no_run(bench):
    bench.put(max_runs=2)
    (first,) = bench.claim_after(10)
    bench.claim_after(10)
    bench.end(first)
    bench.ask(SkipDue("s", count=1))
    assert coming(bench) == [30, 40]
    bench.claim_after(10)
    bench.claim_after(10)

    assert [row[0] for row in bench.fates()] == ["ran", "skipped", "skipped", "ran"]
    assert bench.schedule().state == "finished"


def test_runs_by_hand_and_retries_use_up_none(bench):
    bench.put(task="failing", max_runs=1, every="1h")
    bench.end(bench.start_fact(bench.ask(TriggerSchedule("s"))))
    (run,) = bench.claim_after(3600)
    bench.end(run, "failed")

    assert len(bench.claim_after(60)) == 1
    assert bench.schedule().run_count == 1


def test_more_runs_revive_a_finished_schedule(bench):
    bench.put(max_runs=1)
    bench.end(*bench.claim_after(10))
    bench.ask(PatchSchedule("s", {"max_runs": 2}))
    assert (bench.schedule().state, coming(bench)) == ("active", [20])


def test_run_on_create_runs_once_and_no_update_does(bench):
    bench.put(run_on_create=True)
    (first,) = bench.started
    assert (first.cause, first.due_at, bench.ledger()) == ("create", None, [])
    bench.end(first)
    bench.put(run_on_create=True, tags=["a"])
    bench.ask(PatchSchedule("s", {"run_on_create": False}))
    bench.ask(PatchSchedule("s", {"run_on_create": True}))

    assert bench.started == []
    assert len(bench.instances()) == 1


def test_a_schedule_that_is_created_again_does_not_overlap_what_still_runs_of_the_old_one(bench):
    bench.put(every="1h")
    old = bench.ask(TriggerSchedule("s"))
    bench.ask(DeleteSchedule("s"))
    bench.put(every="1h", run_on_create=True)
    assert bench.started == []
    bench.end(bench.start_fact(old))

    assert [run.cause for run in bench.started] == ["create"]


def test_a_schedule_that_cannot_run_at_its_creation_for_the_service_stops_is_not_made(bench):
    bench.ask(Drain())
    with pytest.raises(Unavailable):
        bench.put(run_on_create=True)
    with pytest.raises(Unknown):
        bench.schedule()


def test_the_run_at_creation_is_in_the_way_like_any_other_and_counts(bench):
    bench.put(run_on_create=True, max_runs=2)
    (first,) = bench.started
    bench.claim_after(10)
    bench.end(first)
    bench.end(*bench.claim_after(10))

    assert [row[0] for row in bench.fates()] == ["skipped", "ran"]
    assert bench.schedule().state == "finished"


def test_a_pause_that_runs_out_plans_nothing_when_max_runs_was_reached_meanwhile(bench):
    bench.put(max_runs=3)
    for _ in range(2):
        bench.end(*bench.claim_after(10))
    bench.ask(PauseSchedule("s", until=bench.clock.now() + 5_000_000))
    bench.ask(PatchSchedule("s", {"max_runs": 1}))
    bench.claim_after(6)
    bench.claim_after(30)

    assert (bench.schedule().state, bench.schedule().next_due) == ("finished", None)
    assert [row[0] for row in bench.fates()] == ["ran", "ran"]


def test_a_schedule_that_is_created_again_counts_from_the_start(bench):
    bench.put(max_runs=1)
    bench.end(*bench.claim_after(10))
    bench.ask(DeleteSchedule("s"))
    bench.ask(PutSchedule("s", {"task": "noop", "trigger": {"every": "10s"}, "max_runs": 1}))

    assert (bench.schedule().run_count, len(bench.claim_after(10))) == (0, 1)
