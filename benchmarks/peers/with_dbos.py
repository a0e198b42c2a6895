"""The same no-op runs as DBOS workflows, on SQLite or on PostgreSQL.

    .venv-bench/bin/python benchmarks/peers/with_dbos.py [--runs 1000] [--setting threads] [--directory DIR | --url URL]

A workflow is started in the process that runs it, which takes less than a queue: it writes a row, runs, and writes its
outcome, each in a transaction of its own; there is no call that starts many. SQLite is opened with WAL and
synchronous=FULL. Settings: `single` starts one after the other from one thread, `threads` from eight, `async` as
coroutines, a hundred at a time. Done when each has its outcome, which are counted in the database.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig

from benchmarks.peers.common import Stopwatch, file_in, options, report

STARTERS = 8
AT_ONCE = 100


@DBOS.workflow()
def noop() -> None:
    """Do nothing."""


@DBOS.workflow()
async def noop_async() -> None:
    """Do nothing, as a coroutine."""


def single(runs: int) -> None:
    """Start one after the other."""
    for handle in [DBOS.start_workflow(noop) for _ in range(runs)]:
        handle.get_result()


def threads(runs: int) -> None:
    """Start from several threads."""
    with ThreadPoolExecutor(STARTERS) as pool:
        for handle in list(pool.map(lambda _: DBOS.start_workflow(noop), range(runs))):
            handle.get_result()


def coroutines(runs: int) -> None:
    """Start coroutines, some at a time."""

    async def some(turns: Iterator[int]) -> None:
        for _ in turns:
            await (await DBOS.start_workflow_async(noop_async)).get_result()

    async def every() -> None:
        turns = iter(range(runs))
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(some(turns))

    asyncio.run(every())


WAYS: dict[str, Callable[[int], None]] = {"threads": threads, "single": single, "async": coroutines}


@contextmanager
def launched(url: str) -> Iterator[sa.Engine]:
    """Launch DBOS on a database that is empty."""
    engine = sa.create_engine(url, pool_size=20)
    config: DBOSConfig = {"name": "bench", "system_database_url": url, "run_admin_server": False, "log_level": "ERROR"}
    if url.startswith("sqlite"):

        @sa.event.listens_for(engine, "connect")
        def set_up(connection: Any, _: Any) -> None:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA busy_timeout = 30000")

        config["system_database_engine"] = engine
    DBOS(config=config)
    DBOS.launch()
    try:
        yield engine
    finally:
        DBOS.destroy()


def measure(runs: int, url: str, way: str) -> Stopwatch:
    """Run the workflows; RuntimeError unless each outcome is in the database."""
    with launched(url) as engine:
        took = Stopwatch()
        WAYS[way](runs)
        took.stop()
        table = "workflow_status" if url.startswith("sqlite") else "dbos.workflow_status"
        with engine.connect() as connection:
            found = connection.execute(sa.text(f"select count(*) from {table} where status = 'SUCCESS'")).scalar()
    if found != runs:
        raise RuntimeError(f"only {found} of {runs} outcomes are in the database")
    return took


def main() -> None:
    """Measure and print."""
    given = options(__doc__, runs=1_000, settings=tuple(WAYS))
    logging.getLogger("dbos").disabled = True
    done = partial(report, "DBOS", ("dbos", "sqlalchemy"), given.runs, outcomes=True, setting=given.setting)
    if given.url:
        took = measure(given.runs, given.url.replace("postgresql://", "postgresql+psycopg://"), given.setting)
        done(took, keeps="outcome; PostgreSQL, logged tables")
        return
    with file_in(given.directory) as path:
        took = measure(given.runs, f"sqlite:///{Path(path)}", given.setting)
    done(took, keeps="outcome; SQLite WAL, synchronous=FULL")


if __name__ == "__main__":
    main()
