"""The same no-op runs through pgqueuer on PostgreSQL.

    .venv-bench/bin/python benchmarks/peers/with_pgqueuer.py --url URL [--runs 20000]

Its fastest form that keeps outcomes through a crash: all tables logged (`Durability.durable`, the default), jobs
enqueued by calls for 10,000 each, asyncpg on uvloop, one worker that takes 100 at a time and writes 100 outcomes in one
transaction into its log table. The worker runs until the queue is empty; the outcomes are counted in the database.
"""

import asyncio
from datetime import timedelta

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

from benchmarks.peers.common import TASK, Stopwatch, options, report

BULK = 10_000
BATCH = 100


async def measure(runs: int, url: str) -> Stopwatch:
    """Run the jobs in an empty database."""
    connection = await asyncpg.connect(url)
    driver = AsyncpgDriver(connection)
    await Queries(driver).install()
    await logged(connection)
    worker = PgQueuer(driver)

    @worker.entrypoint(TASK)
    async def noop(_: Job) -> None:
        """Do nothing."""

    queries = worker.qm.queries
    took = Stopwatch()
    for start in range(0, runs, BULK):
        size = min(BULK, runs - start)
        await queries.enqueue([TASK] * size, [None] * size, [0] * size)
    await worker.qm.run(batch_size=BATCH, mode=QueueExecutionMode.drain, log_aggregation_interval=timedelta(0))
    took.stop()
    return took


async def logged(connection: asyncpg.Connection) -> None:
    """Make sure that no table is lost in a crash; RuntimeError if one would be."""
    unlogged = await connection.fetchval("select count(*) from pg_class where relpersistence = 'u' and relkind = 'r'")
    if unlogged:
        raise RuntimeError(f"{unlogged} tables are not logged")


async def outcomes(url: str) -> int:
    """Count the outcomes."""
    connection = await asyncpg.connect(url)
    found = await connection.fetchval("select count(*) from pgqueuer_log where status = 'successful'")
    await connection.close()
    return int(found)


def main() -> None:
    """Measure and print."""
    given = options(__doc__, runs=20_000)
    took = uvloop.run(measure(given.runs, given.url))
    if (found := asyncio.run(outcomes(given.url))) != given.runs:
        raise RuntimeError(f"only {found} of {given.runs} outcomes are in the database")
    keeps = "outcome in its log; PostgreSQL, all tables logged"
    report("pgqueuer, bulk, batch 100", ("pgqueuer", "asyncpg"), given.runs, took, keeps=keeps, outcomes=True)


if __name__ == "__main__":
    main()
