"""A transaction of the database in memory: all or nothing, like any other, and the next one begins afresh."""

import sqlite3
from contextlib import closing

import pytest

from storage.memory import open_in_memory
from storage.queries.reading import read, rows


@pytest.fixture
def database():
    with closing(open_in_memory(0)) as database:
        yield database


def boots(database):
    return [row[0] for row in read(database, lambda db: rows(db, "SELECT host FROM node ORDER BY host"))]


def insert(cursor, name):
    values = (name.encode() * 16, name, name)
    cursor.execute(
        "INSERT INTO node (boot, name, host, pid, started_at, seen_at, last_batch) VALUES (?, ?, ?, 1, 0, 0, 0)", values
    )


@pytest.mark.parametrize("objects", [False, True])
def test_what_is_done_in_a_transaction_stays(database, objects):
    for name in "ab":
        with database.transaction(objects=objects) as cursor:
            insert(cursor, name)

    assert boots(database) == ["a", "b"]


def broken_off(database, objects, *steps):
    with database.transaction(objects=objects) as cursor:
        insert(cursor, "a")
        for step in steps:
            step(cursor)


def fail(error):
    raise error


@pytest.mark.parametrize("objects", [False, True])
def test_what_fails_has_done_nothing(database, objects):
    for error in (ZeroDivisionError, KeyboardInterrupt):
        with pytest.raises(error):
            broken_off(database, objects, lambda _, error=error: fail(error))
    with database.transaction(objects=objects) as cursor:
        insert(cursor, "b")

    assert boots(database) == ["b"]


def test_a_transaction_that_something_else_has_ended_is_told(database):
    with pytest.raises(RuntimeError, match="ended the transaction"):
        broken_off(database, False, lambda _: boots(database))


def test_a_commit_that_fails_has_done_nothing(database):
    with database.transaction(objects=False) as cursor:
        cursor.execute("CREATE TABLE part (of BLOB REFERENCES node (boot) DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(sqlite3.IntegrityError):
        broken_off(database, False, lambda cursor: cursor.execute("INSERT INTO part VALUES (?)", (b"nobody",)))
    with database.transaction(objects=False) as cursor:
        insert(cursor, "b")

    assert boots(database) == ["b"]
