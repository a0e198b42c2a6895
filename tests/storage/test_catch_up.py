"""Promises about what comes after an outage: bounded, at a pace, and never in the way of what is due now."""

from storage.journal import claims
from storage.journal.claims import PACE, STRIDE
from storage.journal.commands import PatchSchedule


def test_all_that_was_missed_within_the_window_runs_one_after_the_other(bench):
    bench.put(catch_up="all", catch_up_window="25s")
    bench.clock.move(60)
    bench.boot()
    bench.claim()
    order = []
    while bench.started:
        (run,) = bench.started
        order.append(bench.seconds(run.due_at))
        bench.end(run)

    assert order == [40, 50, 60]
    assert bench.fates() == [("missed", 10, 30, 3), ("ran", 40, 40, 1), ("ran", 50, 50, 1), ("ran", 60, 60, 1)]


def test_where_overlap_is_allowed_what_was_missed_runs_side_by_side(bench):
    bench.put(catch_up="all", overlap="allow")
    bench.clock.move(30)
    bench.boot()
    bench.claim()

    assert len(bench.started) == 3


def test_what_is_made_up_for_is_in_the_way_of_what_is_due_meanwhile(bench):
    bench.put(catch_up="all")
    bench.clock.move(20)
    bench.boot()
    bench.claim()
    bench.claim_after(10)

    assert [row[0] for row in bench.fates()] == ["ran", "ran", "skipped"]


def test_a_decade_of_downtime_is_two_rows_and_no_loop(bench):
    bench.put(catch_up="all", every="1s", catch_up_window="1d")
    bench.clock.move(10 * 365 * 86_400)
    bench.boot()
    bench.claim()

    missed, *ran = bench.ledger()
    assert (missed.fate, missed.count, len(ran)) == ("missed", 10 * 365 * 86_400 - 100, 100)
    assert bench.schedule().next_due > bench.clock.now()


def test_what_is_overdue_is_settled_at_a_pace_and_what_is_due_now_goes_first(bench):
    for number in range(PACE + 30):
        bench.put(f"old-{number:03}", overlap="allow")
    bench.clock.move(15)
    bench.boot()
    bench.put("now", every="1s")
    bench.clock.move(1)
    looked = bench.claim()

    assert "now" in {run.schedule for run in bench.started}
    assert len(bench.started) == PACE + 1
    assert looked.next_fire == bench.clock.now() + STRIDE
    bench.claim_after(0.1)
    assert len(bench.started) == 30
    assert bench.claim().next_fire > bench.clock.now() + STRIDE


def test_what_was_due_long_ago_starts_no_more_at_once_than_it_may(bench, monkeypatch):
    monkeypatch.setattr(claims, "MOST_STARTS", 20)
    for number in range(5):
        bench.put(f"old-{number}", catch_up="all", overlap="allow", every="1s")
    bench.clock.move(15)
    bench.boot()
    looked = bench.claim()

    assert len(bench.started) == 30
    assert looked.next_fire == bench.clock.now() + STRIDE


def test_late_due_times_while_the_service_is_up_are_made_up_for_by_the_policy_all(bench):
    bench.put(catch_up="all", overlap="allow")
    bench.clock.move(35)
    bench.claim()
    assert len(bench.started) == 3
    bench.ask(PatchSchedule("s", {"catch_up": "latest"}))
    bench.clock.move(30)
    bench.claim()
    assert len(bench.started) == 1
