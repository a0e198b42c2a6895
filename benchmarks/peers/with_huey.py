"""The same no-op runs through Huey on SQLite.

    .venv-bench/bin/python benchmarks/peers/with_huey.py [--runs 5000] [--directory DIR]

WAL and `fsync=True`, which is synchronous=FULL; `store_none=True`, without which nothing would be kept of a task that
gives nothing. A task is enqueued by calling it (there is no call for many), and the consumer runs in the same process
with one worker thread: more of them only wait for SQLite's lock. Tasks are enqueued before the consumer starts, so that
neither holds up the other; the clock runs over both. Done when each result is in the database.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from huey import SqliteHuey

from benchmarks.peers.common import Stopwatch, file_in, options, report, wait_for


def measure(runs: int, path: Path) -> Stopwatch:
    """Run the tasks in a fresh database."""
    huey = SqliteHuey(filename=str(path), fsync=True, journal_mode="wal", results=True, store_none=True)

    @huey.task()
    def noop() -> None:
        """Do nothing."""

    with closing(sqlite3.connect(path)) as connection:

        def stored() -> int:
            return int(connection.execute("select count(*) from kv").fetchone()[0])

        took = Stopwatch()
        for _ in range(runs):
            noop()
        consumer = huey.create_consumer(workers=1, periodic=False, initial_delay=0.001, check_worker_health=False)
        consumer.start()
        wait_for(stored, runs)
        took.stop()
        consumer.stop(graceful=True)
    return took


def main() -> None:
    """Measure and print."""
    given = options(__doc__, runs=5_000)
    with file_in(given.directory) as path:
        took = measure(given.runs, path)
    report("Huey", ("huey",), given.runs, took, keeps="result; SQLite WAL, synchronous=FULL", outcomes=True)


if __name__ == "__main__":
    main()
