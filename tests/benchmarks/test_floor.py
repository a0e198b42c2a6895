"""The floor counts what it ran, in the database at that, and writes neither less nor more than callsheet does."""

import json
import sqlite3
from contextlib import closing

import psycopg2
import pytest

from benchmarks import floor, ledgers
from benchmarks.ledgers_postgres import SamePostgres
from callsheet.ids import IdMaker
from callsheet.tasks import Registry
from storage.database import open_database, this_node
from storage.journal.commands import EndInstance, OnBehalf, Start, StartInstances
from storage.journal.facts import InstanceEnded, InstanceStarted
from storage.journal.journal import Journal
from tests.conftest import SettableClock, noop

RUNS = 3


@pytest.mark.parametrize("kind", ["same", "bare"])
@pytest.mark.parametrize("way", ["thread", "inline", "alone"])
def test_the_floor_counts_every_run(tmp_path, kind, way):
    result = floor.measure(200, kind=kind, way=way, directory=tmp_path)
    assert result["runs"] == 200
    assert result["runs_per_second"] == pytest.approx(200 / result["seconds"], rel=0.05)
    assert result["commits"] >= 2, "a run is committed before it starts, and again when it has ended"


@pytest.mark.parametrize("kind", ["same", "bare"])
def test_the_floor_does_not_call_a_lost_outcome_done(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(ledgers.KINDS[kind], "end", lambda self, ends: None)
    with pytest.raises(RuntimeError, match="only 0 of 200"):
        floor.measure(200, kind=kind, directory=tmp_path)


def test_the_floor_writes_the_rows_that_callsheet_writes(tmp_path):
    of_floor, of_callsheet = tmp_path / "floor.db", tmp_path / "callsheet.db"
    written(ledgers.Same(of_floor))
    run_by_the_journal(f"sqlite:///{of_callsheet}")
    with closing(sqlite3.connect(of_floor)) as floors, closing(sqlite3.connect(of_callsheet)) as ours:
        assert shape(floors) == shape(ours)


def test_the_floor_on_postgresql_writes_the_same_rows(tmp_path, postgres_url):
    written(SamePostgres(postgres_url))
    run_by_the_journal(f"sqlite:///{tmp_path / 'callsheet.db'}")
    with closing(psycopg2.connect(postgres_url)) as floors, closing(sqlite3.connect(tmp_path / "callsheet.db")) as ours:
        assert shape(floors) == shape(ours)


def written(ledger):
    floor.alone(RUNS, ledger)
    assert ledger.stored() == RUNS
    ledger.close()


def run_by_the_journal(url):
    """Have callsheet's own journal start and end a batch of no-ops, as the API asks for it."""
    clock, ids = SettableClock(), IdMaker()
    database = open_database(url, clock.now())
    journal = Journal(database, this_node("floor", ids.make(clock.now())), Registry([noop]), clock, ids)
    journal.register()
    request = "01890a5d-ac96-774b-bcce-b302099a8057"
    starts = StartInstances(tuple(Start("noop", b"null") for _ in range(RUNS)))
    facts = journal.apply([OnBehalf(starts, "anonymous", request)]).facts
    runs = [fact for fact in facts if isinstance(fact, InstanceStarted)]
    journal.apply([EndInstance(run, "succeeded", clock.now(), clock.now()) for run in runs])
    database.close()


TABLES = ("instance", "event", "audit", "node", "instance_tag", "output", "log", "idempotency", "task_state")


def shape(connection):
    """Return all rows, but of ids and times only that there are some, and of node only the columns."""
    return {name: sorted(map(repr, rows(connection, name))) for name in TABLES}


def rows(connection, table):
    cursor = connection.cursor()
    cursor.execute(f"SELECT * FROM {table}")
    names = [column[0] for column in cursor.description]
    for row in cursor.fetchall():
        told = {name: plain(name, value) for name, value in zip(names, row, strict=True) if value is not None}
        yield sorted(told) if table == "node" else told


def plain(name, value):
    if name.endswith("_at") or name in ("at", "id", "instance", "boot"):
        return "some"
    if name == "data":
        return {key: "some" if key == "seconds" else found for key, found in json.loads(value).items()}
    return value


def test_the_data_of_its_events_is_as_long_as_that_of_callsheet():
    started = InstanceStarted(IdMaker().make(0), "noop", b"null", 0)
    ended = InstanceEnded(started.id, "noop", None, "succeeded", 0.000012)
    assert ledgers.STARTED.encode() == started.data()
    assert len(ledgers.ended_row(0, b"", "succeeded", 0, 12)[-1]) == len(ended.data())
