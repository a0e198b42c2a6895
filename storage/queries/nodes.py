"""Which nodes there are and were."""

from uuid import UUID

from storage.database import Database
from storage.queries.reading import as_uuid, decode_cursor, encode_cursor, read, rows
from storage.records import NodeRecord, Page

_LAST = ((1 << 63) - 1, UUID(int=0))


def list_nodes(database: Database, limit: int = 50, cursor: str | None = None) -> Page[NodeRecord]:
    """Return a page of boots, newest first."""
    before = decode_cursor(cursor, int, UUID) if cursor else _LAST
    sql = (
        "SELECT name, boot, host, pid, started_at, seen_at, stopped_at FROM node "
        "WHERE (started_at, boot) < (?, ?) ORDER BY started_at DESC, boot DESC LIMIT ?"
    )
    found = [
        NodeRecord(name, as_uuid(database, boot), *rest)
        for name, boot, *rest in read(database, lambda db: rows(db, sql, *before, limit + 1))
    ]
    if len(found) <= limit:
        return Page(found, None)
    last = found[limit - 1]
    return Page(found[:limit], encode_cursor(last.started_at, last.boot))
