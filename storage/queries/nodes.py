"""Which nodes there are and were."""

from storage.database import Database
from storage.queries.reading import as_uuid, read, rows
from storage.records import NodeRecord


def list_nodes(database: Database, limit: int = 50) -> list[NodeRecord]:
    """Return the latest boots, newest first."""
    sql = (
        "SELECT name, boot, host, pid, started_at, seen_at, stopped_at FROM node "
        "WHERE started_at IS NOT NULL ORDER BY started_at DESC LIMIT ?"
    )
    return [
        NodeRecord(name, as_uuid(database, boot), *rest)
        for name, boot, *rest in read(database, lambda db: rows(db, sql, limit))
    ]
