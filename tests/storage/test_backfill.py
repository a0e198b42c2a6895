"""Promises about backfill: what never ran runs once, in order, and the ledger still holds each due time once."""

import pytest

from callsheet.errors import Invalid, Refused, Unavailable, Unknown
from callsheet.tasks import Registry
from storage.journal.commands import BackfillSchedule, Drain, PauseSchedule, PutSchedule, ResumeSchedule


def ask(bench, start, end, slug="s", **more):
    base = type(bench.clock)().instant
    return bench.ask(BackfillSchedule(slug, base + start * 1_000_000, base + end * 1_000_000, **more))


def run_out(bench):
    """End all that runs until nothing begins any more; return the due times in the order in which they ran."""
    order = []
    while bench.started:
        (run,) = bench.started
        order.append(bench.seconds(run.due_at))
        bench.end(run)
    return order


@pytest.fixture
def gap(bench):
    """A schedule that ran at 10 s, missed 20 to 50, and ran at 60."""
    bench.put()
    bench.end(*bench.claim_after(10))
    bench.clock.move(50)
    bench.boot()
    bench.claim()
    bench.end(*bench.started)
    assert bench.fates() == [("ran", 10, 10, 1), ("missed", 20, 50, 4), ("ran", 60, 60, 1)]
    return bench


def test_missed_due_times_run_one_after_the_other_and_their_omission_goes(gap):
    following = gap.schedule().next_due
    filled = ask(gap, 1, 60)
    assert [(gap.seconds(one.due_at), one.before, one.left_out) for one in filled] == [
        (10, None, "ran"), (20, "missed", None), (30, "missed", None), (40, "missed", None), (50, "missed", None),
        (60, None, "ran"),
    ]  # fmt: skip
    assert run_out(gap) == [20, 30, 40, 50]
    assert [row[0] for row in gap.fates()] == ["ran"] * 6
    assert gap.schedule().next_due == following


def test_a_part_of_an_omission_is_cut_out_of_it(gap):
    ask(gap, 30, 40)
    assert gap.fates() == [
        ("ran", 10, 10, 1), ("missed", 20, 20, 1), ("ran", 30, 30, 1), ("ran", 40, 40, 1), ("missed", 50, 50, 1),
        ("ran", 60, 60, 1),
    ]  # fmt: skip


def test_a_dry_run_tells_the_same_and_does_nothing(gap):
    filled = ask(gap, 1, 60, dry_run=True)
    assert [one.left_out for one in filled] == ["ran", None, None, None, None, "ran"]
    assert gap.fates() == [("ran", 10, 10, 1), ("missed", 20, 50, 4), ("ran", 60, 60, 1)]


def test_to_ask_twice_runs_nothing_twice(gap):
    ask(gap, 1, 60)
    run_out(gap)
    assert {one.left_out for one in ask(gap, 1, 60)} == {"ran"}
    assert len(gap.instances()) == 6


def test_where_overlap_is_allowed_all_run_at_once(gap):
    ask(gap, 1, 60, overlap="allow")
    assert len(gap.started) == 4


def test_due_times_from_before_the_schedule_was_made_can_be_run_too(bench):
    bench.put("s", trigger={"cron": "*/10 * * * * *"})
    ask(bench, -40, 0)
    assert run_out(bench) == [-40, -30, -20, -10, 0]
    assert bench.schedule().next_due > bench.clock.now()


def test_what_was_not_planned_for_a_pause_can_be_run_and_the_schedule_goes_on_behind_it(bench):
    bench.put()
    bench.ask(PauseSchedule("s"))
    bench.clock.move(35)
    ask(bench, 1, 35)
    run_out(bench)
    assert bench.seconds(bench.schedule().last_due) == 30
    bench.ask(ResumeSchedule("s"))
    assert len(bench.claim_after(10)) == 1
    assert [row[1] for row in bench.fates()] == [10, 20, 30, 40]


def test_what_is_about_to_be_claimed_is_left_to_the_claim(bench):
    bench.put()
    bench.clock.move(15)
    assert ask(bench, 1, 15) == []
    bench.claim()
    assert bench.fates() == [("ran", 10, 10, 1)]


def test_a_backfill_that_comes_too_late_for_a_service_that_stops_leaves_the_account_as_it_is(gap):
    before = gap.fates()
    gap.ask(Drain())
    with pytest.raises(Unavailable):
        ask(gap, 1, 60, overlap="allow")
    assert gap.fates() == before


def test_an_omission_that_was_counted_under_another_trigger_is_left_alone(gap):
    gap.ask(PutSchedule("s", {"task": "noop", "trigger": {"every": "5s", "anchor": "2026-03-01T00:00:00Z"}}))
    left = {one.left_out for one in ask(gap, 20, 50)}
    assert left == {"trigger_changed"}
    assert ("missed", 20, 50, 4) in gap.fates()


def test_a_backfill_of_what_cannot_run_is_refused_and_leaves_the_account_as_it_is(gap, tasks):
    before = gap.fates()
    gap.boot(Registry([one for one in tasks.values() if one.name != "noop"]))
    with pytest.raises(Refused, match="cannot run: task_missing"):
        ask(gap, 1, 60)
    assert gap.fates() == before


def test_an_omission_that_was_counted_under_another_trigger_with_as_many_due_times_is_left_alone(gap):
    gap.ask(PutSchedule("s", {"task": "noop", "trigger": {"every": "10s", "anchor": "2026-11-23T12:00:05Z"}}))
    assert {one.left_out for one in ask(gap, 20, 50)} == {"trigger_changed"}


def test_a_range_that_is_too_long_in_the_future_or_upside_down_is_refused(gap):
    gap.clock.move(20_000)
    gap.claim()
    for start, end, why in ((0, 30_000, "must have passed"), (20, 10, "must not be before"), (0, 20_050, "1,000")):
        with pytest.raises(Invalid, match=why):
            ask(gap, start, end)
    with pytest.raises(Unknown):
        ask(gap, 0, 10, slug="nobody")
    gap.put("t", trigger={"after": "s"})
    with pytest.raises(Refused, match="no due times of its own"):
        ask(gap, 0, 10, slug="t")
