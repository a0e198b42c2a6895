"""The audit, newest first: who changed what, when."""

from typing import Any
from uuid import UUID

from attrs import frozen

from callsheet.ids import lowest_id
from storage.database import Database
from storage.queries.reading import as_uuid, decode_cursor, encode_cursor, read, rows
from storage.records import AuditRecord, Page

_COLUMNS = "id, at, caller, action, schedule, instance, data"
_LAST = UUID(int=(1 << 128) - 1)


@frozen
class AuditFilter:
    """Which entries are wanted: None for any; from `since` on, before `until`."""

    by: str | None = None
    action: str | None = None
    schedule: str | None = None
    since: int | None = None
    until: int | None = None


def list_audit(database: Database, wanted: AuditFilter, limit: int, cursor: str | None) -> Page[AuditRecord]:
    """Return a page of the entries that match; each walks one index from the newest id down."""
    before = decode_cursor(cursor, UUID)[0] if cursor else _LAST
    top = before if wanted.until is None else min(before, lowest_id(wanted.until))
    columns = (("schedule", wanted.schedule), ("caller", wanted.by), ("action", wanted.action))
    given = [(column, value) for column, value in columns if value is not None]
    terms, values = [f"{column} = ?" for column, _ in given], [value for _, value in given]
    sql = f"SELECT {_COLUMNS} FROM audit WHERE {' AND '.join([*terms, 'id < ?', 'id >= ?'])} ORDER BY id DESC LIMIT ?"
    found = read(database, lambda db: rows(db, sql, *values, top, lowest_id(wanted.since or 0), limit + 1))
    items = [_record(database, row) for row in found]
    return Page(items[:limit], encode_cursor(items[limit - 1].id) if len(items) > limit else None)


def _record(database: Database, row: Any) -> AuditRecord:
    entry, at, by, action, schedule, instance, data = row
    return AuditRecord(as_uuid(database, entry), at, by, action, schedule, database.dialect.uuid(instance), data)
