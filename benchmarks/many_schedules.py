"""A million schedules that are due tomorrow: what they cost today, in memory, start-up and punctuality."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import schedules
from benchmarks.account import Account, settle
from benchmarks.firing import watch
from benchmarks.machine import MB, MIB
from benchmarks.plan import Plan
from benchmarks.seeding import BATCH, seed
from benchmarks.service import database_in, serving, temporary
from benchmarks.table import Figure, over_rounds
from callsheet.instants import DAY, SECOND

MEMORY = 20  # MB more
START = 1.0  # seconds until ready
RATE = 10_000  # schedules a second
PUNCTUAL = 25.0  # milliseconds at p99


def measure(plan: Plan) -> Iterator[Figure]:
    """Measure a service with many schedules beside one without, in turns."""
    name = f"{plan.many:,} schedules due tomorrow"
    with temporary(plan.directory) as folder:
        without, full = folder / "without", folder / "with"
        rate = seed(full, plan.many, time.time_ns() // 1000 + DAY)
        yield Figure(name, f"created by batches of {BATCH:,}", rate, "schedules/s", target=RATE)
        yield Figure(name, "size of the database", database_in(full).stat().st_size / MIB, "MiB")
        yield from _starts(plan, name, without, full)
        yield from _punctuality(plan, name, without, full)


def _starts(plan: Plan, name: str, without: Path, full: Path) -> Iterator[Figure]:
    """Start both in turns, and compare how soon they are ready and what they hold."""
    pairs = [(_started(without), _started(full)) for _ in range(plan.start_rounds)]
    memory = [more[1] - base[1] for base, more in pairs]
    yield over_rounds(name, "ready without them", [base[0] for base, _ in pairs], "s")
    yield over_rounds(name, "ready with them", [more[0] for _, more in pairs], "s", target=START, bound="at most")
    yield over_rounds(name, "resident without them", [base[1] for base, _ in pairs], "MB")
    yield over_rounds(name, "resident more with them", memory, "MB", target=MEMORY, bound="at most")


def _started(folder: Path) -> tuple[float, float]:
    """Start a service; gives the seconds until it was ready, and its memory in MB."""
    with serving(folder) as service:
        return service.seconds_to_ready, service.resident() / MB


def _punctuality(plan: Plan, name: str, without: Path, full: Path) -> Iterator[Figure]:
    """Let a few schedules fire each second in both at once, and compare how late they are."""
    alone, among = _tick(plan, without, full)
    yield Figure(name, f"{plan.tickers} firing each second, without them: median", alone.late(0.5), "ms")
    yield Figure(name, "with them: median", among.late(0.5), "ms")
    yield Figure(name, "without them: p99", alone.late(0.99), "ms")
    yield Figure(name, "with them: p99", among.late(0.99), "ms", target=PUNCTUAL, bound="at most")
    yield Figure(name, "due times with them", among.expected)
    yield Figure(name, "accounted for exactly once", among.accounted, target=among.expected)


def _tick(plan: Plan, *folders: Path) -> list[Account]:
    """Run services side by side, so that whatever disturbs one disturbs all; their due times take turns."""
    now, step = time.time_ns() // 1000, SECOND // plan.tickers
    parts = [(folder, now + step * turn // len(folders)) for turn, folder in enumerate(folders)]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda part: _ticked(plan, *part, step), parts))


def _ticked(plan: Plan, folder: Path, anchor: int, step: int) -> Account:
    with serving(folder) as service:
        window = watch(service, schedules.every_second(plan.tickers, anchor, step), plan.more_seconds)
    return settle(database_in(folder), window.anchors, window.start, window.end)
