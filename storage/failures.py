"""What the database's errors mean for us: try again later, no room, stop, or a fault of our own."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from pony import orm
from pony.orm.dbapiprovider import DBException

from callsheet.errors import GaveUp, StorageFull, Unavailable

_FULL = {"SQLITE_FULL", "53100"}
# After a failed fsync nobody knows what is on the disk, and a corrupt file only gets worse: stop.
_FATAL = ("SQLITE_IOERR_FSYNC", "SQLITE_IOERR_DIR_FSYNC", "SQLITE_CORRUPT", "SQLITE_NOTADB", "XX001", "XX002")
_PASSING = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_INTERRUPT",
            "SQLITE_NOMEM", "SQLITE_PROTOCOL")  # fmt: skip
# classes of SQLSTATE: connection, read-only, conflict, resources, lock, operator, system
_PG_PASSING = ("08", "25006", "40", "53", "55P03", "57", "58")


@contextmanager
def translated() -> Iterator[None]:
    """Raise our errors in place of the database's; what is a fault of ours passes unchanged."""
    try:
        yield
    except (DBException, orm.OrmError, sqlite3.Error, psycopg2.Error) as error:
        meaning = meaning_of(error)
        if meaning is None:
            raise
        raise meaning from error


def meaning_of(error: BaseException) -> Exception | None:
    """Return our error for a database's, None where the statement itself was at fault."""
    for cause in _causes(error):
        if isinstance(cause, sqlite3.Error):
            return _of_sqlite(cause)
        if isinstance(cause, psycopg2.Error):
            return _of_postgres(cause)
    return None


def at_fault(error: BaseException) -> bool:
    """Tell whether the command itself is wrong, rather than the state of a database that may come round."""
    drivers = [cause for cause in _causes(error) if isinstance(cause, sqlite3.Error | psycopg2.Error)]
    wrong = (
        sqlite3.DataError, sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError,
        psycopg2.DataError, psycopg2.IntegrityError, psycopg2.ProgrammingError,
    )  # fmt: skip
    return not drivers or any(isinstance(cause, wrong) for cause in drivers)


def connection_lost(error: BaseException) -> bool:
    """Tell whether the error is a PostgreSQL connection that went away."""
    return any(
        isinstance(cause, psycopg2.OperationalError | psycopg2.InterfaceError)
        and (cause.pgcode or "08").startswith(("08", "57P"))
        for cause in _causes(error)
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and all that is behind it: Pony keeps the driver's error in one of several places."""
    seen: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo:
        cause = todo.pop()
        if cause is None or any(cause is other for other in seen):
            continue
        seen.append(cause)
        yield cause
        todo += [getattr(cause, "original_exc", None), cause.__cause__, cause.__context__]
        todo += [exception for exception in getattr(cause, "exceptions", ()) if isinstance(exception, BaseException)]


def _of_sqlite(error: sqlite3.Error) -> Exception | None:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name in _FULL:
        return StorageFull("The disk of the database is full; nothing was changed. It goes on once there is room.")
    if name.startswith(_FATAL):
        return GaveUp(f"The database cannot be trusted any more ({name}): {error}")
    if name.startswith(_PASSING):
        return Unavailable(f"The database does not answer now ({name}); nothing was changed.")
    return None


def _of_postgres(error: psycopg2.Error) -> Exception | None:
    code = error.pgcode or ""
    if code in _FULL:
        return StorageFull("The disk of the database is full; nothing was changed. It goes on once there is room.")
    if code in _FATAL:
        return GaveUp(f"The database cannot be trusted any more ({code}): {error}")
    lost = not code and isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
    if lost or code.startswith(_PG_PASSING):
        return Unavailable(f"The database does not answer now ({code or 'connection lost'}); nothing was changed.")
    return None
