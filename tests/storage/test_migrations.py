"""Promises about the schema: every step once and whole, from wherever a database stands, on both databases."""

import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest

from callsheet.errors import RefusedToStart
from storage.database import open_database
from storage.migrate import Migration, migrate, migrations, run_statements

KINDS = ("sqlite", "postgres")
EXTRA = "ALTER TABLE schedule ADD COLUMN colour TEXT;\nCREATE TABLE paint (colour TEXT NOT NULL PRIMARY KEY);\n"


@pytest.fixture
def connect(database_url):
    """Return the kind, the mark and a context manager that gives a cursor and commits, or rolls back."""
    kind = "sqlite" if database_url.startswith("sqlite") else "postgres"

    @contextmanager
    def transaction():
        if kind == "sqlite":
            with closing(sqlite3.connect(Path(database_url[10:]), isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                yield connection.cursor()
                connection.execute("COMMIT")
        else:
            with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
                yield cursor

    return kind, "?" if kind == "sqlite" else "%s", transaction


def columns(cursor, kind, table):
    """Return the names of a table's columns, none where there is no such table."""
    if kind == "sqlite":
        return [row[1] for row in cursor.execute(f"PRAGMA table_info({table})").fetchall()]
    cursor.execute("SELECT column_name FROM information_schema.columns WHERE table_name = %s", (table,))
    return [row[0] for row in cursor.fetchall()]


def tables(cursor, kind):
    """Return the names of our tables."""
    if kind == "sqlite":
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'")
    else:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return [row[0] for row in cursor.fetchall()]


def versions(cursor):
    cursor.execute("SELECT version, applied_at FROM schema_version ORDER BY version")
    return [tuple(row) for row in cursor.fetchall()]


@pytest.mark.parametrize("kind", KINDS)
def test_migrations_are_numbered_without_a_gap(kind):
    assert [migration.version for migration in migrations(kind)] == list(range(1, len(migrations(kind)) + 1))


def test_both_databases_have_the_same_migrations():
    assert [m.version for m in migrations("sqlite")] == [m.version for m in migrations("postgres")]


@pytest.mark.parametrize("earlier", range(1, len(migrations("sqlite")) + 1))
def test_a_database_of_every_earlier_schema_is_brought_up_to_date(database_url, connect, earlier):
    kind, mark, transaction = connect
    with transaction() as cursor:
        assert migrate(cursor, mark, migrations(kind)[:earlier], 1, run_statements) == earlier
        if kind == "sqlite":
            cursor.execute("PRAGMA application_id = 1667329132")
    database = open_database(database_url, 2)
    database.close()

    with transaction() as cursor:
        assert [version for version, _ in versions(cursor)] == [m.version for m in migrations(kind)]


def test_only_the_missing_steps_are_taken_and_each_is_dated(connect):
    kind, mark, transaction = connect
    known = [*migrations(kind), Migration(len(migrations(kind)) + 1, EXTRA)]
    with transaction() as cursor:
        migrate(cursor, mark, known[:-1], 1, run_statements)
    with transaction() as cursor:
        cursor.execute("INSERT INTO task_state VALUES ('k', '{}', 1, 'b8a7f0aa-0000-0000-0000-000000000000', 1)")
        assert migrate(cursor, mark, known, 7, run_statements) == 1
    with transaction() as cursor:
        assert migrate(cursor, mark, known, 8, run_statements) == 0
        assert versions(cursor) == [(m.version, 1) for m in known[:-1]] + [(known[-1].version, 7)]
        assert "colour" in columns(cursor, kind, "schedule")
        assert columns(cursor, kind, "paint") == ["colour"]
        cursor.execute("SELECT key FROM task_state")
        assert [row[0] for row in cursor.fetchall()] == ["k"]


def test_a_step_that_fails_leaves_nothing_half_done(connect):
    kind, mark, transaction = connect
    newest = len(migrations(kind))
    failing = Migration(newest + 2, "CREATE TABLE a (b TEXT);\nNONSENSE;\n")
    known = [*migrations(kind), Migration(newest + 1, EXTRA), failing]
    with transaction() as cursor:
        migrate(cursor, mark, known[:newest], 1, run_statements)
    with pytest.raises((sqlite3.Error, psycopg2.Error)), transaction() as cursor:
        migrate(cursor, mark, known, 2, run_statements)

    with transaction() as cursor:
        assert [version for version, _ in versions(cursor)] == list(range(1, newest + 1))
        assert "colour" not in columns(cursor, kind, "schedule")
        assert columns(cursor, kind, "paint") + columns(cursor, kind, "a") == []


def test_a_step_that_was_changed_after_it_was_taken_is_refused(connect):
    kind, mark, transaction = connect
    newest = len(migrations(kind)) + 1
    with transaction() as cursor:
        migrate(cursor, mark, [*migrations(kind), Migration(newest, EXTRA)], 1, run_statements)
    changed = [*migrations(kind), Migration(newest, EXTRA + "\n")]
    with pytest.raises(RefusedToStart, match=f"another migration {newest}"), transaction() as cursor:
        migrate(cursor, mark, changed, 2, run_statements)


def test_a_newer_schema_is_refused(database_url, connect):
    kind, mark, transaction = connect
    with transaction() as cursor:
        migrate(cursor, mark, [*migrations(kind), Migration(len(migrations(kind)) + 1, EXTRA)], 1, run_statements)
        if kind == "sqlite":
            cursor.execute("PRAGMA application_id = 1667329132")

    with pytest.raises(RefusedToStart, match="start a newer callsheet"):
        open_database(database_url, 2)


def test_opening_again_changes_nothing(database_url, connect):
    kind, _, transaction = connect
    for now in (1, 2):
        open_database(database_url, now).close()

    with transaction() as cursor:
        assert versions(cursor) == [(m.version, 1) for m in migrations(kind)]


def test_the_entities_are_the_tables(database, connect):
    """Each entity's attributes are its table's columns, and there is no table without an entity."""
    kind, _, transaction = connect
    entities = database.db.entities.values()
    mapped = {entity._table_: sorted(attr.column for attr in entity._attrs_) for entity in entities}
    with transaction() as cursor:
        found = {table: sorted(columns(cursor, kind, table)) for table in tables(cursor, kind)}

    assert found == mapped
