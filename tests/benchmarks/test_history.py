"""The made history is one that callsheet could have written, and everything that is measured on it can be."""

import sqlite3
from contextlib import closing

import pytest

from benchmarks import history, history_file, pages
from storage.database import open_database
from storage.queries.invariants import check_all

INSTANCES = 3_000


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the path of a small history, and its shape."""
    path = tmp_path_factory.mktemp("history") / "callsheet.db"
    return path, history_file.make(path, INSTANCES)


def test_it_has_about_as_many_instances_as_asked_for(made):
    path, _ = made
    with closing(sqlite3.connect(path)) as connection:
        (found,) = connection.execute("SELECT count(*) FROM instance").fetchone()
        states = [state for (state,) in connection.execute("SELECT DISTINCT state FROM instance ORDER BY 1")]
    assert found == pytest.approx(INSTANCES, rel=0.02)
    assert states == ["cancelled", "failed", "succeeded", "timed_out"]


def test_it_holds_all_invariants(made):
    path, _ = made
    with closing(open_database(f"sqlite:///{path}", 0)) as database:
        assert check_all(database) == []


def test_its_shape_can_be_told_from_the_file(made):
    path, shape = made
    assert history._shape_of(path) == shape


def test_every_kind_of_page_of_it_holds_something(made):
    path, shape = made
    with closing(open_database(f"sqlite:///{path}", 0)) as database:
        empty = [
            kind for kind, page in pages.kinds(shape, history._loudest(path)).items() if not items(page(database, 1.0))
        ]
    assert empty == ["instances with a tag, of a task that never has it"]


def items(page):
    return getattr(page, "items", page)


def test_claims_on_it_run_what_is_due_and_then_find_it_busy(made, tmp_path):
    _, shape = made
    bare = tmp_path / "bare.db"
    history_file.fill(bare, shape, empty=True)
    claims = history.claimed(bare, shape)
    assert len(claims.ran) == len(claims.busy) == history.TURNS
    with closing(sqlite3.connect(bare)) as connection:
        runs = connection.execute("SELECT count(*), count(DISTINCT schedule) FROM instance").fetchone()
        (skipped,) = connection.execute("SELECT sum(count) FROM omission WHERE reason = 'overlap'").fetchone()
    assert runs == (history.TURNS * shape.schedules, shape.schedules)
    assert skipped == history.TURNS * shape.schedules
