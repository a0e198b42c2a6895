"""A database opened for this process: locked, checked, migrated and mapped."""

import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg2.extras
from attrs import frozen
from pony import orm

from callsheet.errors import GaveUp, RefusedToStart
from storage import postgres, sqlite_file
from storage.dialect import Dialect, PostgreSQL, SQLite
from storage.entities import Entities, define

sqlite3.register_adapter(UUID, lambda value: value.bytes)  # as Pony stores them

DEFAULT_URL = "sqlite:///callsheet-data/callsheet.db"


@frozen
class Database:
    """An open database; `db` is Pony's, `release` lets go of the lock."""

    url: str
    db: Any
    entities: Entities
    dialect: Dialect
    release: Callable[[], None]
    path: Path | None = None  # of SQLite's file, and which file that was when it was opened
    identity: tuple[int, int] | None = None
    begin: Callable[[], AbstractContextManager[Any]] | None = None  # a cheaper transaction, which knows no objects

    @property
    def shown(self) -> str:
        """Return where it is, without a password."""
        return self.url if self.dialect.name == "sqlite" else postgres.shown(self.url)

    def check_in_place(self) -> None:
        """Raise GaveUp when SQLite's file was removed or replaced: what we write to it now, nobody would find again."""
        if self.path is not None and identity_of(self.path) != self.identity:
            raise GaveUp(f"The database {self.path} was removed or replaced while it was in use.")

    def transaction(self, *, objects: bool) -> AbstractContextManager[Any]:
        """Return a context that gives a cursor: what is done in it is committed at its end, or undone by an exception.

        With `objects` it is a session of Pony's, with all that this costs.
        """
        return _session(self.db) if objects or self.begin is None else self.begin()

    def close(self) -> None:
        """Close this thread's connection and let go of the lock."""
        self.db.disconnect()
        self.release()


@contextmanager
def _session(db: Any) -> Iterator[Any]:
    with orm.db_session(optimistic=False):
        yield db.get_connection().cursor()
        orm.commit()


def identity_of(path: Path) -> tuple[int, int] | None:
    """Return which file a path leads to, None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def open_database(url: str, now: int) -> Database:
    """Open `sqlite:///relative`, `sqlite:////absolute` or `postgresql://…`; RefusedToStart says what is in the way."""
    if url.startswith("sqlite:///"):
        return _open_sqlite(url, Path(url.removeprefix("sqlite:///")), now)
    if url.startswith(("postgresql://", "postgres://")):
        return _open_postgres(url, now)
    raise RefusedToStart(f"The database must be sqlite:///PATH or postgresql://…, not {url!r}.")


def may_exist(url: str) -> bool:
    """Tell whether there may be a database already; nothing is opened or made."""
    return not url.startswith("sqlite:///") or Path(url.removeprefix("sqlite:///")).exists()


def _open_sqlite(url: str, path: Path, now: int) -> Database:
    path = Path(os.path.realpath(path))
    if path.is_dir():
        raise RefusedToStart(f"The database {path} is a folder: name a file in it.")
    lock = sqlite_file.FileLock(path, now)
    try:
        sqlite_file.inspect(path)
        sqlite_file.prepare(path, now)
        return Database(url, *_mapped_sqlite(path), SQLite(), lock.release, path, identity_of(path))
    except BaseException:
        lock.release()
        raise


def _mapped_sqlite(path: Path) -> tuple[Any, Entities]:
    db = orm.Database()
    entities = define(db)

    @db.on_connect(provider="sqlite")  # type: ignore[untyped-decorator]
    def set_up(_: Any, connection: Any) -> None:
        sqlite_file.set_up_connection(connection)

    db.bind("sqlite", str(path), create_db=False, timeout=5)
    db.generate_mapping(create_tables=False, check_tables=True)
    return db, entities


def _open_postgres(url: str, now: int) -> Database:
    lock = postgres.DatabaseLock(url)
    try:
        lock.prepare(now)
        return Database(url, *_mapped_postgres(url), PostgreSQL(), lock.release)
    except BaseException:
        lock.release()
        raise


def _mapped_postgres(url: str) -> tuple[Any, Entities]:
    psycopg2.extras.register_uuid()
    db = orm.Database()
    entities = define(db)
    db.bind("postgres", url, **postgres.OPTIONS)
    _no_reconnect_within_a_transaction(db)
    db.generate_mapping(create_tables=False, check_tables=True)
    return db, entities


def _no_reconnect_within_a_transaction(db: Any) -> None:
    """Keep Pony from going on with the second half of a transaction whose first half was lost.

    Its own guard is dead code (0.7.20): `drop()` clears `in_transaction` before `connect()` looks at it.
    """
    reconnects = db.provider.should_reconnect

    def should_reconnect(error: BaseException) -> bool:
        cache = orm.core.local.db2cache.get(db)
        return (cache is None or not cache.in_transaction) and bool(reconnects(error))

    db.provider.should_reconnect = should_reconnect


@frozen
class NodeIdentity:
    """Who we are: a name, and a boot id that is new at each start."""

    name: str
    boot: UUID
    host: str
    pid: int


def this_node(name: str | None, boot: UUID) -> NodeIdentity:
    """Return the identity of this process."""
    host = socket.gethostname()
    return NodeIdentity(name or host, boot, host, os.getpid())
