"""A database is looked at from outside: nothing is made, locked or changed."""

import os
import sqlite3
from contextlib import closing

import pytest

from callsheet.errors import RefusedToStart
from storage.checkup import look
from storage.database import open_database


def test_what_is_not_set_up_yet_is_told_and_left_so(database_url, tmp_path):
    found = look(database_url)

    assert (found.version, found.newest > 0) == (0, True)
    assert list(tmp_path.glob("callsheet*")) == []


def test_a_database_in_use_is_looked_at_without_a_lock(database, database_url):
    found = look(database_url)

    assert found.version == found.newest
    assert look(database_url) == found


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_newer_schema_is_refused(database_url, clock):
    database = open_database(database_url, clock.now())
    database.close()
    with closing(sqlite3.connect(database.path)) as connection, connection:
        connection.execute("INSERT INTO schema_version VALUES (999, 0, 'x')")
    with pytest.raises(RefusedToStart, match="schema 999"):
        look(database_url)


def test_what_is_no_database_is_refused(tmp_path):
    (tmp_path / "text.db").write_text("this is no database at all")
    with pytest.raises(RefusedToStart, match="is not a callsheet database"):
        look(f"sqlite:///{tmp_path}/text.db")
    with pytest.raises(RefusedToStart, match="must be sqlite"):
        look("mysql://x")
    with pytest.raises(RefusedToStart, match="Cannot reach"):
        look("postgresql://127.0.0.1:9/x?connect_timeout=2")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_refused(tmp_path):
    folder = tmp_path / "shut"
    folder.mkdir(mode=0o500)
    with pytest.raises(RefusedToStart, match="may not write"):
        look(f"sqlite:///{folder}/new/callsheet.db")
