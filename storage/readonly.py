"""A database opened to be read only, while a service may hold it: no lock, no migration, not a byte written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extras
from pony import orm
from pony.orm.dbproviders.sqlite import SQLitePool, SQLiteProvider

from callsheet.errors import RefusedToStart
from storage import postgres, sqlite_file
from storage.database import Database
from storage.dialect import PostgreSQL, SQLite
from storage.entities import define
from storage.migrate import check, migrations

_VERSIONS = "SELECT version, checksum FROM schema_version"


class _ReadOnlyProvider(SQLiteProvider):  # type: ignore[misc]
    """Pony's provider with connections that cannot write: not even the checkpoint that the last one to close makes."""

    def get_pool(self, _: bool, filename: str, **options: Any) -> Any:
        """Return a pool whose file is named by a URI; `create_db` keeps Pony from looking for a file of that name."""
        return SQLitePool(False, f"{Path(filename).as_uri()}?mode=ro", create_db=True, uri=True, **options)


@contextmanager
def open_read_only(url: str) -> Iterator[Database]:
    """Open a database whose schema is ours; RefusedToStart says what is in the way."""
    if url.startswith("sqlite:///"):
        database = _sqlite(url, Path(url.removeprefix("sqlite:///")).absolute())
    elif url.startswith(("postgresql://", "postgres://")):
        database = _postgres(url)
    else:
        raise RefusedToStart(f"The database must be sqlite:///PATH or postgresql://…, not {url!r}.")
    try:
        yield database
    finally:
        database.close()


def _sqlite(url: str, path: Path) -> Database:
    if not path.is_file() or path.stat().st_size == 0:
        raise RefusedToStart(f"There is no database {path}.")
    sqlite_file.inspect(path)
    db = orm.Database()
    entities = define(db)
    db.bind(_ReadOnlyProvider, str(path), timeout=5)
    _check(db, "sqlite")
    db.generate_mapping(create_tables=False, check_tables=False)
    return Database(url, db, entities, SQLite(), lambda: None)


def _postgres(url: str) -> Database:
    psycopg2.extras.register_uuid()
    db = orm.Database()
    entities = define(db)
    options = postgres.OPTIONS | {"options": f"{postgres.OPTIONS['options']} -c default_transaction_read_only=on"}
    try:
        db.bind("postgres", url, **options)
    except orm.OperationalError as error:
        reason = " ".join(str(error).split())
        raise RefusedToStart(f"Cannot reach the database {postgres.shown(url)}: {reason}") from None
    _check(db, "postgres")
    db.generate_mapping(create_tables=False, check_tables=False)
    return Database(url, db, entities, PostgreSQL(), lambda: None)


def _check(db: Any, dialect: str) -> None:
    """Refuse a schema that is not ours, or not up to date: only `callsheet serve` migrates."""
    known = migrations(dialect)
    try:
        with orm.db_session:
            found = list(db._exec_sql(_VERSIONS).fetchall())
    except orm.DBException:
        raise RefusedToStart("The database is not callsheet's, or was never served.") from None
    check(found, known)
    if len(found) < len(known):
        raise RefusedToStart("The database has an older schema: start `callsheet serve` on it once.")
