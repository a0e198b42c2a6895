"""A database in memory, for virtual time: as fast as SQLite gets, and gone with its thread's connection."""

from functools import partial
from typing import Any

from pony import orm

from storage.database import Database
from storage.dialect import SQLite
from storage.entities import define
from storage.migrate import migrate, migrations, run_statements

_URL = "sqlite:///:memory:"


def open_in_memory(now: int) -> Database:
    """Open an empty database that belongs to this thread alone: only here can it be read, written and released."""
    db = orm.Database()
    entities = define(db)
    db.on_connect(_set_up, provider="sqlite")
    db.bind("sqlite", ":memory:")
    with orm.db_session:
        migrate(db.get_connection().cursor(), "?", migrations("sqlite"), now, run_statements)
    db.generate_mapping(create_tables=False, check_tables=False)
    return Database(_URL, db, entities, SQLite(), partial(_close, db))


def _close(db: Any) -> None:
    """Close the connection itself: Pony keeps that of a database in memory whatever happens."""
    db.provider.pool.con.close()


def _set_up(_: Any, connection: Any) -> None:
    connection.text_factory = str  # Pony's own calls Python for every text
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA journal_mode = MEMORY")  # a transaction that fails must still be undone
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
