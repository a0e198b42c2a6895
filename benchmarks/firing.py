"""Firing: a thousand schedules, each due every second; none may be missed, and all be on time."""

import time
from collections.abc import Iterator

from attrs import frozen

from benchmarks import machine
from benchmarks.account import Account, settle
from benchmarks.plan import Plan
from benchmarks.schedules import Documents, every_second, put
from benchmarks.service import Service, database_in, serving, temporary
from benchmarks.table import Figure
from callsheet.instants import SECOND, parse_instant

LATEST = 50.0  # milliseconds
CALM = 1.5  # seconds between the last change and the window, and between the window and the end


@frozen
class Window:
    """A stretch of firing: from `start` to `end` (instants), and the share of one core it took."""

    anchors: dict[str, int]
    start: int
    end: int
    cpu: float


def measure(plan: Plan) -> Iterator[Figure]:
    """Measure schedules that come due all over the second, and then all in the same instant."""
    spread = fired(plan, every_second(plan.schedules))
    yield from _figures(f"firing: {plan.schedules:,} every 1 s, {plan.seconds} s", *spread, target=LATEST)
    now = time.time_ns() // 1000
    aligned = fired(plan, every_second(plan.schedules, anchor=now - now % SECOND))
    yield from _figures("the same, all due in the same instant", *aligned, target=None)


def fired(plan: Plan, documents: Documents) -> tuple[Account, Window]:
    """Let schedules fire in a service of their own."""
    with temporary(plan.directory) as folder:
        with serving(folder) as service:
            window = watch(service, documents, plan.seconds)
        return settle(database_in(folder), window.anchors, window.start, window.end), window


def watch(service: Service, documents: Documents, seconds: int) -> Window:
    """Put schedules, and let them fire for some seconds."""
    records, _ = put(service.port, documents)
    anchors = {name: parse_instant(record["trigger"]["anchor"]) for name, record in records.items()}
    time.sleep(CALM)
    start, cpu = time.time_ns() // 1000, machine.cpu_seconds(service.pid)
    time.sleep(seconds)
    share = (machine.cpu_seconds(service.pid) - cpu) / seconds
    time.sleep(CALM)
    return Window(anchors, start, start + seconds * SECOND, share)


def _figures(name: str, account: Account, window: Window, target: float | None) -> Iterator[Figure]:
    yield Figure(name, "due times in the window", account.expected)
    yield Figure(name, "accounted for exactly once", account.accounted, target=account.expected)
    yield Figure(name, "recorded twice or wrongly", account.wrong, target=0, bound="at most")
    yield Figure(name, "missed, skipped or otherwise omitted", sum(account.omitted.values()), target=0, bound="at most")
    yield Figure(name, "ran and succeeded", account.succeeded)
    yield Figure(name, "lateness, median", account.late(0.5), "ms")
    yield Figure(name, "lateness, p99", account.late(0.99), "ms", target=target, bound="at most")
    yield Figure(name, "lateness, worst", account.late(1), "ms")
    yield Figure(name, "CPU of the process", window.cpu * 100, "% of a core")
