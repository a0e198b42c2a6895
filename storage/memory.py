"""A database in memory, for virtual time: as fast as SQLite gets, and gone when it is closed."""

import sqlite3
from collections.abc import Iterable
from functools import partial
from typing import Any

from pony import orm

from storage.database import Database
from storage.dialect import SQLite
from storage.entities import define
from storage.migrate import migrate, migrations, run_statements

_URL = "sqlite:///:memory:"


COUNTING = ("instance_state", "instance_task")
"""The indexes by which running instances are counted, and people look for instances: nothing else needs them."""

LISTING = ("schedule_due",)
"""The indexes by which only people look."""


def open_in_memory(now: int, without: Iterable[str] = ()) -> Database:
    """Open an empty database that belongs to this thread alone: only here can it be read and written.

    `without` names indexes to do without, where nobody asks what they answer.
    """
    db = orm.Database()
    entities = define(db)
    db.on_connect(_set_up, provider="sqlite")
    db.bind("sqlite", ":memory:")
    with orm.db_session:
        cursor = db.get_connection().cursor()
        migrate(cursor, "?", migrations("sqlite"), now, run_statements)
        for index in without:
            cursor.execute(f"DROP INDEX {index}")
    db.generate_mapping(create_tables=False, check_tables=False)
    connection = db.provider.pool.con
    release = connection.close  # for Pony's own `disconnect` spares it
    return Database(_URL, db, entities, SQLite(), release, begin=partial(Transaction, connection))


class Transaction:
    """A transaction straight on the connection: a session of Pony's takes longer than what is done in it here."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> sqlite3.Cursor:
        return self._connection.execute("BEGIN")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                if not self._connection.in_transaction:
                    raise RuntimeError("something has ended the transaction before its end: a session inside of it?")
                self._connection.commit()
        finally:
            if self._connection.in_transaction:
                self._connection.rollback()


def _set_up(_: Any, connection: Any) -> None:
    connection.text_factory = str  # Pony's own calls Python for every text
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA journal_mode = MEMORY")  # a transaction that fails must still be undone
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
