"""Where SQLite and PostgreSQL differ for the journal's batches: many rows at once on Pony's own connection."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol
from uuid import UUID

import psycopg2.extras

Row = Sequence[Any]


class Dialect(Protocol):
    """Statements are written with `?` for parameters; ids go in as UUID and come out through `uuid`."""

    name: str
    claim_lock: str

    def marked(self, sql: str) -> str:
        """Return a statement with the driver's own marks for parameters."""
        ...

    def execute(self, cursor: Any, sql: str, values: Row = ()) -> Any:
        """Run one statement and return the cursor."""
        ...

    def insert(self, cursor: Any, table: str, columns: str, rows: list[Row]) -> None:
        """Insert many rows."""
        ...

    def update(self, cursor: Any, sql: str, rows: list[Row]) -> int:
        """Run one UPDATE for many rows of values; return how many rows it changed in all."""
        ...

    def uuid(self, value: Any) -> UUID | None:
        """Turn what the driver gave for an id into a UUID."""
        ...

    def key(self, value: UUID) -> Any:
        """Turn a UUID into what the driver takes as it is: many rows need not ask for an adapter each."""
        ...


class SQLite:
    """The standard library's driver: executemany is its fast path."""

    name = "sqlite"
    claim_lock = ""

    def marked(self, sql: str) -> str:
        """`?` is its own mark."""
        return sql

    def execute(self, cursor: Any, sql: str, values: Row = ()) -> Any:
        """Run one statement and return the cursor."""
        cursor.execute(sql, values)
        return cursor

    def insert(self, cursor: Any, table: str, columns: str, rows: list[Row]) -> None:
        """Insert many rows."""
        cursor.executemany(_insert(table, columns), rows)

    def update(self, cursor: Any, sql: str, rows: list[Row]) -> int:
        """Run one UPDATE for many rows of values; sqlite3 adds up the changed rows."""
        if not rows:
            return 0
        cursor.executemany(sql, rows)
        return int(cursor.rowcount)

    def uuid(self, value: Any) -> UUID | None:
        """Ids are 16-byte blobs."""
        return None if value is None else UUID(bytes=value)

    def key(self, value: UUID) -> bytes:
        """Ids are 16-byte blobs."""
        return value.bytes


class PostgreSQL:
    """psycopg2: executemany is a loop of round trips, so many statements travel in one."""

    name = "postgres"
    claim_lock = " FOR UPDATE OF s SKIP LOCKED"

    def marked(self, sql: str) -> str:
        """Its mark is `%s`."""
        return _percents(sql)

    def execute(self, cursor: Any, sql: str, values: Row = ()) -> Any:
        """Run one statement and return the cursor."""
        cursor.execute(_percents(sql), values)
        return cursor

    def insert(self, cursor: Any, table: str, columns: str, rows: list[Row]) -> None:
        """Insert many rows by multi-row VALUES."""
        sql = f"INSERT INTO {table} ({columns}) VALUES %s"
        psycopg2.extras.execute_values(cursor, sql, rows, page_size=500)

    def update(self, cursor: Any, sql: str, rows: list[Row]) -> int:
        """Run one UPDATE for many rows of values and add up what each changed."""
        sql = _percents(sql)
        changed = 0
        for start in range(0, len(rows), 200):
            page = rows[start : start + 200]
            parts = [cursor.mogrify(sql, row) for row in page]
            changed += self._changed(cursor, parts)
        return changed

    @staticmethod
    def _changed(cursor: Any, parts: list[bytes]) -> int:
        # each UPDATE in a CTE of its own: one round trip, and the sum of all counts as its answer
        ctes = b", ".join(b"u%d AS (%s RETURNING 1)" % (n, part) for n, part in enumerate(parts))
        total = b" + ".join(b"(SELECT count(*) FROM u%d)" % n for n in range(len(parts)))
        cursor.execute(b"WITH " + ctes + b" SELECT " + total)
        return int(cursor.fetchone()[0])

    def uuid(self, value: Any) -> UUID | None:
        """Give the driver's UUID, or its text where no adapter is registered."""
        return value if value is None or isinstance(value, UUID) else UUID(value)

    def key(self, value: UUID) -> UUID:
        """The driver takes it as it is."""
        return value


@lru_cache(maxsize=256)
def _percents(sql: str) -> str:
    return sql.replace("?", "%s")


@lru_cache(maxsize=64)
def _insert(table: str, columns: str) -> str:
    marks = ", ".join("?" * (columns.count(",") + 1))
    return f"INSERT INTO {table} ({columns}) VALUES ({marks})"
