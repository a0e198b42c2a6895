"""How a service comes to have very many schedules: through its own batch route if it has one, else by its journal.

The journal then makes some, by whose number the rate is known, and the others are copies of their rows.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from attrs import frozen

from benchmarks.client import encode
from benchmarks.schedules import once
from benchmarks.service import TASKS, Service, database_in, serving
from callsheet.clock import WallClock
from callsheet.ids import IdMaker
from callsheet.tasks import Registry
from storage.database import open_database, this_node
from storage.journal.commands import PutSchedule
from storage.journal.journal import Journal

ROUTE = "/v1/schedules/batch"
BATCH = 10_000  # schedules in one request
BY_JOURNAL = 20_000  # schedules that the journal makes
TOGETHER = 500  # in one transaction

Items = list[tuple[str, dict[str, Any]]]


@frozen
class Seeded:
    """How many schedules a second were made, and in which way."""

    rate: float
    way: str


def seed(folder: Path, count: int, first: int) -> Seeded:
    """Make `count` schedules that are each due once, from the instant `first` on, in a folder that is empty."""
    with serving(folder) as service:
        if ROUTE in service.client.get("/openapi.json")["paths"]:
            return _by_route(service, count, first)
    made = min(BY_JOURNAL, count)
    rate = _by_journal(folder, made, first)
    _copy(database_in(folder), made, count - made)
    return Seeded(rate, f"by the journal ({made:,} of them; no route takes many)")


def _by_route(service: Service, count: int, first: int) -> Seeded:
    parts = [encode({"items": [{"id": name, **rest} for name, rest in part]}) for part in _parts(count, first, BATCH)]
    began = time.perf_counter()
    for part in parts:
        service.client.ask("POST", ROUTE, part)
    return Seeded(count / (time.perf_counter() - began), f"through the API by {BATCH:,}")


def _by_journal(folder: Path, count: int, first: int) -> float:
    """Make schedules as the service's own writer does, without HTTP; gives how many a second."""
    clock, ids, tasks = WallClock(), IdMaker(), Registry()
    tasks.load(str(TASKS))
    database = open_database(f"sqlite:///{database_in(folder)}", clock.now())
    journal = Journal(database, this_node("bench", ids.make(clock.now())), tasks, clock, ids)
    journal.register()
    began = time.perf_counter()
    for part in _parts(count, first, TOGETHER):
        for verdict in journal.apply([PutSchedule(name, document) for name, document in part]).verdicts:
            if verdict.error is not None:
                raise verdict.error
    rate = count / (time.perf_counter() - began)
    database.close()
    return rate


def _parts(count: int, first: int, size: int) -> Iterator[Items]:
    documents = iter(once(count, first).items())
    while part := list(islice(documents, size)):
        yield part


def _copy(path: Path, made: int, more: int) -> None:
    """Copy the rows that the journal made until there are so many more, each under an id of its own."""
    with closing(sqlite3.connect(path)) as connection, connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(schedule)")]
        rest = ", ".join(column for column in columns if column != "id")
        connection.execute("CREATE TEMP TABLE made AS SELECT * FROM schedule")
        sql = f"INSERT INTO schedule (id, {rest}) SELECT id || '-' || ?, {rest} FROM made LIMIT ?"
        for turn in range(-(-more // made)):
            connection.execute(sql, (turn, more - turn * made))
