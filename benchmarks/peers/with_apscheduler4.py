"""The same no-op runs through APScheduler 4 on SQLite.

    .venv-bench-aps4/bin/python benchmarks/peers/with_apscheduler4.py [--runs 500] [--setting sqlite3] [--directory DIR]

A job is added by `add_job` (there is no call for many), run by the scheduler in the same process, and counted when the
scheduler tells that its result is stored; at the end, the results are counted in the database. WAL and
synchronous=FULL. `result_expiration_time` is set, without which no result is stored, and `max_running_jobs=1000` and
`max_concurrent_jobs=1000`, so that nothing waits for its turn: with the defaults a task has one running job.

Settings: `sqlite3` is the standard driver in threads, `aiosqlite` the other that the data store takes; `sqlite3-ten`
and `aiosqlite-ten` the same with ten callers adding jobs at once. SQLAlchemy, sniffio and greenlet are imported, but
not asked for by those that need them.
"""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from apscheduler import AsyncScheduler, JobOutcome, JobReleased
from apscheduler.datastores.sqlalchemy import SQLAlchemyDataStore
from sqlalchemy import create_engine, event
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.peers.common import Stopwatch, file_in, options, report

PATIENCE = 600  # seconds
KEEP = timedelta(hours=1)
SETTINGS = {"sqlite3": 1, "aiosqlite": 1, "sqlite3-ten": 10, "aiosqlite-ten": 10}  # how many callers add jobs


async def nothing() -> None:
    """Be the body of every job."""


class Ended:
    """Counts the jobs whose result is stored."""

    def __init__(self, runs: int) -> None:
        self.left = runs
        self.all = asyncio.Event()

    def __call__(self, told: JobReleased) -> None:
        assert told.outcome is JobOutcome.success
        self.left -= 1
        if self.left == 0:
            self.all.set()


def open_store(path: Path, driver: str) -> SQLAlchemyDataStore:
    """Open the data store."""
    engine: Any
    if driver == "aiosqlite":
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    else:
        engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(getattr(engine, "sync_engine", engine), "connect")
    def set_up(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    return SQLAlchemyDataStore(engine)


async def measure(runs: int, store: SQLAlchemyDataStore, adders: int) -> Stopwatch:
    """Run the jobs in a fresh database."""
    async with AsyncScheduler(store, max_concurrent_jobs=1000) as scheduler:
        task = await scheduler.configure_task("nothing", func=nothing, max_running_jobs=1000)
        ended = Ended(runs)
        with scheduler.subscribe(ended, {JobReleased}):
            await scheduler.start_in_background()
            took = Stopwatch()
            async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
                jobs = iter(range(runs))
                for _ in range(adders):
                    group.create_task(add(scheduler, task.id, jobs))
            async with asyncio.timeout(PATIENCE):
                await ended.all.wait()
            return took.stop()


async def add(scheduler: AsyncScheduler, task: str, jobs: Iterator[int]) -> None:
    """Add what is left of the jobs, one by one."""
    for _ in jobs:
        await scheduler.add_job(task, result_expiration_time=KEEP)


def main() -> None:
    """Measure and print; RuntimeError unless each result is in the database."""
    given = options(__doc__, runs=500, settings=tuple(SETTINGS))
    with file_in(given.directory) as path:
        store = open_store(path, given.setting.removesuffix("-ten"))
        took = asyncio.run(measure(given.runs, store, SETTINGS[given.setting]))
        with closing(sqlite3.connect(path)) as connection:
            ((stored,),) = connection.execute("select count(*) from job_results")
    if stored != given.runs:
        raise RuntimeError(f"only {stored} of {given.runs} results are in the database")
    report(
        "APScheduler 4", ("apscheduler", "sqlalchemy"), given.runs, took,
        keeps="result; SQLite WAL, synchronous=FULL", outcomes=True, setting=given.setting,
    )  # fmt: skip


if __name__ == "__main__":
    main()
