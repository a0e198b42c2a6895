"""Promises about the SQLite file: one process holds it, and nothing that is not ours or not whole is ever touched."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from pony import orm

from callsheet.errors import GaveUp, RefusedToStart, Unavailable
from callsheet.instants import format_instant
from storage.database import open_database
from storage.failures import meaning_of
from storage.journal.commands import Start, StartInstances
from storage.journal.journal import Interrupted
from storage.queries.reading import read, rows
from storage.sqlite_file import APPLICATION_ID

START_ONE = StartInstances((Start("noop", b"null"),))
HOLD = """
import sys
from storage.database import open_database
database = open_database(sys.argv[1], 1)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def database_url(sqlite_url):
    """Run each test of this file once, on SQLite."""
    return sqlite_url


def path_of(url):
    return Path(url.removeprefix("sqlite:///"))


def refusal(url):
    """Open what cannot be opened, and return the one sentence that says why."""
    path = path_of(url)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(RefusedToStart) as refused:
        open_database(url, 1)
    assert (path.read_bytes() if path.is_file() else None) == before
    sentence = str(refused.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


@pytest.fixture
def filled(bench):
    """Return the URL of a closed database with some history in it."""
    bench.put(every="1s", overlap="allow", tags=["x"])
    for _ in range(60):
        bench.claim_after(1)
    bench.database.close()
    return bench.database.url


@pytest.fixture
def holder(database_url):
    """Start a process that holds the file until its standard input is closed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, database_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.stdin.close()


def test_a_second_process_is_refused_and_told_who_holds_the_file(holder, database_url):
    sentence = refusal(database_url)

    assert f"process {holder.pid} on " in sentence
    assert f"since {format_instant(1)}" in sentence


def test_the_lock_goes_with_its_process_however_it_ends(holder, database_url):
    holder.send_signal(signal.SIGKILL)
    holder.wait()

    open_database(database_url, 1).close()


def test_a_file_that_this_process_holds_is_refused_as_well(database, database_url):
    assert f"process {os.getpid()} on " in refusal(database_url)
    database.close()
    open_database(database_url, 1).close()


def test_a_lock_file_that_says_nothing_readable_still_locks(database, database_url):
    lock = path_of(database_url).with_name("callsheet.db.lock")
    lock.write_text("{")

    assert "held by another process" in refusal(database_url)


def test_the_folder_is_made_and_a_link_leads_to_the_same_lock(tmp_path):
    real = tmp_path / "a" / "b" / "c.db"
    database = open_database(f"sqlite:///{real}", 1)
    link = tmp_path / "link.db"
    link.symlink_to(real)

    assert "held by process" in refusal(f"sqlite:///{link}")
    database.close()


def test_what_cannot_be_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")

    assert "is a folder" in refusal(f"sqlite:///{tmp_path}")
    assert "Cannot use the database folder" in refusal(f"sqlite:///{tmp_path}/file/callsheet.db")
    assert "must be sqlite:///PATH or postgresql" in refusal("mysql://localhost/x")


def test_an_empty_file_is_a_new_database(tmp_path):
    path = tmp_path / "empty.db"
    path.touch()
    open_database(f"sqlite:///{path}", 1).close()

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


@pytest.mark.parametrize("text", ["hello, this is a letter", "SQLite format 2\0" + "x" * 5000, "\0" * 4096])
def test_a_file_that_is_no_database_is_refused(tmp_path, text):
    path = tmp_path / "letter.txt"
    path.write_text(text)

    assert "is not a callsheet database" in refusal(f"sqlite:///{path}")


@pytest.mark.parametrize("application", [0, 7])
@pytest.mark.parametrize("table", ["songs", "schema_version", "schedule"])
def test_another_programs_database_is_refused(tmp_path, application, table):
    path = tmp_path / "music.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE {table} (version INTEGER, checksum TEXT)")
        connection.execute(f"PRAGMA application_id = {application}")
        connection.commit()

    assert "another program's database" in refusal(f"sqlite:///{path}")


def test_a_newer_schema_is_refused(filled):
    with closing(sqlite3.connect(path_of(filled))) as connection:
        connection.execute("INSERT INTO schema_version VALUES (99, 1, 'x')")
        connection.commit()

    assert "has schema 99" in refusal(filled)


def test_a_schema_that_other_migrations_made_is_refused(filled):
    with closing(sqlite3.connect(path_of(filled))) as connection:
        connection.execute("UPDATE schema_version SET checksum = 'other' WHERE version = 1")
        connection.commit()

    assert "another migration 1" in refusal(filled)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_a_file_that_was_cut_off_is_refused(filled, kept):
    path = path_of(filled)
    os.truncate(path, int(path.stat().st_size * kept))

    assert "corrupt" in refusal(filled)


@pytest.mark.parametrize("seed", range(8))
def test_a_file_with_a_page_of_nonsense_is_refused(filled, seed):
    path, chance = path_of(filled), random.Random(seed)
    content = bytearray(path.read_bytes())
    page = chance.randrange(1, len(content) // 4096) * 4096
    content[page : page + 4096] = chance.randbytes(4096)
    path.write_bytes(content)

    assert "corrupt" in refusal(filled)


@pytest.mark.parametrize("start", [16, 20, 40, 100])
def test_a_file_whose_header_is_nonsense_is_refused(filled, start):
    path = path_of(filled)
    content = bytearray(path.read_bytes())
    content[start : start + 60] = b"\xff" * 60
    path.write_bytes(content)

    refusal(filled)


def test_every_connection_commits_durably_and_has_patience(bench):
    expected = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}
    found = []

    def pragmas():
        found.append({name: read(bench.database, lambda db: rows(db, f"PRAGMA {name}"))[0][0] for name in expected})  # noqa: B023
        bench.database.db.disconnect()

    reader = threading.Thread(target=pragmas)
    reader.start()
    reader.join()
    bench.start()
    pragmas()

    assert found == [expected, expected]


def test_readers_do_not_wait_for_the_writer(bench):
    bench.start()
    with closing(sqlite3.connect(path_of(bench.database.url), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM event")
        bench.write_timeout(1)
        assert len(bench.instances()) == 1


def test_a_locked_database_is_unavailable_and_then_goes_on(bench):
    bench.write_timeout(30)
    with closing(sqlite3.connect(path_of(bench.database.url), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Interrupted) as interrupted:
            bench.journal.apply([START_ONE])
        assert isinstance(interrupted.value.reason, Unavailable)
        assert interrupted.value.applied.verdicts == []
        other.execute("COMMIT")
    bench.ask(START_ONE)

    assert len(bench.instances()) == 1


def test_a_start_that_was_killed_half_way_goes_on_at_the_next(database_url):
    """Killed at every statement of the first migration in turn: the next start finds nothing of it, or all."""
    script = """
import os, sys
from storage import sqlite_file
from storage.database import open_database
left = int(sys.argv[2])
def dying(cursor, sql):
    global left
    for statement in sql.split(";\\n"):
        if statement.strip():
            cursor.execute(statement)
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), 9)
sqlite_file.run_statements = dying
open_database(sys.argv[1], 1)
"""
    for statement in (1, 7, 20):
        died = subprocess.run([sys.executable, "-c", script, database_url, str(statement)], check=False)
        assert died.returncode == -9
    open_database(database_url, 1).close()


@pytest.mark.parametrize("count", [3, 300])
def test_what_is_committed_survives_kill_9(tmp_path, count):
    url = f"sqlite:///{tmp_path}/killed.db"
    script = """
import os, sys
from callsheet.ids import IdMaker
from callsheet.clock import WallClock
from callsheet.tasks import Registry
from storage.database import open_database, this_node
from storage.journal.commands import KeepEvent
from storage.journal.journal import Journal
database = open_database(sys.argv[1], 1)
ids = IdMaker()
journal = Journal(database, this_node("n", ids.make(1)), Registry(), WallClock(), ids)
journal.register()
for n in range(int(sys.argv[2])):
    journal.apply([KeepEvent("test", b"%d" % n)])
    print(n, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", script, url, str(count)], check=False, capture_output=True, text=True)
    assert done.returncode == -9
    database = open_database(url, 1)
    kept = read(database, lambda db: rows(db, "SELECT data FROM event ORDER BY id"))
    database.close()

    assert [row[0] for row in kept] == done.stdout.split()


@pytest.mark.parametrize(
    ("name", "meaning"),
    [("SQLITE_CORRUPT", GaveUp), ("SQLITE_IOERR_FSYNC", GaveUp), ("SQLITE_NOTADB", GaveUp),
     ("SQLITE_BUSY_SNAPSHOT", Unavailable), ("SQLITE_IOERR_READ", Unavailable), ("SQLITE_CONSTRAINT", type(None))],
)  # fmt: skip
def test_an_error_of_sqlite_means_what_it_means(name, meaning):
    error = sqlite3.OperationalError("as it were")
    error.sqlite_errorname = name

    assert type(meaning_of(orm.OperationalError(error))) is meaning


def test_the_lock_file_is_readable_for_people(database, database_url):
    lock = path_of(database_url).with_name("callsheet.db.lock")

    assert json.loads(lock.read_text())["pid"] == os.getpid()
