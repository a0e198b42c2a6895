"""Firing: schedules that are due every second; none may be missed, and all be on time."""

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

CALM = 1.5  # seconds between the last change and the window, and between the window and the end


@frozen
class Targets:
    """What may be, None: anything; milliseconds, and the share of a core in percent."""

    middle: float | None = None
    p99: float | None = None
    cpu: float | None = None


SPREAD, MANY, ALIGNED = Targets(2.0, 15.0, 35.0), Targets(p99=250.0), Targets()


@frozen
class Window:
    """A stretch of firing: from `start` to `end` (instants), and the share of one core it took."""

    anchors: dict[str, int]
    start: int
    end: int
    cpu: float


def measure(plan: Plan) -> Iterator[Figure]:
    """Measure schedules that come due all over the second, five times as many, and then all in the same instant."""
    name, seconds = f"firing: {plan.schedules:,} every 1 s, {plan.seconds} s", plan.seconds
    yield from _figures(name, *fired(plan, every_second(plan.schedules), seconds), SPREAD)
    name, seconds = f"firing: {plan.more_schedules:,} every 1 s, {plan.more_seconds} s", plan.more_seconds
    yield from _figures(name, *fired(plan, every_second(plan.more_schedules), seconds), MANY)
    now = time.time_ns() // 1000
    aligned = every_second(plan.schedules, anchor=now - now % SECOND)
    name = f"firing: {plan.schedules:,} in the same instant, {plan.more_seconds} s"
    yield from _figures(name, *fired(plan, aligned, plan.more_seconds), ALIGNED)


def fired(plan: Plan, documents: Documents, seconds: int) -> tuple[Account, Window]:
    """Let schedules fire in a service of their own."""
    with temporary(plan.directory) as folder:
        with serving(folder) as service:
            window = watch(service, documents, seconds)
        return settle(database_in(folder), window.anchors, window.start, window.end), window


def watch(service: Service, documents: Documents, seconds: int) -> Window:
    """Put schedules, and let them fire for some seconds."""
    anchors = anchored(service, documents)
    time.sleep(CALM)
    start, cpu = time.time_ns() // 1000, machine.cpu_seconds(service.pid)
    time.sleep(seconds)
    share = (machine.cpu_seconds(service.pid) - cpu) / seconds
    time.sleep(CALM)
    return Window(anchors, start, start + seconds * SECOND, share)


def anchored(service: Service, documents: Documents) -> dict[str, int]:
    """Put schedules; gives the anchor of each, as the API tells it."""
    records, _ = put(service.port, documents)
    return {name: parse_instant(record["trigger"]["anchor"]) for name, record in records.items()}


def _figures(name: str, account: Account, window: Window, target: Targets) -> Iterator[Figure]:
    yield Figure(name, "due times in the window", account.expected)
    yield Figure(name, "accounted for exactly once", account.accounted, target=account.expected)
    yield Figure(name, "recorded twice or wrongly", account.wrong, target=0, bound="at most")
    yield Figure(name, "missed, skipped or otherwise omitted", sum(account.omitted.values()), target=0, bound="at most")
    yield Figure(name, "ran and succeeded", account.succeeded)
    yield Figure(name, "lateness, median", account.late(0.5), "ms", target=target.middle, bound="at most")
    yield Figure(name, "lateness, p99", account.late(0.99), "ms", target=target.p99, bound="at most")
    yield Figure(name, "lateness, worst", account.late(1), "ms")
    yield Figure(name, "CPU of the process", window.cpu * 100, "% of a core", target=target.cpu, bound="at most")
