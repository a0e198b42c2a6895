"""The least that small outputs can cost here: rows of the table `output` on the standard sqlite3.

    python benchmarks/floor_outputs.py [--values 100000] [--way loop|alone] [--directory DIR]

`loop`: a Trio task sends values, each at a checkpoint of its own and as JSON, over a bounded channel to a writer, which
has a thread write all that waits in one transaction. `alone`: the same rows from a plain loop, nothing is sent. Both on
callsheet's own schema and with its settings of a connection, at most as many rows in a transaction as callsheet's bus
takes. The last line of the output is JSON.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import trio

from actors.bus import MAX_BATCH
from benchmarks.floor import ROOM, WriterThread, calm_collector
from benchmarks.ledgers import Same, insert, new_ids, now

Row = tuple[bytes, int, int, str]
INSERT = insert("output", "instance, seq, at, value")


def row_of(instance: bytes, value: int) -> Row:
    """Return the row of a value, which is its number, too."""
    return instance, value, now(), msgspec.json.encode(value).decode()


def alone(n: int, instance: bytes, ledger: Same) -> None:
    """Write all rows from a plain loop."""
    for start in range(0, n, MAX_BATCH):
        ledger.write((INSERT, [row_of(instance, value) for value in range(start, min(start + MAX_BATCH, n))]))


async def loop(n: int, instance: bytes, ledger: Same) -> None:
    """Send all values from a task."""
    send, receive = trio.open_memory_channel[Row](ROOM)
    writer = WriterThread()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send, n, instance, send)
            nursery.start_soon(_write, receive, ledger, writer)
    finally:
        writer.close()


async def _send(n: int, instance: bytes, channel: trio.MemorySendChannel[Row]) -> None:
    with channel:
        for value in range(n):
            await channel.send(row_of(instance, value))


async def _write(channel: trio.MemoryReceiveChannel[Row], ledger: Same, writer: WriterThread) -> None:
    async for first in channel:
        rows = [first]
        try:
            while len(rows) < MAX_BATCH:
                rows.append(channel.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            pass
        await writer.write(ledger.write, (INSERT, rows))


WAYS: dict[str, Callable[[int, bytes, Same], None]] = {
    "loop": lambda n, instance, ledger: trio.run(loop, n, instance, ledger),
    "alone": alone,
}


def measure(n: int, way: str, directory: Path | None = None) -> dict[str, Any]:
    """Measure `n` values in a fresh database; RuntimeError unless each is in it."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        ledger = Same(Path(folder) / "floor.db")
        instance = next(iter(new_ids()))
        ledger.start([(instance, now())], now())
        wall, cpu = time.perf_counter(), time.process_time()
        WAYS[way](n, instance, ledger)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        ((stored,),) = ledger.connection.execute("select count(*) from output")
        ledger.close()
    if stored != n:
        raise RuntimeError(f"only {stored} of {n} outputs are in the database")
    return {"way": way, "values": n, "values_per_second": round(n / wall), "cpu_seconds": round(cpu, 4)}


def main() -> None:
    """Measure once and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--values", type=int, default=100_000)
    parser.add_argument("--way", choices=WAYS, default="loop")
    parser.add_argument("--directory", type=Path, help="where to put the database")
    options = parser.parse_args()
    calm_collector()
    print(json.dumps(measure(options.values, options.way, options.directory)))


if __name__ == "__main__":
    main()
