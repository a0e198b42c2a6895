"""The same no-op runs through APScheduler 3 on SQLite, which keeps jobs but no outcomes.

    .venv-bench/bin/python benchmarks/peers/with_apscheduler3.py [--runs 2000] [--directory DIR]

Jobs are in an SQLAlchemy job store, WAL and synchronous=FULL, in a table of their own, and run in the loop of the
process by an AsyncIOScheduler and AsyncIOExecutor, which takes less than threads. A job is added by `add_job` (there is
no call for many) while the scheduler is paused, or each would have it look through all jobs again; the clock runs over
adding and running. A job is deleted when it has been handed to the executor: nothing is kept of how it ended. Done when
all have told that they ran and the store is empty.
"""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED
from apscheduler.executors.asyncio import AsyncIOExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlalchemy import create_engine, event

from benchmarks.peers.common import Stopwatch, file_in, options, report


async def noop() -> None:
    """Be the body of every job."""


def open_store(path: Path) -> SQLAlchemyJobStore:
    """Open the job store."""
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    return SQLAlchemyJobStore(engine=engine)


async def measure(runs: int, path: Path) -> Stopwatch:
    """Run the jobs in a fresh database."""
    scheduler = AsyncIOScheduler(jobstores={"default": open_store(path)}, executors={"default": AsyncIOExecutor()})
    done, ran = asyncio.Event(), 0

    def count(told: Any) -> None:
        nonlocal ran
        ran += told.exception is None
        if ran == runs:
            done.set()

    scheduler.add_listener(count, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
    scheduler.start(paused=True)
    took = Stopwatch()
    for _ in range(runs):
        scheduler.add_job(noop, misfire_grace_time=None)
    scheduler.resume()
    async with asyncio.timeout(300):
        await done.wait()
    took.stop()
    scheduler.shutdown()
    return took


def main() -> None:
    """Measure and print."""
    given = options(__doc__, runs=2_000)
    with file_in(given.directory) as path:
        took = asyncio.run(measure(given.runs, path))
        with closing(sqlite3.connect(path)) as connection:
            ((left,),) = connection.execute("select count(*) from apscheduler_jobs")
    if left:
        raise RuntimeError(f"{left} jobs are left in the store")
    keeps = "the job until it starts, no outcome; SQLite WAL, synchronous=FULL"
    report("APScheduler 3", ("apscheduler", "sqlalchemy"), given.runs, took, keeps=keeps, outcomes=False)


if __name__ == "__main__":
    main()
