"""Promises about lists: every page of every list is what a filter over everything would give, newest first."""

from collections import Counter
from functools import partial
from itertools import product
from random import Random

import pytest

from callsheet.errors import Invalid, Unknown
from callsheet.ids import IdMaker
from callsheet.instants import HOUR, SECOND, format_instant
from callsheet.lifecycle import INSTANCE_STATES, OUTCOMES
from callsheet.timetable import upcoming
from storage.journal.commands import (
    BackfillSchedule,
    CancelInstance,
    DeleteSchedule,
    KeepLog,
    KeepOutput,
    PauseSchedule,
    Start,
    StartInstances,
    TriggerSchedule,
)
from storage.queries.instances import Filter, get_whole, list_instances, list_log, list_outputs, unfinished
from storage.queries.ledger import ledger
from storage.queries.nodes import list_nodes
from storage.queries.schedules import count_schedules, list_schedules, upcoming_of, upcoming_of_all
from storage.queries.stats import stats


def pages(page, limit):
    """Return the items of all pages, each from the cursor of the one before; `page` is called with limit and cursor."""
    items, cursor = [], None
    while True:
        found = page(limit, cursor)
        assert len(found.items) <= limit
        items += found.items
        cursor = found.next
        if cursor is None:
            return items
        assert len(found.items) == limit


@pytest.fixture
def history(bench):
    """Fill the database with instances of every kind; return them, newest first."""
    random = Random(7)
    for slug, task in [("a", "noop"), ("b", "failing"), ("c", "tally")]:
        bench.put(slug, task=task, every="10s", overlap="allow", tags=["x"] if slug == "a" else [])
    for _ in range(12):
        bench.clock.move(random.choice([1, 7, 10]))
        bench.claim()
        runs = bench.started
        bench.ask(StartInstances(tuple(Start(random.choice(["noop", "tally", "again"]), b"null", None, tags)
                                       for tags in [("x",), ("x", "y"), ()])))  # fmt: skip
        for run in runs + bench.started:
            if random.random() < 0.8:
                bench.end(run, random.choice(["succeeded", "failed", "timed_out", "cancelled", "interrupted"]))
    bench.ask(CancelInstance(bench.instances(states=("queued",))[0].id, None, "api"))
    bench.boot()
    bench.ask(StartInstances((Start("noop", b"null"), Start("tally", b"null"), Start("tally", b"null"))))
    return pages(lambda limit, cursor: list_instances(bench.database, Filter(), limit, cursor), 200)


def matches(row, wanted):
    return (
        wanted.task in (None, row.task)
        and wanted.schedule in (None, row.schedule)
        and (not wanted.states or row.state in wanted.states)
        and (wanted.tag is None or wanted.tag in row.tag_list)
        and (wanted.since is None or row.queued_at >= wanted.since)
        and (wanted.until is None or row.queued_at < wanted.until)
    )


def test_the_history_holds_every_kind_of_instance(history):
    assert {row.state for row in history} == set(INSTANCE_STATES)
    assert {row.cause for row in history} == {"manual", "schedule", "retry"}
    assert [row.id for row in history] == sorted((row.id for row in history), reverse=True)


def test_every_filter_gives_what_a_filter_over_everything_would(bench, history):
    middle, early = history[len(history) // 2].queued_at, history[-3].queued_at
    combinations = product(
        (None, "noop", "tally", "nobody"),
        (None, "a", "b"),
        ((), ("running",), ("queued", "running"), OUTCOMES, ("failed", "failed", "lost")),
        (None, "x", "y"),
        ((None, None), (early, middle), (middle, None)),
    )
    for number, (task, schedule, states, tag, (since, until)) in enumerate(combinations):
        wanted = Filter(task, schedule, states, tag, since, until)
        found = pages(lambda limit, cursor: list_instances(bench.database, wanted, limit, cursor), 5 + number % 23)  # noqa: B023
        assert found == [row for row in history if matches(row, wanted)], wanted


def test_pages_are_stable_while_new_instances_come(bench, history):
    first = list_instances(bench.database, Filter(), 10, None)
    for _ in range(3):
        bench.start()
    rest = pages(lambda limit, cursor: list_instances(bench.database, Filter(), limit, cursor or first.next), 10)

    assert first.items + rest == history


def test_a_cursor_is_one_that_the_list_gave(bench, history):
    cursor = list_schedules(bench.database, task=None, state=None, tag=None, limit=1, cursor=None).next
    for wrong in ("gibberish", "é", "W10", "WzFd", "bnVsbA", cursor):
        with pytest.raises(Invalid, match="cursor"):
            list_instances(bench.database, Filter(), 10, wrong)
    with pytest.raises(Invalid, match="cursor"):
        ledger(bench.database, "a", 10, cursor)


def test_schedules_are_listed_by_id_for_every_filter(bench):
    now = bench.clock.now()
    for number in range(30):
        slug = f"{'zaZ-'[number % 3 if number else 0]}{number:02}".replace("-", "m")
        trigger = {"at": format_instant(now + SECOND)} if number % 5 == 4 else {"every": "1h"}
        bench.put(slug, task=("noop", "again", "tally")[number % 3], trigger=trigger, tags=[("x", "y")[number % 2]])
        if number % 7 == 3:
            bench.ask(PauseSchedule(slug))
        if number % 7 == 5:
            bench.ask(DeleteSchedule(slug))
    bench.claim_after(1)
    everything = [record for state in ("active", "paused", "blocked", "finished", "deleted")
                  for record in schedules(bench, state=state)]  # fmt: skip
    everything.sort(key=lambda record: record.id)

    assert len(everything) == 30
    states = (None, "active", "paused", "finished", "deleted")
    for task, state, tag in product((None, "noop", "gone"), states, (None, "x")):
        expected = [record for record in everything
                    if (record.state == state if state else record.state != "deleted")
                    and task in (None, record.definition.task)
                    and (tag is None or (tag in record.definition.tags and record.state != "deleted"))]  # fmt: skip
        assert schedules(bench, task=task, state=state, tag=tag) == expected, (task, state, tag)
    standing = Counter(record.state for record in everything if record.state != "deleted")
    assert count_schedules(bench.database) == standing


def schedules(bench, task=None, state=None, tag=None):
    return pages(partial(_schedules, bench.database, task=task, state=state, tag=tag), 4)


def _schedules(database, limit, cursor, **wanted):
    return list_schedules(database, limit=limit, cursor=cursor, **wanted)


def fill_ledger(bench):
    """Write a ledger with runs of up to three attempts, and omissions between them."""
    bench.put(task="failing", every="10s")
    outcomes = Random(3)
    for _ in range(60):
        for run in bench.claim_after(10):
            bench.end(run, outcomes.choice(["succeeded", "failed", "failed", "failed"]))


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
def test_the_pages_of_a_ledger_are_the_ledger(bench, limit):
    fill_ledger(bench)
    whole = ledger(bench.database, "s", 200, None)
    assert whole.next is None
    assert {row.fate for row in whole.items} == {"ran", "skipped"}
    assert max(row.attempt for row in whole.items) == 3
    assert [row.last_due for row in whole.items] == sorted({row.last_due for row in whole.items}, reverse=True)

    assert pages(lambda size, cursor: ledger(bench.database, "s", size, cursor), limit) == whole.items


def test_the_ledger_of_a_schedule_that_never_existed_is_unknown(bench):
    bench.put("empty")

    assert ledger(bench.database, "empty", 10, None).items == []
    with pytest.raises(Unknown):
        ledger(bench.database, "never", 10, None)


def test_what_a_task_said_is_paged_in_order(bench):
    run, silent = bench.start(), bench.start()
    bench.journal.apply([KeepOutput(run.id, n, n, b"%d" % n) for n in range(25)]
                        + [KeepLog(run.id, n, n, "info", f"line {n}") for n in range(25)])  # fmt: skip

    said = pages(lambda limit, cursor: list_outputs(bench.database, run.id, limit, cursor), 10)
    assert [(output.seq, output.value) for output in said] == [(n, str(n)) for n in range(25)]
    lines = pages(lambda limit, cursor: list_log(bench.database, run.id, limit, cursor), 25)
    assert [line.text for line in lines] == [f"line {n}" for n in range(25)]
    assert list_outputs(bench.database, silent.id, 10, None).items == []
    with pytest.raises(Unknown):
        list_log(bench.database, IdMaker().make(0), 10, None)


def test_boots_are_paged_newest_first(bench):
    for _ in range(6):
        bench.boot()  # all in one microsecond
    bench.clock.move(1)
    bench.boot()
    found = pages(lambda limit, cursor: list_nodes(bench.database, limit, cursor), 3)

    assert len({node.boot for node in found}) == 8
    assert [node.started_at for node in found] == [bench.clock.now()] + [bench.clock.now() - SECOND] * 7


def test_figures_are_those_of_the_whole_history(bench, history):
    for task, schedule, since in product((None, "noop", "tally"), (None, "a"), (None, history[20].queued_at)):
        rows = [row for row in history if matches(row, Filter(task, schedule, since=since))]
        counted = Counter(row.state for row in rows)
        found = stats(bench.database, task=task, schedule=schedule, since=since)
        assert found.outcomes == {state: counted[state] for state in OUTCOMES}
        assert (found.running, found.queued) == (counted["running"], counted["queued"])
        known = [row for row in rows if row.finished_at and row.started_at and row.state != "lost"]
        ended = [(row.finished_at - row.started_at) / SECOND for row in known]
        assert (found.sample, found.durations.get("max", 0)) == (len(ended), max(ended, default=0))


def test_figures_count_what_was_omitted_by_its_fate(bench):
    bench.put("a")
    bench.put("b", task="again")
    for _ in range(4):
        bench.claim_after(10)
    bench.clock.move(35)
    bench.boot()
    bench.claim()

    omitted = stats(bench.database, task=None, schedule=None, since=None).omissions
    assert omitted == {"skipped": 7, "missed": 4, "dropped": 0, "rejected": 0}
    assert stats(bench.database, task="again", schedule=None, since=None).omissions["skipped"] == 4
    assert stats(bench.database, task=None, schedule="a", since=bench.clock.now()).omissions["skipped"] == 0


def test_lateness_is_that_of_first_attempts_that_were_due(bench):
    bench.put(every="1h")
    bench.clock.move(3600 + 2)
    bench.claim()
    bench.end(bench.started[0])
    bench.end(bench.start())

    lateness = stats(bench.database, task=None, schedule=None, since=None).lateness
    assert lateness == dict.fromkeys(("p50", "p95", "p99", "max"), 2.0)


def test_a_backfill_of_long_ago_is_not_late(bench):
    bench.put(trigger={"cron": "0 * * * *"})
    start = bench.clock.now()
    bench.ask(BackfillSchedule("s", start - 48 * HOUR, start - 47 * HOUR))
    bench.end(*bench.started)
    bench.end(*bench.started)

    figures = stats(bench.database, task=None, schedule=None, since=None)
    assert (figures.sample, figures.lateness) == (2, {})


@pytest.mark.parametrize("limit", [1, 5, 30, 200])
def test_what_comes_next_is_the_merge_of_all_timetables(bench, limit):
    for number, trigger in enumerate([{"every": 7}, {"every": 13}, {"every": 13}, {"cron": "* * * * *"}, {"every": 91},
                                      {"at": format_instant(bench.clock.now() + HOUR)}, {"every": 7}] * 2):  # fmt: skip
        bench.put(f"s{number:02}", trigger=trigger)
    bench.ask(PauseSchedule("s00"))
    bench.ask(DeleteSchedule("s01"))
    bench.claim_after(30)
    standing = [record for record in schedules(bench) if record.state == "active"]
    brute = sorted(
        (due, record.id, record.definition.task)
        for record in standing
        for due in upcoming(record.definition.trigger, record.next_due - 1, limit)
    )[:limit]

    found = upcoming_of_all(bench.database, limit, None)
    assert [(coming.due_at, coming.schedule, coming.task) for coming in found] == brute
    until = bench.clock.now() + 20 * SECOND
    early = upcoming_of_all(bench.database, limit, until)
    assert [coming.due_at for coming in early] == [due for due, *_ in brute if due <= until]


def test_what_comes_next_for_one_schedule(bench):
    bench.put(every="10s")
    assert [bench.seconds(coming.due_at) for coming in upcoming_of(bench.database, "s", 3)] == [10, 20, 30]
    bench.ask(PauseSchedule("s"))

    assert upcoming_of(bench.database, "s", 3) == []
    with pytest.raises(Unknown):
        upcoming_of(bench.database, "never", 3)


def test_the_unfinished_are_those_that_have_not_ended(bench, history):
    bench.put("t", every="1h")
    bench.ask(TriggerSchedule("t"))

    assert set(unfinished(bench.database)) == {row.id for row in bench.instances(states=("queued", "running"))}


def test_many_instances_are_read_at_once_each_with_what_it_sent_first(bench):
    talker, silent, brief = bench.start(), bench.start(), bench.start()
    bench.journal.apply([KeepOutput(talker.id, n, n, b"%d" % n) for n in range(60)]
                        + [KeepOutput(brief.id, 0, 0, b'"hi"')])  # fmt: skip
    wanted = [brief.id, IdMaker().make(0), talker.id, silent.id]

    found = get_whole(bench.database, wanted)

    assert [one and (one[0].id, one[1]) for one in found] == [
        (brief.id, ['"hi"']), None, (talker.id, [str(n) for n in range(50)]), (silent.id, [])
    ]  # fmt: skip


def test_of_instances_that_hold_too_much_together_only_the_first_is_read(bench):
    large, small = bench.start(), bench.start()
    bench.journal.apply([KeepOutput(large.id, n, n, b'"' + b"x" * 100 + b'"') for n in range(10)])

    assert [one and len(one[1]) for one in get_whole(bench.database, [small.id, large.id], most=500)] == [0]
    assert [one and len(one[1]) for one in get_whole(bench.database, [large.id, small.id], most=500)] == [5]
    assert [one and len(one[1]) for one in get_whole(bench.database, [small.id, large.id], most=5_000)] == [0, 10]
