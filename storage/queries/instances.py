"""Instances as the database knows them: one, a page of them, and what they said."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from attrs import frozen

from callsheet.errors import Unknown
from callsheet.ids import lowest_id
from callsheet.lifecycle import INSTANCE_STATES
from storage.database import Database
from storage.queries.reading import as_uuid, decode_cursor, encode_cursor, one, read, rows, some
from storage.records import InstanceRecord, LogRecord, OutputRecord, Page

_COLUMNS = (
    "id, task, schedule, due_at, attempt, cause, state, input, timeout, tags, node, boot, retry_of, start_after, "
    "queued_at, started_at, finished_at, cancel_at, cancel_by, cancel_reason, stuck, error, waits_for"
)
_ONE = f"SELECT {_COLUMNS} FROM instance WHERE id = ?"
_MANY = f"SELECT {_COLUMNS} FROM instance WHERE id IN ({{}})"
FIRST_OUTPUTS = 50
_SENT_BY_MANY = (  # an instance numbers what it sends from 0 on
    f"SELECT instance, value FROM output WHERE instance IN ({{}}) AND seq < {FIRST_OUTPUTS} ORDER BY instance, seq"
)
_LAST_ID = UUID(int=(1 << 128) - 1)
_FIRST_ID = UUID(int=0)


@frozen
class Filter:
    """Which instances a list is about; `since` and `until` are instants of their birth."""

    task: str | None = None
    schedule: str | None = None
    states: tuple[str, ...] = ()
    tag: str | None = None
    since: int | None = None
    until: int | None = None


def record_of(database: Database, row: Any) -> InstanceRecord:
    """Return a row of _COLUMNS as a frozen value."""
    values = list(row)
    for index in (0, 11, 12):
        values[index] = database.dialect.uuid(values[index])
    return InstanceRecord(*values)


def get_instance(database: Database, instance: UUID) -> InstanceRecord:
    """Return an instance; Unknown when it never existed, or is gone by retention."""
    row = read(database, lambda db: one(db, _ONE, instance))
    if row is None:
        raise Unknown("instance", instance)
    return record_of(database, row)


def get_whole(
    database: Database, wanted: Sequence[UUID], most: int | None = None
) -> list[tuple[InstanceRecord, list[str]] | None]:
    """Return instances, each with the first values that it sent, as JSON text; None for one that is not there.

    Those of all together hold about `most` characters: if there is more, only the first one is returned.
    """
    found, cut = read(database, lambda db: _whole(db, wanted, most))
    if cut and len(wanted) > 1:
        found, _ = read(database, lambda db: _whole(db, wanted[:1], most))
    return found


def _whole(
    database: Database, wanted: Sequence[UUID], most: int | None
) -> tuple[list[tuple[InstanceRecord, list[str]] | None], bool]:
    """Return instances with what they sent first, and whether something was cut off."""
    marks = ", ".join("?" * len(wanted))
    found, more = some(database, _MANY.format(marks), wanted, len(wanted), most)
    sent, many = some(database, _SENT_BY_MANY.format(marks), wanted, len(wanted) * FIRST_OUTPUTS, most)
    records = {record.id: (record, list[str]()) for record in (record_of(database, row) for row in found)}
    for instance, value in sent:
        id_ = as_uuid(database, instance)
        if id_ in records:
            records[id_][1].append(value)
    return [records.get(instance) for instance in wanted], more or many


def list_instances(
    database: Database, wanted: Filter, limit: int, cursor: str | None, most: int | None = None
) -> Page[InstanceRecord]:
    """Return a page of instances, newest first; it ends early once they hold `most` characters."""
    before = decode_cursor(cursor, UUID)[0] if cursor else _LAST_ID
    sql, values = listing(wanted, before, limit + 1)
    rows_of_page, more = read(database, lambda db: some(db, sql, values, limit, most))
    found = [record_of(database, row) for row in rows_of_page]
    return Page(found, encode_cursor(found[-1].id) if more else None)


def listing(wanted: Filter, before: UUID, limit: int) -> tuple[str, list[Any]]:
    """Return the query of a list and its values.

    Each branch walks one index from the newest id down and stops at the limit, so that no list ever sorts or scans
    the history: a list over all states of a task is the merge of one such walk for each state.
    """
    top = before if wanted.until is None else min(before, lowest_id(wanted.until))
    bounds = [top, _FIRST_ID if wanted.since is None else lowest_id(wanted.since)]
    if wanted.tag is not None:
        return _by_tag(wanted, bounds, limit)
    if wanted.schedule is None and wanted.task is None and not wanted.states:
        sql = f"SELECT {_COLUMNS} FROM instance WHERE id < ? AND id >= ? ORDER BY id DESC LIMIT ?"
        return sql, [*bounds, limit]
    return _by_state(wanted, bounds, limit)


def _by_state(wanted: Filter, bounds: list[UUID], limit: int) -> tuple[str, list[Any]]:
    terms, given = _terms(wanted)
    where = " AND ".join([*terms, "state = ?", "id < ?", "id >= ?"])
    branch = f"SELECT * FROM (SELECT {_COLUMNS} FROM instance WHERE {where} ORDER BY id DESC LIMIT ?) b"
    states = tuple(dict.fromkeys(wanted.states)) or INSTANCE_STATES  # a state named twice is one branch
    values = [value for state in states for value in (*given, state, *bounds, limit)]
    if len(states) == 1:
        return branch, values
    return " UNION ALL ".join([branch] * len(states)) + " ORDER BY id DESC LIMIT ?", [*values, limit]


def _terms(wanted: Filter, prefix: str = "") -> tuple[list[str], list[Any]]:
    given = [("schedule", wanted.schedule), ("task", wanted.task)]
    terms = [f"{prefix}{name} = ?" for name, value in given if value is not None]
    return terms, [value for _, value in given if value is not None]


def _by_tag(wanted: Filter, bounds: list[UUID], limit: int) -> tuple[str, list[Any]]:
    columns = ", ".join(f"i.{name.strip()}" for name in _COLUMNS.split(","))
    terms, given = _terms(wanted, "i.")
    if wanted.states:
        terms.append(f"i.state IN ({', '.join('?' * len(wanted.states))})")
    where = " AND ".join(["t.tag = ?", "t.instance < ?", "t.instance >= ?", *terms])
    sql = (
        f"SELECT {columns} FROM instance_tag t JOIN instance i ON i.id = t.instance WHERE {where} "
        "ORDER BY t.instance DESC LIMIT ?"
    )
    return sql, [wanted.tag, *bounds, *given, *wanted.states, limit]


def list_outputs(
    database: Database, instance: UUID, limit: int, cursor: str | None, most: int | None = None
) -> Page[OutputRecord]:
    """Return a page of what an instance sent, in order; it ends early once that is `most` characters."""
    return _page(database, instance, outputs_after, limit, cursor, most)


def list_log(
    database: Database, instance: UUID, limit: int, cursor: str | None, most: int | None = None
) -> Page[LogRecord]:
    """Return a page of what an instance logged, in order; it ends early once that is `most` characters."""
    return _page(database, instance, log_after, limit, cursor, most)


def outputs_after(
    database: Database, instance: UUID, after: int, limit: int, most: int | None = None
) -> tuple[list[OutputRecord], bool]:
    """Return what an instance sent after a seq, in order, and whether there is more of it."""
    sql = "SELECT seq, at, value FROM output WHERE instance = ? AND seq > ? ORDER BY seq LIMIT ?"
    found, more = read(database, lambda db: some(db, sql, (instance, after, limit + 1), limit, most))
    return [OutputRecord(*row) for row in found], more


def log_after(
    database: Database, instance: UUID, after: int, limit: int, most: int | None = None
) -> tuple[list[LogRecord], bool]:
    """Return what an instance logged after a seq, in order, and whether there is more of it."""
    sql = "SELECT seq, at, level, text, fields FROM log WHERE instance = ? AND seq > ? ORDER BY seq LIMIT ?"
    found, more = read(database, lambda db: some(db, sql, (instance, after, limit + 1), limit, most))
    return [LogRecord(*row) for row in found], more


def seq_after(cursor: str | None) -> int:
    """Return the seq that a cursor of these lists stands for."""
    return decode_cursor(cursor, int)[0] if cursor else -1


def _page(
    database: Database, instance: UUID, query: Any, limit: int, cursor: str | None, most: int | None
) -> Page[Any]:
    found, more = query(database, instance, seq_after(cursor), limit, most)
    if not found:
        get_instance(database, instance)  # nothing said, or nobody there?
    return Page(found, encode_cursor(found[-1].seq) if more else None)


def unfinished(database: Database) -> list[UUID]:
    """Return the instances that have not ended."""
    sql = "SELECT id FROM instance WHERE state IN ('queued', 'running')"
    return [as_uuid(database, row[0]) for row in read(database, lambda db: rows(db, sql))]


def count_queued(database: Database) -> int:
    """Return how many instances wait for their turn."""
    found = read(database, lambda db: rows(db, "SELECT count(*) FROM instance WHERE state = 'queued'"))
    return int(found[0][0])
