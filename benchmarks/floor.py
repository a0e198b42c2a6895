"""The least that a durable run can cost here: a bare Trio loop on the standard sqlite3, WAL, synchronous=FULL.

A row per run is inserted in batches, a Trio task with a cancel scope is spawned per run, and the row is updated with
its outcome; done when every outcome is committed. No schedules, HTTP, validation, leases or recovery: what a real
engine takes more than this is what it spends on those.

    python benchmarks/floor.py [--rows same|bare|alone] [--runs 20000] [--rounds 3] [--directory DIR | --url URL]

`same` writes the rows that callsheet does, events and indexes included; `bare` a row and its outcome, nothing else;
`alone` the same rows once more, but from a plain loop without Trio. Each round of the first two measures two ways of
reaching the database: a thread of its own, and inline in the loop, which an honest service must not do, as every commit
then stops it. The floor is the faster of their medians. `--url` names a PostgreSQL database that is empty, where it is
always `alone`, once, with as many ends in a transaction as callsheet's bus has. The last line of the output is JSON.
"""

import argparse
import gc
import json
import platform
import queue
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import outcome
import trio

from actors.bus import MAX_BATCH
from benchmarks import machine
from benchmarks.ledgers import KINDS, End, Ledger, Run, new_ids, now
from benchmarks.ledgers_postgres import SamePostgres

BATCH = 10_000  # runs that the producer hands over at once
ROOM = 10_000  # ended runs that may wait for the writer, and the most it takes in one transaction
TIMEOUT = 30.0

Write = Callable[..., Awaitable[None]]
Result = dict[str, Any]


async def write_inline(function: Callable[..., None], *args: Any) -> None:
    """Write in the loop, which stands still meanwhile."""
    function(*args)
    await trio.lowlevel.checkpoint()


class WriterThread:
    """A thread that owns all writing: jobs go in by a queue, outcomes come back by the token."""

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[tuple[Callable[[], None], trio.lowlevel.Task] | None]
        self.jobs = queue.SimpleQueue()
        self.token = trio.lowlevel.current_trio_token()
        self.thread = threading.Thread(target=self.loop, name="writer")
        self.thread.start()

    def loop(self) -> None:
        """Do one job after the other until None comes."""
        while (job := self.jobs.get()) is not None:
            function, task = job
            result = outcome.capture(function)
            self.token.run_sync_soon(trio.lowlevel.reschedule, task, result)

    async def write(self, function: Callable[..., None], *args: Any) -> None:
        """Wait, uncancellably, until the thread has committed."""
        self.jobs.put((partial(function, *args), trio.lowlevel.current_task()))
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
            await inbox.send([(id_, now()) for id_ in islice(ids, min(BATCH, n - start))])


async def start_runs(
    inbox: trio.MemoryReceiveChannel[list[Run]], ended: trio.MemorySendChannel[End], ledger: Ledger, write: Write
) -> None:
    """Commit what is asked for, then spawn it."""
    with ended:
        async with trio.open_nursery() as runs:
            async for batch in inbox:
                await write(ledger.start, batch, now())
                for id_, _ in batch:
                    runs.start_soon(run, id_, ended)


async def run(id_: bytes, ended: trio.MemorySendChannel[End]) -> None:
    """Perform one run behind its cancel scope, and say how it ended."""
    began = now()
    with trio.CancelScope(deadline=trio.current_time() + TIMEOUT) as scope:
        await nothing()
    end = (id_, "timed_out" if scope.cancelled_caught else "succeeded", began, now())
    try:
        ended.send_nowait(end)  # spares a run that finds room another turn of the loop
    except trio.WouldBlock:
        await ended.send(end)


async def nothing() -> None:
    """Be the body of every run."""


async def write_outcomes(ended: trio.MemoryReceiveChannel[End], ledger: Ledger, write: Write) -> None:
    """Commit what has ended, as much as is waiting in one transaction."""
    async for first in ended:
        ends = [first]
        try:
            while len(ends) < ROOM:
                ends.append(ended.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            pass
        await write(ledger.end, ends)


async def engine(n: int, ledger: Ledger, write: Write) -> None:
    """Take `n` runs from being asked for to their committed outcomes."""
    send_inbox, inbox = trio.open_memory_channel[list[Run]](1)
    send_ended, ended = trio.open_memory_channel[End](ROOM)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce, send_inbox, n)
        nursery.start_soon(start_runs, inbox, send_ended, ledger, write)
        nursery.start_soon(write_outcomes, ended, ledger, write)


async def timed(n: int, ledger: Ledger, threaded: bool) -> tuple[float, float]:
    """Run the engine; gives the seconds it took and the CPU seconds of the whole process."""
    writer = WriterThread() if threaded else None
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        await engine(n, ledger, writer.write if writer else write_inline)
        return time.perf_counter() - wall, time.process_time() - cpu
    finally:
        if writer:
            writer.close()


def alone(n: int, ledger: Ledger, most_ends: int = ROOM) -> tuple[float, float]:
    """Write what `n` runs write from a plain loop, `most_ends` ends in a transaction: nothing is run at all."""
    ids = iter(new_ids())
    wall, cpu = time.perf_counter(), time.process_time()
    for start in range(0, n, BATCH):
        runs = [(id_, now()) for id_ in islice(ids, min(BATCH, n - start))]
        ledger.start(runs, now())
        ends = [(id_, "succeeded", asked, now()) for id_, asked in runs]
        for part in range(0, len(ends), most_ends):
            ledger.end(ends[part : part + most_ends])
    return time.perf_counter() - wall, time.process_time() - cpu


WAYS: dict[str, Callable[[int, Ledger], tuple[float, float]]] = {
    "thread": lambda n, ledger: trio.run(timed, n, ledger, True),
    "inline": lambda n, ledger: trio.run(timed, n, ledger, False),
    "alone": alone,
}
ROWS = {"same": ("same", ("thread", "inline")), "bare": ("bare", ("thread", "inline")), "alone": ("same", ("alone",))}


def measure(n: int = 20_000, *, kind: str = "same", way: str = "thread", directory: Path | None = None) -> Result:
    """Measure `n` runs in a fresh database; RuntimeError unless each outcome is in it."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        ledger = KINDS[kind](Path(folder) / "floor.db")
        try:
            return judged(n, ledger, WAYS[way], way)
        finally:
            ledger.close()


def on_postgres(n: int, url: str) -> Result:
    """Measure what the rows of `n` runs cost on PostgreSQL, in batches of the size that callsheet's bus makes."""
    ledger = SamePostgres(url)
    try:
        return judged(n, ledger, lambda n, ledger: alone(n, ledger, MAX_BATCH), "alone")
    finally:
        ledger.close()


def judged(n: int, ledger: Ledger, work: Callable[[int, Ledger], tuple[float, float]], way: str) -> Result:
    """Measure `n` runs; RuntimeError unless the ledger then holds the outcome of each."""
    before = ledger.commits
    seconds, cpu = work(n, ledger)
    stored = ledger.stored()
    if stored != n:
        raise RuntimeError(f"only {stored} of {n} outcomes are in the database")
    return {
        "name": "floor",
        "way": way,
        "runs": n,
        "seconds": round(seconds, 4),
        "cpu_seconds": round(cpu, 4),
        "runs_per_second": round(n / seconds),
        "runs_per_cpu_second": round(n / cpu),
        "commits": ledger.commits - before,
        "resident_mib": machine.resident_here(),
    }


def main() -> None:
    """Measure all ways in turns, and print the fastest one's median."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", choices=ROWS, default="same")
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", type=Path, help="where to put the database")
    parser.add_argument("--url", help="a PostgreSQL database that is empty")
    options = parser.parse_args()
    calm_collector()
    if options.url:
        print(json.dumps(on_postgres(options.runs, options.url)))
        return
    kind, ways = ROWS[options.rows]
    found: dict[str, list[Result]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, results in found.items():
            results.append(measure(options.runs, kind=kind, way=way, directory=options.directory))
            print(results[-1], file=sys.stderr)
    medians = [median(results) for results in found.values()]
    floor = max(medians, key=rate)
    floor |= {f"{each['way']}_runs_per_second": rate(each) for each in medians}
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
