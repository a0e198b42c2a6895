"""The same no-op runs through procrastinate on PostgreSQL.

    .venv-bench/bin/python benchmarks/peers/with_procrastinate.py --url URL [--runs 5000]

Jobs are deferred in batches of 1,000 by `batch_defer_async` and run by one async worker, 100 of them at once on a pool
of 10 connections. Jobs stay in its table with their status, an event for each step. Done when the worker has nothing
left (`wait=False`); the outcomes are counted in the database.
"""

import asyncio

import psycopg
from procrastinate import App, PsycopgConnector

from benchmarks.peers.common import TASK, Stopwatch, options, report

BULK = 1_000
CONCURRENCY = 100


async def measure(runs: int, url: str) -> Stopwatch:
    """Run the jobs in an empty database."""
    app = App(connector=PsycopgConnector(conninfo=url, min_size=10, max_size=10))

    @app.task(name=TASK)
    async def noop() -> None:
        """Do nothing."""

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        took = Stopwatch()
        for start in range(0, runs, BULK):
            await noop.batch_defer_async(*[{}] * min(BULK, runs - start))
        await app.run_worker_async(wait=False, concurrency=CONCURRENCY, install_signal_handlers=False)
        took.stop()
    return took


def main() -> None:
    """Measure and print."""
    given = options(__doc__, runs=5_000)
    took = asyncio.run(measure(given.runs, given.url))
    with psycopg.connect(given.url) as connection:
        row = connection.execute("select count(*) from procrastinate_jobs where status = 'succeeded'").fetchone()
    if row is None or row[0] != given.runs:
        raise RuntimeError(f"only {row} of {given.runs} outcomes are in the database")
    keeps = "outcome and events; PostgreSQL, logged tables"
    report("procrastinate", ("procrastinate", "psycopg"), given.runs, took, keeps=keeps, outcomes=True)


if __name__ == "__main__":
    main()
