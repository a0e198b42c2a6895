"""How every query reads: a short session of its own, plain rows out, pages by key rather than by offset."""

import base64
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from pony import orm

from callsheet.errors import FieldError, Invalid
from storage.database import Database
from storage.failures import translated

T = TypeVar("T")

_NO_CURSOR = "is not a cursor that this list gave"


def read(database: Database, query: Callable[[Database], T]) -> T:
    """Run a query in a session that only reads; the database's errors come out as ours.

    The session is a plain one: Pony begins any other, `optimistic=False` too, by taking SQLite's write lock.
    """
    with translated(), orm.db_session:
        return query(database)


def rows(database: Database, sql: str, *values: Any) -> list[Any]:
    """Return the rows of a SELECT with `?` for parameters.

    Pony's public `execute` would begin a write transaction, and queue every reader behind the writer.
    """
    cursor = database.db._exec_sql(database.dialect.marked(sql), values)
    return list(cursor.fetchall())


def some(
    database: Database, sql: str, values: Sequence[Any], limit: int, most: int | None = None
) -> tuple[list[Any], bool]:
    """Return the first `limit` rows of a SELECT, fewer if these hold `most` characters, and whether there are more.

    The SELECT must give one row more than `limit` where there is one. At least one row is returned.
    """
    found: list[Any] = []
    size = 0
    with closing(database.db._exec_sql(database.dialect.marked(sql), tuple(values))) as cursor:
        for row in cursor:
            if len(found) == limit or (most is not None and size >= most):
                return found, True
            found.append(row)
            size += sum(len(value) for value in row if isinstance(value, str))
    return found, False


def one(database: Database, sql: str, *values: Any) -> Any:
    """Return the first row of a SELECT, or None."""
    found = rows(database, sql, *values)
    return found[0] if found else None


def encode_cursor(*key: object) -> str:
    """Return the key of the last row of a page as opaque text."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def decode_cursor(text: str, *types: type) -> list[Any]:
    """Return the key that `encode_cursor` wrote; Invalid for anything else."""
    try:
        key = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=tuple[types])  # type: ignore[valid-type]
    except ValueError:
        raise Invalid(FieldError("/cursor", _NO_CURSOR)) from None
    if not all(_storable(part) for part in key):
        raise Invalid(FieldError("/cursor", _NO_CURSOR))
    return list(key)


def _storable(part: object) -> bool:
    """Tell whether both databases can compare a part of a key with theirs: 64 bits at most, and no NUL."""
    return abs(part) < 1 << 63 if isinstance(part, int) else "\0" not in str(part)


def as_uuid(database: Database, value: Any) -> UUID:
    """Turn what a row holds for an id into a UUID."""
    found = database.dialect.uuid(value)
    assert found is not None
    return found
