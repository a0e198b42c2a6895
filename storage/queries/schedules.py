"""Schedules as they stand, and what they will do next."""

import heapq
from collections.abc import Iterator
from itertools import islice, takewhile
from typing import Any

import msgspec
from attrs import frozen

from callsheet.definition import Definition
from callsheet.errors import Unknown
from callsheet.timetable import next_due
from storage.database import Database
from storage.queries.reading import decode_cursor, encode_cursor, one, read, rows, some
from storage.records import Page, ScheduleRecord
from storage.triggers import load_trigger

_COLUMNS = (
    "id, task, input, trigger, overlap, catch_up, catch_up_window, jitter, timeout, tags, state, state_reason, "
    "version, created_at, updated_at, last_due, next_due, next_fire, starts_at, ends_at, max_runs, run_on_create, "
    "keep_for, keep_last, run_count, skips, state_errors"
)
_WITHOUT_INPUT = _COLUMNS.replace(" input,", " 'null',")  # which may be large
STANDING = ("active", "blocked", "finished", "paused")  # every state but deleted


@frozen
class _Row:
    """A row of _COLUMNS."""

    id: str
    task: str
    input: str
    trigger: str
    overlap: str
    catch_up: str
    catch_up_window: int
    jitter: int
    timeout: int | None
    tags: str
    state: str
    state_reason: str | None
    version: int
    created_at: int
    updated_at: int
    last_due: int | None
    next_due: int | None
    next_fire: int | None
    starts_at: int | None
    ends_at: int | None
    max_runs: int | None
    run_on_create: int
    keep_for: int | None
    keep_last: int | None
    run_count: int
    skips: str
    state_errors: str | None


@frozen
class Coming:
    """A due time that is to come; `skip`: somebody asked to leave it out."""

    schedule: str
    task: str
    due_at: int
    trigger: Any
    skip: bool = False


def definition_of(row: Any) -> Definition:
    """Return the definition that a row (an entity or one of _COLUMNS) holds."""
    return Definition(
        task=row.task,
        input=row.input.encode(),
        trigger=load_trigger(row.trigger),
        overlap=row.overlap,
        catch_up=row.catch_up,
        catch_up_window=row.catch_up_window,
        jitter=row.jitter,
        timeout=row.timeout,
        tags=tuple(msgspec.json.decode(row.tags)),
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        max_runs=row.max_runs,
        run_on_create=bool(row.run_on_create),
        keep_for=row.keep_for,
        keep_last=row.keep_last,
    )


def record_of(row: Any) -> ScheduleRecord:
    """Return a row as the frozen value that leaves storage."""
    return ScheduleRecord(
        id=row.id,
        definition=definition_of(row),
        state=row.state,
        state_reason=row.state_reason,
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
        last_due=row.last_due,
        next_due=row.next_due,
        next_fire=row.next_fire,
        run_count=row.run_count,
        skips=read_skips(row.skips),
        state_errors=row.state_errors,
    )


def read_skips(text: str) -> tuple[int, ...]:
    """Return the due times of a schedule's column `skips`."""
    return () if text == "[]" else tuple(msgspec.json.decode(text))


def get_schedule(database: Database, slug: str) -> ScheduleRecord:
    """Return a schedule; Unknown when there is none, or it was deleted."""
    row = read(database, lambda db: db.entities.Schedule.get(id=slug))
    if row is None or row.state == "deleted":
        raise Unknown("schedule", slug)
    return record_of(row)


def list_schedules(
    database: Database,
    *,
    task: str | None,
    state: str | None,
    tag: str | None,
    limit: int,
    cursor: str | None,
    most: int | None = None,
) -> Page[ScheduleRecord]:
    """Return a page of schedules by id; it ends early once they hold `most` characters."""
    after = decode_cursor(cursor, str)[0] if cursor else ""
    states = [state] if state else list(STANDING)
    sql, values = _listing(task, states, tag, after, limit + 1)
    rows_of_page, more = read(database, lambda db: some(db, sql, values, limit, most))
    found = [record_of(_Row(*row)) for row in rows_of_page]
    return Page(found, encode_cursor(found[-1].id) if more else None)


def _listing(task: str | None, states: list[str], tag: str | None, after: str, limit: int) -> tuple[str, list[Any]]:
    """Return the query: each branch walks one index in the order of the list and stops at the limit."""
    if tag is not None:
        return _by_tag(tag, task, states, after, limit)
    if task is None and len(states) > 1:
        return f"SELECT {_COLUMNS} FROM schedule WHERE id > ? AND state <> 'deleted' ORDER BY id LIMIT ?", [
            after,
            limit,
        ]
    where, given = ("task = ? AND ", [task]) if task is not None else ("", [])
    branch = f"SELECT * FROM (SELECT {_COLUMNS} FROM schedule WHERE {where}state = ? AND id > ? ORDER BY id LIMIT ?) b"
    if len(states) == 1:
        return branch, [*given, *states, after, limit]
    sql = " UNION ALL ".join([branch] * len(states)) + " ORDER BY id LIMIT ?"
    values = [value for state in states for value in (*given, state, after, limit)]
    return sql, [*values, limit]


def _by_tag(tag: str, task: str | None, states: list[str], after: str, limit: int) -> tuple[str, list[Any]]:
    columns = ", ".join(f"s.{name.strip()}" for name in _COLUMNS.split(","))
    marks = ", ".join("?" * len(states))
    only_task, given = (" AND s.task = ?", [task]) if task is not None else ("", [])
    sql = (
        f"SELECT {columns} FROM schedule_tag t JOIN schedule s ON s.id = t.schedule WHERE t.tag = ? AND "
        f"t.schedule > ? AND s.state IN ({marks}){only_task} ORDER BY t.schedule LIMIT ?"
    )
    return sql, [tag, after, *states, *given, limit]


def upcoming_of(database: Database, slug: str, limit: int) -> list[Coming]:
    """Return the next due times of one schedule; none while it is not active."""
    record = get_schedule(database, slug)
    if record.state != "active" or record.next_due is None:
        return []
    return list(_stream(record, limit))


def upcoming_of_all(database: Database, limit: int, until: int | None) -> list[Coming]:
    """Return the next due times of all active schedules, soonest first.

    Only the schedules with the `limit` soonest next due times can be among them.
    """
    sql = (
        f"SELECT {_WITHOUT_INPUT} FROM schedule WHERE next_due IS NOT NULL AND state <> 'blocked' "
        "ORDER BY next_due, id LIMIT ?"
    )
    found = [record_of(_Row(*row)) for row in read(database, lambda db: rows(db, sql, limit))]
    streams = [_stream(record, limit) for record in found]
    merged = heapq.merge(*streams, key=lambda coming: (coming.due_at, coming.schedule))
    return list(islice(takewhile(lambda coming: until is None or coming.due_at <= until, merged), limit))


def _stream(record: ScheduleRecord, limit: int) -> Iterator[Coming]:
    """Go through the due times of one schedule, as far as they are asked for."""
    plan, left, due = record.definition.plan, record.runs_left, record.next_due
    for _ in range(limit):
        if due is None or left == 0:
            return
        skip = due in record.skips
        yield Coming(record.id, record.definition.task, due, plan, skip)
        left = left if left is None or skip else left - 1
        due = next_due(plan, due)


def count_schedules(database: Database) -> dict[str, int]:
    """Return how many schedules are in each state."""
    sql = "SELECT state, count(*) FROM schedule WHERE state <> 'deleted' GROUP BY state"
    return {state: int(count) for state, count in read(database, lambda db: rows(db, sql))}


def has_schedule(database: Database, slug: str) -> bool:
    """Tell whether a schedule by that id exists or ever did."""
    return read(database, lambda db: one(db, "SELECT 1 FROM schedule WHERE id = ?", slug)) is not None
