"""The same no-op runs through APScheduler 4 on SQLite, for a comparison.

    .venv-bench-aps4/bin/python benchmarks/peers/with_apscheduler4.py [--runs 500] [--directory DIR]

A job is added by `add_job` (there is no call for many), run by the scheduler in the same process,
and counted when the scheduler tells that its result is stored; at the end, the results are counted
in the database. Each setting is measured in a fresh database file:

- defaults: as documented, save `result_expiration_time`, without which no result is stored. A task
  then has `max_running_jobs=1`.
- wide: `max_running_jobs=1000` and `max_concurrent_jobs=1000`, so that nothing waits for its turn.
- wide10: the same, with ten callers adding jobs at once.

Each with both kinds of engine that the data store takes: aiosqlite, and the standard sqlite3 in
threads. The headline is the fastest of the six. The last line of the output is JSON.
"""

import argparse
import asyncio
import json
import platform
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

from apscheduler import AsyncScheduler, JobOutcome, JobReleased
from apscheduler.datastores.sqlalchemy import SQLAlchemyDataStore
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

PATIENCE = 600  # seconds
KEEP = timedelta(hours=1)
DRIVERS = {
    "aiosqlite": (create_async_engine, "sqlite+aiosqlite"),
    "sqlite3": (create_engine, "sqlite"),
}
Result = dict[str, Any]


async def nothing() -> None:
    """Be the body of every job."""


class Ended:
    """Counts the jobs whose result is stored."""

    def __init__(self, n: int) -> None:
        self.left = n
        self.all = asyncio.Event()

    def __call__(self, event: JobReleased) -> None:
        assert event.outcome is JobOutcome.success
        self.left -= 1
        if self.left == 0:
            self.all.set()


@dataclass(frozen=True)
class Setting:
    """How the scheduler is set up, and how many callers add jobs at once."""

    name: str
    limits: dict[str, int] = field(default_factory=dict)
    running: dict[str, int] = field(default_factory=dict)
    adders: int = 1


WIDE = {"max_concurrent_jobs": 1000}, {"max_running_jobs": 1000}
SETTINGS = (Setting("defaults"), Setting("wide", *WIDE), Setting("wide10", *WIDE, adders=10))


async def timed(n: int, store: SQLAlchemyDataStore, setting: Setting) -> tuple[float, ...]:
    """Run `n` jobs; gives the seconds to add them, to have all stored, and the CPU seconds."""
    async with AsyncScheduler(store, **setting.limits) as scheduler:
        task = await scheduler.configure_task("nothing", func=nothing, **setting.running)
        ended = Ended(n)
        with scheduler.subscribe(ended, {JobReleased}):
            await scheduler.start_in_background()
            wall, cpu = time.perf_counter(), time.process_time()
            async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as adders:
                jobs = iter(range(n))
                for _ in range(setting.adders):
                    adders.create_task(add(scheduler, task.id, jobs))
            added = time.perf_counter() - wall
            async with asyncio.timeout(PATIENCE):
                await ended.all.wait()
            return added, time.perf_counter() - wall, time.process_time() - cpu


async def add(scheduler: AsyncScheduler, task: str, jobs: Iterator[int]) -> None:
    """Add what is left of the jobs, one by one."""
    for _ in jobs:
        await scheduler.add_job(task, result_expiration_time=KEEP)


def measure(
    n: int = 500,
    *,
    setting: Setting = SETTINGS[0],
    driver: str = "aiosqlite",
    directory: Path | None = None,
) -> Result:
    """Measure `n` jobs in a fresh database; RuntimeError unless each result is in it."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        path = Path(folder) / "apscheduler.db"
        make, dialect = DRIVERS[driver]
        store = SQLAlchemyDataStore(make(f"{dialect}:///{path}"))
        added, seconds, cpu = asyncio.run(timed(n, store, setting))
        with closing(sqlite3.connect(path)) as connection:
            ((stored,),) = connection.execute("select count(*) from job_results")
    if stored != n:
        raise RuntimeError(f"only {stored} of {n} results are in the database")
    return {
        "name": "apscheduler4",
        "setting": setting.name,
        "driver": driver,
        "runs": n,
        "seconds": round(seconds, 4),
        "seconds_to_add": round(added, 4),
        "cpu_seconds": round(cpu, 4),
        "runs_per_second": round(n / seconds, 1),
        "runs_per_cpu_second": round(n / cpu, 1),
    }


def main() -> None:
    """Measure all combinations, and print the fastest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--directory", type=Path, help="where to put the database")
    options = parser.parse_args()
    results = []
    for driver, setting in product(DRIVERS, SETTINGS):
        results.append(measure(options.runs, setting=setting, driver=driver, directory=options.directory))
        print(results[-1], file=sys.stderr)
    best = dict(max(results, key=lambda result: result["runs_per_second"]))
    for each in results:
        best[f"{each['setting']}_{each['driver']}_runs_per_second"] = each["runs_per_second"]
    best |= {"apscheduler": version("apscheduler"), "sqlalchemy": version("sqlalchemy")}
    print(json.dumps(best | {"python": platform.python_version()}))


if __name__ == "__main__":
    main()
