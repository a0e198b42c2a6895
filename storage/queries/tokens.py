"""API keys as they stand: who is let in, and the list for people, which holds no hash."""

from uuid import UUID

from attrs import frozen

from storage.database import Database
from storage.queries.reading import as_uuid, decode_cursor, encode_cursor, read, rows
from storage.records import Page, TokenRecord

_COLUMNS = "id, name, role, created_at, created_by, expires_at, revoked_at"
_LAST = UUID(int=(1 << 128) - 1)
_FIRST = UUID(int=0)


@frozen
class Standing:
    """A key that was not revoked; it may have expired."""

    id: UUID
    name: str
    role: str
    hash: str
    expires_at: int | None


def standing_tokens(database: Database) -> list[Standing]:
    """Return all keys that were not revoked."""
    sql = "SELECT id, name, role, hash, expires_at FROM token WHERE revoked_at IS NULL"
    return [Standing(as_uuid(database, row[0]), *row[1:]) for row in read(database, lambda db: rows(db, sql))]


def list_tokens(database: Database, limit: int, cursor: str | None) -> Page[TokenRecord]:
    """Return a page of all keys, the newest first."""
    before = decode_cursor(cursor, UUID)[0] if cursor else _LAST
    sql = f"SELECT {_COLUMNS} FROM token WHERE id < ? AND id >= ? ORDER BY id DESC LIMIT ?"
    found = read(database, lambda db: rows(db, sql, before, _FIRST, limit + 1))
    items = [TokenRecord(as_uuid(database, row[0]), *row[1:]) for row in found]
    return Page(items[:limit], encode_cursor(items[limit - 1].id) if len(items) > limit else None)
