"""What retention takes and what it never takes, on both databases."""

import random

import pytest

from callsheet import Out, Retry, task
from callsheet.errors import Unknown
from callsheet.instants import DAY, SECOND
from callsheet.tasks import Registry
from storage.journal.commands import (
    CancelInstance,
    DeleteSchedule,
    KeepLog,
    KeepOutput,
    Prune,
    Start,
    StartInstances,
)
from storage.journal.facts import Pruned
from storage.queries import history
from storage.queries.instances import list_log, list_outputs
from storage.queries.invariants import check_all
from storage.queries.ledger import ledger
from tests.storage.sweeping import run, sweep


def test_an_instance_goes_by_the_time_since_it_ended_with_all_that_it_said(bench):
    old = bench.start(tags=("a",))
    bench.journal.apply([KeepOutput(old.id, 0, 1, b"1"), KeepLog(old.id, 0, 1, "info", "x")])
    bench.end(old)
    bench.clock.move(60)
    young = bench.start(tags=("a",))
    bench.end(young)

    bench.clock.move(39)
    assert sweep(bench, age=100) == Pruned()
    bench.clock.move(1)
    assert sweep(bench, age=100) == Pruned(instances=1)

    assert [one.id for one in bench.instances(tag="a")] == [young.id]
    for question in (list_outputs, list_log):
        with pytest.raises(Unknown):
            question(bench.database, old.id, 10, None)
    for table in ("output", "log"):
        assert bench.rows(f"SELECT * FROM {table}") == []
    assert len(bench.rows("SELECT * FROM instance_tag")) == 1


def test_a_long_run_goes_by_its_end_and_not_by_its_start(bench):
    long = bench.start()
    bench.clock.move(1000)
    bench.end(long)
    bench.clock.move(50)

    assert sweep(bench, age=100) == Pruned()
    bench.clock.move(50)
    assert sweep(bench, age=100) == Pruned(instances=1)


def test_what_is_kept_for_ever_stays(bench):
    bench.end(bench.start())
    bench.clock.move(100 * 365 * 24 * 3600)

    assert sweep(bench) == Pruned()


def test_what_runs_or_waits_is_never_found_nor_taken_when_it_is_named(bench):
    bench.ask(StartInstances((Start("tally", b"null"),) * 2))  # the second waits for the state of the first
    bench.start("noop")
    unfinished = bench.instances()
    assert sorted(one.state for one in unfinished) == ["queued", "running", "running"]
    bench.clock.move(10 * DAY / SECOND)

    assert sweep(bench, age=1, last=1) == Pruned()
    assert bench.ask(Prune(instances=tuple(one.id for one in unfinished))) == Pruned()
    assert bench.instances() == unfinished


def test_the_attempts_of_a_run_stay_until_the_last_has_ended(bench):
    for first in (bench.start("failing"), scheduled(bench, "failing")):
        bench.end(first, "failed")
        assert bench.ask(Prune(instances=(first.id,))) == Pruned()  # the second waits
        retry = next(one for one in bench.claim_after(20) if one.attempt == 2)
        bench.clock.move(1000)
        assert sweep(bench, age=1) == Pruned()
        assert bench.ask(Prune(instances=(first.id,))) == Pruned()  # the second runs
        bench.end(retry, may_retry=False)
        if first.schedule:
            run_elsewhere(bench)
        bench.clock.move(10)
        assert sweep(bench, age=5).instances == 2


def scheduled(bench, name):
    """Return a run of a schedule that is due in a moment."""
    bench.put(task=name, every="1h")
    (started,) = bench.claim_after(3600)
    return started


def run_elsewhere(bench):
    """Have the schedule's next due time run, so that the one before is not its latest any more."""
    (started,) = bench.claim_after(3600)
    bench.end(started, may_retry=False)


def test_of_each_schedule_the_newest_runs_stay_and_the_ledger_begins_with_the_oldest_of_them(bench):
    bench.put()
    bench.put("other")
    long = None
    for n in range(8):
        for one in bench.claim_after(10):
            if (one.schedule, n) == ("s", 1):
                long = one
            else:
                bench.end(one)
        if n == 3:
            bench.end(long)
    assert [fate for fate, *_ in bench.fates()] == ["ran", "ran", "skipped", "ran", "ran", "ran", "ran"]
    before = bench.ledger()

    gone = sweep(bench, last=3)

    assert bench.ledger() == before[-3:]
    assert len(bench.ledger("other")) == 3
    assert gone == Pruned(instances=3 + 5, omissions=1)
    assert sweep(bench, last=3) == Pruned()


def test_a_run_counts_once_however_many_attempts_it_took(bench):
    bench.put(task="failing", every="10m")
    for _ in range(4):
        (first,) = bench.claim_after(600)
        bench.end(first, "failed")
        (second,) = bench.claim_after(30)
        bench.end(second, may_retry=False)
        bench.clock.move(-30)

    sweep(bench, last=2)

    assert [entry.attempt for entry in bench.ledger()] == [2, 2]
    assert len(bench.instances(schedule="s")) == 4


def test_the_word_of_a_schedule_goes_before_that_of_the_service(bench):
    for slug in ("short", "long", "ever", "few", "plain"):
        bench.put(slug)
    bench.write("UPDATE schedule SET keep_for = ? WHERE id = 'short'", 10 * SECOND)
    bench.write("UPDATE schedule SET keep_for = ? WHERE id = 'long'", 1000 * SECOND)
    bench.write("UPDATE schedule SET keep_for = 0, keep_last = 0 WHERE id = 'ever'")
    bench.write("UPDATE schedule SET keep_last = 2 WHERE id = 'few'")
    for _ in range(10):
        for one in bench.claim_after(10):
            bench.end(one)

    sweep(bench, age=50, last=7)

    kept = {slug: len(bench.ledger(slug)) for slug in ("short", "long", "ever", "few", "plain")}
    assert kept == {"short": 1, "long": 7, "ever": 10, "few": 2, "plain": 5}


def test_the_latest_run_of_a_schedule_stays_whatever_its_age(bench):
    bench.put()
    latest = [run(bench) for _ in range(3)][-1]
    bench.clock.move(10 * DAY / SECOND)

    assert sweep(bench, age=1).instances == 2
    assert [one.id for one in bench.instances()] == [latest.id]


def test_omissions_go_by_age_but_the_latest_which_may_still_grow(bench):
    bench.put()
    (first,) = bench.claim_after(10)
    bench.claim_after(10)
    bench.end(first)
    run(bench)
    bench.claim_after(10)
    bench.claim_after(10)
    assert [fate for fate, *_ in bench.fates()] == ["ran", "skipped", "ran", "ran", "skipped"]
    bench.clock.move(-5)
    bench.put("s", every="1h")
    bench.clock.move(1000)

    assert sweep(bench, age=100) == Pruned(instances=2, omissions=1)
    bench.claim_after(3600)
    assert bench.fates()[-1][0::3] == ("skipped", 2)  # the row was lengthened
    assert bench.ask(Prune(omissions=tuple(row[0] for row in bench.rows("SELECT id FROM omission")))) == Pruned()


def test_omissions_that_still_grow_do_not_hide_the_old_ones_behind_them(bench, monkeypatch):
    monkeypatch.setattr(history, "PAGE", 2)
    bench.put("growing-1")
    bench.put("growing-2")
    bench.claim_after(10)
    bench.claim_after(10)
    bench.put("old")
    for _ in range(3):
        started = [run for run in bench.claim_after(10) if run.schedule == "old"]
        bench.claim_after(10)
        bench.end(started[0])
    bench.put("old", every="1h")
    for _ in range(10):
        bench.claim_after(10)

    assert sweep(bench, age=90) == Pruned(instances=2, omissions=3 - 1)


def test_pruned_due_times_never_fire_again_even_if_the_clock_goes_back(bench):
    bench.put()
    for _ in range(5):
        run(bench)
    last = bench.schedule().last_due
    bench.clock.move(5)
    sweep(bench, age=1)

    bench.clock.move(-40)
    assert bench.claim().fired == 0
    bench.boot()
    assert bench.claim().fired == 0
    assert bench.schedule().last_due == last
    assert len(bench.claim_after(45)) == 1


def test_a_deleted_schedule_goes_once_nothing_is_left_of_it(bench):
    bench.put(task="tally")
    bench.end(run_one(bench), state=b"1")
    bench.claim_after(5)
    bench.ask(DeleteSchedule("s"))
    bench.put("standing")

    assert sweep(bench, age=100) == Pruned()
    bench.clock.move(200)
    gone = sweep(bench, age=100)
    gone += sweep(bench, age=100)

    assert gone == Pruned(instances=1, schedules=1)
    assert [row[0] for row in bench.rows("SELECT id FROM schedule")] == ["standing"]
    assert bench.rows("SELECT * FROM task_state") == []
    with pytest.raises(Unknown):
        ledger(bench.database, "s", 10, None)
    assert bench.put().version == 1


def run_one(bench):
    """Return the run that is due next."""
    (started,) = bench.claim_after(10)
    return started


def test_a_deleted_schedule_stays_while_its_due_times_could_come_again(bench):
    bench.put()
    run(bench)
    bench.ask(DeleteSchedule("s"))
    last = bench.rows("SELECT last_due FROM schedule")
    bench.write("UPDATE schedule SET last_due = last_due + ?", DAY)
    bench.clock.move(1000)

    sweep(bench, age=10)
    sweep(bench, age=10)

    assert bench.rows("SELECT last_due - ? FROM schedule", DAY) == last


def test_a_schedule_that_was_created_again_or_has_a_follower_is_not_forgotten(bench):
    for slug in ("again", "followed"):
        bench.put(slug)
        bench.ask(DeleteSchedule(slug))
    bench.put("follower")
    bench.write("UPDATE schedule SET follows = 'followed' WHERE id = 'follower'")
    bench.put("again")

    assert bench.ask(Prune(schedules=("again", "followed", "follower"))) == Pruned()


@task(retries=Retry(1, backoff="10s"))
async def twice(_in: None, out: Out[int]) -> None:
    """Be tried twice."""


def test_a_cancelled_retry_lets_its_run_go(bench, tasks):
    bench.boot(Registry([*tasks.values(), twice]))
    first = bench.start("twice")
    bench.end(first, "failed")
    (queued,) = bench.instances(states=("queued",))
    bench.ask(CancelInstance(queued.id, None, "api"))
    bench.clock.move(10)

    assert sweep(bench, age=5).instances == 2


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_only_what_is_over_and_old_goes(bench, seed):
    dice = random.Random(seed)
    bench.put("s", every="5s")
    bench.put("free", task="failing", every="7s", overlap="allow")
    bench.put("tally", task="tally", every="11s")
    for step in range(150):
        bench.claim_after(dice.uniform(1, 20))
        going = [one for one in bench.instances(states=("running",)) if dice.random() < 0.5]
        for one in going:
            bench.end(bench.start_fact(one.id), dice.choice(["succeeded", "failed"]), may_retry=step < 140)
        if step % 10 == 9:
            check_sweep(bench, age=dice.choice([30, 100]), last=dice.choice([2, 8]))
    assert bench.rows("SELECT count(*) FROM instance")[0][0] < 100


def check_sweep(bench, age, last):
    """Sweep, and compare what there was with what is left."""
    ended_by = bench.clock.now() - age * SECOND
    slugs = ("s", "free", "tally")
    before, accounts = bench.instances(), {slug: bench.ledger(slug) for slug in slugs}
    sweep(bench, age=age, last=last)
    left = {one.id for one in bench.instances()}

    assert {one.id for one in before if one.outcome is None} <= left
    for slug in slugs:
        ended = [one for one in before if one.schedule == slug and one.outcome and one.attempt == 1]  # newest first
        assert {one.id for one in ended[:last] if one.finished_at > ended_by} <= left
        assert not {one.id for one in ended[last:] if one.cause == "schedule" and is_settled(before, one)} & left
        assert [entry for entry in accounts[slug] if entry in bench.ledger(slug)] == bench.ledger(slug)
        assert bench.ledger(slug)[-1:] == accounts[slug][-1:]
    assert check_all(bench.database) == []


def is_settled(before, first):
    """Tell whether no later attempt of a run is unfinished, and it is not the latest of its schedule."""
    chain = [one for one in before if one.retry_of == first.id]
    latest = max(one.due_at for one in before if one.schedule == first.schedule)
    return all(one.outcome for one in chain) and first.due_at < latest
