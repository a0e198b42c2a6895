"""Promises about skipping single due times: exactly those, with a row in the ledger, and it can be undone."""

import pytest

from callsheet.errors import Invalid, Outdated, Refused
from storage.journal.commands import PauseSchedule, PutSchedule, ResumeSchedule, SkipDue, UnskipDue
from storage.queries.schedules import upcoming_of


def run_for(bench, claims):
    for _ in range(claims):
        for run in bench.claim_after(10):
            bench.end(run)


def skips(bench):
    return [bench.seconds(one) for one in bench.schedule().skips]


def test_the_next_due_times_are_skipped_and_the_ledger_says_that_somebody_asked(bench):
    bench.put()
    bench.ask(SkipDue("s", count=2))
    assert skips(bench) == [10, 20]
    run_for(bench, 3)

    assert bench.fates() == [("skipped", 10, 20, 2), ("ran", 30, 30, 1)]
    assert bench.ledger()[0].reason == "requested"
    assert skips(bench) == []


def test_one_due_time_further_ahead_can_be_skipped(bench):
    bench.put()
    due = bench.schedule().next_due + 10_000_000
    bench.ask(SkipDue("s", at=due))
    assert [one.skip for one in upcoming_of(bench.database, "s", 3)] == [False, True, False]
    run_for(bench, 3)

    assert [row[0] for row in bench.fates()] == ["ran", "skipped", "ran"]


def test_to_ask_twice_skips_no_more(bench):
    bench.put()
    first = bench.ask(SkipDue("s", count=1))
    again = bench.ask(SkipDue("s", count=1))
    assert (first.version, again.version, skips(bench)) == (2, 2, [10])


def test_it_can_be_undone_one_by_one_or_all_at_once(bench):
    bench.put()
    bench.ask(SkipDue("s", count=3))
    bench.ask(UnskipDue("s", at=bench.schedule().next_due))
    assert skips(bench) == [20, 30]
    bench.ask(UnskipDue("s"))
    run_for(bench, 1)

    assert bench.fates() == [("ran", 10, 10, 1)]


def test_an_instant_that_is_no_due_time_to_come_is_refused_and_told_which_one_is(bench):
    bench.put()
    bench.claim_after(10)
    for wrong in (bench.clock.now(), bench.clock.now() + 1_000_000):
        with pytest.raises(Invalid, match="the next one is 2026-"):
            bench.ask(SkipDue("s", at=wrong))
    with pytest.raises(Invalid, match="was not to be skipped"):
        bench.ask(UnskipDue("s", at=bench.schedule().next_due))


def test_where_nothing_is_planned_nothing_can_be_skipped(bench):
    bench.put()
    bench.put("t", trigger={"after": "s"})
    bench.ask(PauseSchedule("s"))
    for slug in ("s", "t"):
        with pytest.raises(Refused, match="plans no due time"):
            bench.ask(SkipDue(slug, count=1))


def test_no_more_than_a_hundred_wait_to_be_skipped(bench):
    bench.put()
    bench.ask(SkipDue("s", count=100))
    with pytest.raises(Invalid, match="would skip 101"):
        bench.ask(SkipDue("s", at=bench.schedule().next_due + 100 * 10_000_000))


def test_a_version_that_no_longer_stands_skips_nothing(bench):
    bench.put()
    with pytest.raises(Outdated):
        bench.ask(SkipDue("s", count=1, if_match=(7,)))
    assert skips(bench) == []


def test_a_skip_outlives_other_changes_and_restarts_but_only_for_a_due_time_that_is_still_named(bench):
    bench.put()
    bench.ask(SkipDue("s", count=2))
    bench.ask(PutSchedule("s", {"task": "noop", "trigger": {"every": "10s"}, "tags": ["a"]}))
    bench.boot()
    run_for(bench, 1)
    bench.ask(PutSchedule("s", {"task": "noop", "trigger": {"every": "7s"}}))
    run_for(bench, 1)

    assert bench.fates()[0] == ("skipped", 10, 10, 1)
    assert bench.fates()[1][0] == "ran"


def test_a_due_time_to_skip_that_comes_in_an_outage_is_skipped_and_the_one_before_runs(bench):
    bench.put()
    bench.ask(SkipDue("s", at=bench.schedule().next_due + 20_000_000))
    bench.clock.move(35)
    bench.boot()
    bench.claim()

    assert bench.fates() == [("missed", 10, 10, 1), ("ran", 20, 20, 1), ("skipped", 30, 30, 1)]


def test_what_is_paused_meanwhile_is_not_planned_and_so_not_skipped(bench):
    bench.put()
    bench.ask(SkipDue("s", count=1))
    bench.ask(PauseSchedule("s"))
    bench.clock.move(15)
    bench.ask(ResumeSchedule("s"))
    run_for(bench, 1)

    assert bench.fates() == [("ran", 20, 20, 1)]
