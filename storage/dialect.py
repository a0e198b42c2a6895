"""Where SQLite and PostgreSQL differ for the journal's batches: many rows at once on Pony's own connection."""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache
from io import StringIO
from itertools import chain, count
from typing import Any, Protocol
from uuid import UUID

import psycopg2.extras

Row = Sequence[Any]

PAGE = 1_000  # rows in one statement of PostgreSQL: more of them take longer to parse than they spare round trips
PAGES = 64, 16, 8  # the same for SQLite, whose statements are prepared once for each size; the rest is one page, too
CROWD = 20  # rows from which on they are copied
_NUMBERS = {"started_at", "finished_at", "cancel_at", "last_due", "next_due", "next_fire", "run_count"}
_HAS_UPDATE_FROM = sqlite3.sqlite_version_info >= (3, 33)
_EQUALS = re.compile(r"(\w+) = \?")
_SPECIAL = re.compile(r"[\\\t\n\r]")
_ESCAPED = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


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
    """The standard library's driver: it lets go of the interpreter for each step, so that a page of rows is one."""

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
        if len(rows) == 1:
            cursor.execute(_insert(table, columns, 1), rows[0])
            return
        for page in _pages(rows):
            cursor.execute(_insert(table, columns, len(page)), list(chain.from_iterable(page)))

    def update(self, cursor: Any, sql: str, rows: list[Row]) -> int:
        """Run one UPDATE or DELETE for many rows of values; return how many rows it changed in all."""
        changed = 0
        if len(rows) == 1:
            cursor.execute(sql, rows[0])
            return int(cursor.rowcount)
        if rows and not (_HAS_UPDATE_FROM and sql.startswith("UPDATE")):
            cursor.executemany(sql, rows)
            return int(cursor.rowcount)
        for page in _pages(rows):
            cursor.execute(update_from(sql, len(page)), list(chain.from_iterable(page)))
            changed += cursor.rowcount
        return changed

    def uuid(self, value: Any) -> UUID | None:
        """Ids are 16-byte blobs."""
        return None if value is None else UUID(bytes=value)

    def key(self, value: UUID) -> bytes:
        """Ids are 16-byte blobs."""
        return value.bytes


class PostgreSQL:
    """psycopg2: executemany is a loop of round trips, so many rows travel in one statement."""

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
        """Insert many rows: a few by VALUES, a crowd by COPY, which costs both sides a third."""
        if len(rows) < CROWD:
            psycopg2.extras.execute_values(cursor, f"INSERT INTO {table} ({columns}) VALUES %s", rows, page_size=PAGE)
        else:
            lines = "".join(["\t".join(map(_copied, row)) + "\n" for row in rows])
            cursor.copy_expert(f"COPY {table} ({columns}) FROM STDIN", StringIO(lines))

    def update(self, cursor: Any, sql: str, rows: list[Row]) -> int:
        """Run one UPDATE or DELETE for many rows of values, joined to them; add up what the pages changed."""
        joined = _joined(sql, "%s", typed=True)
        changed = 0
        for start in range(0, len(rows), PAGE):
            page = rows[start : start + PAGE]
            psycopg2.extras.execute_values(cursor, joined, page, page_size=PAGE)
            changed += cursor.rowcount
        return changed

    def uuid(self, value: Any) -> UUID | None:
        """Give the driver's UUID, or its text where no adapter is registered."""
        return value if value is None or isinstance(value, UUID) else UUID(value)

    def key(self, value: UUID) -> UUID:
        """The driver takes it as it is."""
        return value


@lru_cache(maxsize=256)
def _percents(sql: str) -> str:
    return sql.replace("?", "%s")


def _copied(value: Any) -> str:
    """Return a value in the text form of COPY."""
    if value is None:
        return r"\N"
    text = str(value)
    return text.translate(_ESCAPED) if _SPECIAL.search(text) else text


@lru_cache(maxsize=256)
def _joined(sql: str, rows: str, *, typed: bool = False) -> str:
    """Turn `UPDATE … SET a = ? WHERE b = ?` into one that takes its values from rows: a page of them is one statement.

    `typed`: a column of rows that holds nothing but NULL is text to PostgreSQL, so what goes into a number says so.
    """
    number = count(1)

    def taken(found: re.Match[str]) -> str:
        cast = "::bigint" if typed and found[1] in _NUMBERS else ""
        return f"{found[1]} = given.column{next(number)}{cast}"

    head, _, condition = _EQUALS.sub(taken, sql).partition(" WHERE ")
    source = "USING" if head.startswith("DELETE") else "FROM"
    return f"{head} {source} (VALUES {rows}) AS given WHERE {condition}"


def _pages(rows: list[Row]) -> Iterator[list[Row]]:
    """Cut rows into pages of few sizes, so that the driver keeps their statements prepared."""
    done = 0
    for size in PAGES:
        while len(rows) - done >= size:
            yield rows[done : done + size]
            done += size
    if done < len(rows):
        yield rows[done:]


@lru_cache(maxsize=256)
def update_from(sql: str, size: int) -> str:
    """Return an UPDATE for so many rows at once."""
    return sql if size == 1 else _joined(sql, _marks(sql.count("?"), size))


@lru_cache(maxsize=256)
def _insert(table: str, columns: str, size: int) -> str:
    return f"INSERT INTO {table} ({columns}) VALUES {_marks(columns.count(',') + 1, size)}"


def _marks(columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return ", ".join([row] * rows)
