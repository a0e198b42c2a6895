"""The account of a benchmark finds every due time that was lost, doubled or invented."""

import sqlite3
from contextlib import closing
from uuid import uuid4

import pytest

from benchmarks.account import due_times, settle
from storage.database import open_database

SECOND = 1_000_000
ANCHOR, START, END = 250_000, 10 * SECOND, 13 * SECOND  # due at 10.25, 11.25 and 12.25


@pytest.fixture
def account(tmp_path):
    """Return a function that settles what ran and what was omitted, for one schedule."""

    def account(ran=(), omitted=(), anchors=None, **options):
        path = tmp_path / "callsheet.db"
        open_database(f"sqlite:///{path}", 0).close()
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.executemany(
                "INSERT INTO instance (id, task, schedule, due_at, started_at, attempt, cause, state, input, tags, "
                "queued_at) VALUES (?, 'noop', 's', ?, ?, ?, 'schedule', 'succeeded', 'null', '[]', 0)",
                [(uuid4().bytes, due, due + 2000, attempt) for due, attempt in ran],
            )
            connection.executemany(
                "INSERT INTO omission (schedule, fate, reason, first_due, last_due, count) "
                "VALUES ('s', ?, 'late', ?, ?, ?)",
                omitted,
            )
        return settle(path, anchors or {"s": ANCHOR}, START, END, **options)

    return account


def at(seconds):
    return round(seconds * SECOND)


@pytest.mark.parametrize(
    ("anchor", "start", "end", "expected"),
    [
        (250_000, 10 * SECOND, 13 * SECOND, [10.25, 11.25, 12.25]),
        (0, 10 * SECOND, 12 * SECOND, [11, 12]),
        (10_250_000, 10_250_000, 11_250_000, [11.25]),
        (500_000, 10 * SECOND, 10_400_000, []),
    ],
)
def test_due_times_lie_after_the_start_and_up_to_the_end(anchor, start, end, expected):
    assert list(due_times(anchor, start, end)) == [at(seconds) for seconds in expected]


def test_runs_and_omissions_account_for_every_due_time(account):
    found = account(ran=[(at(10.25), 1), (at(9.25), 1)], omitted=[("missed", at(11.25), at(13.25), 3)])
    assert (found.expected, found.accounted, found.wrong, found.omitted) == (3, 3, 0, {"missed": 2})
    assert found.late(0.5) == pytest.approx(2)


def test_a_due_time_without_a_record_is_not_accounted_for(account):
    found = account(ran=[(at(10.25), 1), (at(12.25), 1)])
    assert (found.expected, found.accounted, found.wrong) == (3, 2, 0)


def test_a_due_time_with_two_records_is_wrong(account):
    found = account(
        ran=[(at(10.25), 1), (at(11.25), 1), (at(12.25), 1)], omitted=[("skipped", at(12.25), at(12.25), 1)]
    )
    assert (found.accounted, found.wrong) == (2, 1)


def test_a_record_at_a_time_that_no_trigger_names_is_wrong(account):
    assert account(ran=[(at(10.5), 1)]).wrong == 1


def test_an_omission_whose_count_is_not_what_it_spans_is_refused(account):
    with pytest.raises(RuntimeError, match="counts 5 due times, not 2"):
        account(omitted=[("missed", at(10.25), at(11.25), 5)])


def test_other_schedules_are_left_out_where_some_are_expected(account):
    elsewhere = {"anchors": {"t": ANCHOR}, "alone": False}
    found = account(ran=[(at(10.25), 1)], omitted=[("missed", at(11.25), at(11.25), 1)], **elsewhere)
    assert (found.expected, found.accounted, found.wrong, found.omitted) == (3, 0, 0, {})
