"""The least that a durable run can cost here: a bare Trio loop on the standard sqlite3.

WAL, synchronous=FULL. A row per run is inserted in batches, a Trio task with a cancel scope is
spawned per run, and the row is updated with its outcome; done when every outcome is committed. No
schedules, events, HTTP, validation, leases or recovery: what a real engine takes more than this is
what it spends on those.

    python benchmarks/floor.py [--runs 20000] [--rounds 3] [--directory DIR]

Each round measures two ways of reaching the database: a thread of its own, and inline in the
loop, which an honest service must not do, as every commit then stops it. The floor is the faster
of their medians. The last line of the output is JSON.
"""

import argparse
import gc
import json
import os
import platform
import queue
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import outcome
import trio

BATCH = 10_000  # runs that the producer hands over at once
ROOM = 10_000  # ended runs that may wait for the writer, and the most it takes in one transaction
TIMEOUT = 30.0

SCHEMA = """
create table run (
    id blob primary key, task text not null, state text not null,
    queued_at integer not null, started_at integer not null, finished_at integer
) without rowid
"""
INSERT = "insert into run (id, task, state, queued_at, started_at) values (?, ?, 'running', ?, ?)"
UPDATE = "update run set state = ?, finished_at = ? where id = ? and state = 'running'"

Rows = list[tuple[object, ...]]
Write = Callable[[str, Rows], Awaitable[None]]
Run = tuple[bytes, str, int]  # id, task, when it was asked for
Result = dict[str, Any]


def now() -> int:
    """Give the wall clock in microseconds."""
    return time.time_ns() // 1000


def new_ids() -> Iterable[bytes]:
    """Give 16-byte ids that sort by time, as UUIDv7 does: milliseconds, a counter, random bits."""
    for number in count():
        head = time.time_ns() // 1_000_000 << 16 | 0x7000 | number & 0xFFF
        yield head.to_bytes(8, "big") + os.urandom(8)


class Database:
    """One SQLite connection that writes batches, each in one transaction."""

    def __init__(self, path: Path) -> None:
        self.commits = 0
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.connection.execute("pragma journal_mode = wal")
        self.connection.execute("pragma synchronous = full")
        self.connection.execute(SCHEMA)

    def write(self, sql: str, rows: Rows) -> None:
        """Apply `sql` to every row and commit."""
        self.connection.execute("begin immediate")
        self.connection.executemany(sql, rows)
        self.connection.execute("commit")
        self.commits += 1

    async def write_inline(self, sql: str, rows: Rows) -> None:
        """Write in the loop, which stands still meanwhile."""
        self.write(sql, rows)
        await trio.lowlevel.checkpoint()


class WriterThread:
    """A thread that owns all writing: jobs go in by a queue, outcomes come back by the token."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.jobs: queue.SimpleQueue[tuple[str, Rows, trio.lowlevel.Task] | None]
        self.jobs = queue.SimpleQueue()
        self.token = trio.lowlevel.current_trio_token()
        self.thread = threading.Thread(target=self.loop, name="writer")
        self.thread.start()

    def loop(self) -> None:
        """Do one job after the other until None comes."""
        while (job := self.jobs.get()) is not None:
            sql, rows, task = job
            result = outcome.capture(self.database.write, sql, rows)
            self.token.run_sync_soon(trio.lowlevel.reschedule, task, result)

    async def write(self, sql: str, rows: Rows) -> None:
        """Wait, uncancellably, until the thread has committed the rows."""
        self.jobs.put((sql, rows, trio.lowlevel.current_task()))
        await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)

    def close(self) -> None:
        """End the thread."""
        self.jobs.put(None)
        self.thread.join()


async def produce(inbox: trio.MemorySendChannel[list[Run]], n: int) -> None:
    """Ask for `n` runs, a batch at a time."""
    ids = iter(new_ids())
    with inbox:
        for start in range(0, n, BATCH):
            size = min(BATCH, n - start)
            await inbox.send([(next(ids), "nothing", now()) for _ in range(size)])


async def start_runs(
    inbox: trio.MemoryReceiveChannel[list[Run]],
    ended: trio.MemorySendChannel[tuple[object, ...]],
    write: Write,
) -> None:
    """Commit what is asked for, then spawn it."""
    with ended:
        async with trio.open_nursery() as runs:
            async for batch in inbox:
                started = now()
                await write(INSERT, [(id_, task, asked, started) for id_, task, asked in batch])
                for id_, _, _ in batch:
                    runs.start_soon(run, id_, ended)


async def run(id_: bytes, ended: trio.MemorySendChannel[tuple[object, ...]]) -> None:
    """Perform one run behind its cancel scope, and say how it ended."""
    with trio.CancelScope(deadline=trio.current_time() + TIMEOUT) as scope:
        await nothing()
    end = ("timed_out" if scope.cancelled_caught else "succeeded", now(), id_)
    try:
        ended.send_nowait(end)  # spares a run that finds room another turn of the loop
    except trio.WouldBlock:
        await ended.send(end)


async def nothing() -> None:
    """Be the body of every run."""


async def write_outcomes(ended: trio.MemoryReceiveChannel[tuple[object, ...]], write: Write) -> None:
    """Commit what has ended, as much as is waiting in one transaction."""
    async for first in ended:
        rows = [first]
        try:
            while len(rows) < ROOM:
                rows.append(ended.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            pass
        await write(UPDATE, rows)


async def engine(n: int, write: Write) -> None:
    """Take `n` runs from being asked for to their committed outcomes."""
    send_inbox, inbox = trio.open_memory_channel[list[Run]](1)
    send_ended, ended = trio.open_memory_channel[tuple[object, ...]](ROOM)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce, send_inbox, n)
        nursery.start_soon(start_runs, inbox, send_ended, write)
        nursery.start_soon(write_outcomes, ended, write)


async def timed(n: int, database: Database, threaded: bool) -> tuple[float, float]:
    """Run the engine; gives the seconds it took and the CPU seconds of the whole process."""
    writer = WriterThread(database) if threaded else None
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        await engine(n, writer.write if writer else database.write_inline)
        return time.perf_counter() - wall, time.process_time() - cpu
    finally:
        if writer:
            writer.close()


def measure(n: int = 20_000, *, threaded: bool = True, directory: Path | None = None) -> Result:
    """Measure `n` runs in a fresh database; RuntimeError unless each outcome is in it."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        database = Database(Path(folder) / "floor.db")
        seconds, cpu = trio.run(partial(timed, n, database, threaded))
        ((stored,),) = database.connection.execute(
            "select count(*) from run where state = 'succeeded' and finished_at >= started_at"
        )
        database.connection.close()
    if stored != n:
        raise RuntimeError(f"only {stored} of {n} outcomes are in the database")
    return {
        "name": "floor",
        "writer": "thread" if threaded else "inline",
        "runs": n,
        "seconds": round(seconds, 4),
        "cpu_seconds": round(cpu, 4),
        "runs_per_second": round(n / seconds),
        "runs_per_cpu_second": round(n / cpu),
        "commits": database.commits,
    }


def main() -> None:
    """Measure both ways in turns, and print the faster one's median."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", type=Path, help="where to put the database")
    options = parser.parse_args()
    calm_collector()
    found: dict[bool, list[Result]] = {True: [], False: []}
    for _ in range(options.rounds):
        for threaded, results in found.items():
            results.append(measure(options.runs, threaded=threaded, directory=options.directory))
            print(results[-1], file=sys.stderr)
    medians = [median(results) for results in found.values()]
    floor = max(medians, key=rate)
    floor |= {f"{each['writer']}_runs_per_second": rate(each) for each in medians}
    floor |= {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    print(json.dumps(floor))


def calm_collector() -> None:
    """Collect cycles as seldom as callsheet does: a floor without that would be a tenth lower than it can be."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def median(results: list[Result]) -> Result:
    """Give the result in the middle."""
    return sorted(results, key=rate)[len(results) // 2]


def rate(result: Result) -> int:
    """Give what results are compared by."""
    return int(result["runs_per_second"])


if __name__ == "__main__":
    main()
