"""The SQLite file itself: locked for one process, looked at before anything may change it, then migrated."""

import fcntl
import json
import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

from callsheet.errors import RefusedToStart
from callsheet.forks import close_in_children
from callsheet.instants import format_instant
from storage.migrate import check, migrate, migrations, run_statements

APPLICATION_ID = 0x63616C6C  # "call": tells our files from other programs' SQLite files
CHECKED_WHOLE = 64 * 1024 * 1024  # bytes: a larger file is checked only where we read it


class Held(RefusedToStart):
    """Another process holds the database."""


class FileLock:
    """Holds a database file for this process; the lock goes with the process, however it ends."""

    def __init__(self, database: Path, now: int) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._file: IO[str] = _open(self._path)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = self._file.read()
            self._file.close()
            raise Held(_held(database, holder)) from None
        try:
            self._sign(now)
        except OSError as error:
            self._file.close()
            raise RefusedToStart(f"Cannot write beside the database {database}: {error.strerror}.") from None
        close_in_children(self._file)

    def _sign(self, now: int) -> None:
        self._file.seek(0)
        self._file.truncate()
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "since": format_instant(now)}, self._file)
        self._file.flush()

    def release(self) -> None:
        """Let go of the file."""
        self._file.close()


def _open(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
        file.seek(0)
        return file
    except OSError as error:
        raise RefusedToStart(f"Cannot use the database folder {path.parent}: {error.strerror}.") from None


def _held(database: Path, holder: str) -> str:
    try:
        known = json.loads(holder)
        who = f"process {known['pid']} on {known['host']} since {known['since']}"
    except (ValueError, KeyError, TypeError):
        who = "another process"
    return f"The database {database} is held by {who}: SQLite is for one node."


def inspect(path: Path) -> None:
    """Refuse a file that is not ours, is corrupt or newer than we are; nothing is written to it."""
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb") as file:
        if file.read(16) != b"SQLite format 3\x00":
            raise RefusedToStart(f"The file {path} is not a callsheet database.")
    try:
        _inspect_readable(path)
    except sqlite3.Error as error:
        raise RefusedToStart(f"The database {path} is corrupt ({error}): restore a backup.") from None


def _inspect_readable(path: Path) -> None:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if not tables and application == 0:
            return
        if application != APPLICATION_ID or "schema_version" not in tables:
            raise RefusedToStart(f"The file {path} is another program's database, not callsheet's.")
        _check_whole(path, connection)
        check(connection.execute("SELECT version, checksum FROM schema_version").fetchall(), migrations("sqlite"))


def _check_whole(path: Path, connection: sqlite3.Connection) -> None:
    if path.stat().st_size > CHECKED_WHOLE:
        connection.execute("SELECT count(*) FROM (SELECT 1 FROM schedule LIMIT 100)").fetchone()
        return
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise RefusedToStart(f"The database {path} is corrupt ({verdict.splitlines()[-1]}): restore a backup.")


def prepare(path: Path, now: int) -> None:
    """Create the file or bring its schema up to date."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection, _immediate(connection):
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            migrate(connection.cursor(), "?", migrations("sqlite"), now, run_statements)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.Error as error:
        raise RefusedToStart(f"Cannot set up the database {path}: {error}.") from None


@contextmanager
def _immediate(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def set_up_connection(connection: sqlite3.Connection) -> None:
    """Set what every connection needs: durable commits, foreign keys, patience with other readers."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA cache_size = -16000")  # KiB
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA wal_autocheckpoint = 8000")  # pages: 32 MB between two checkpoints
