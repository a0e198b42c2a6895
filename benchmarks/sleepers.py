"""Sleepers: a hundred thousand instances at once, what each takes of memory, and how soon all are cancelled.

Meanwhile somebody reads one of them again and again, and must not be kept waiting.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from attrs import frozen

from benchmarks.client import Client, encode
from benchmarks.load import percentile
from benchmarks.machine import KB
from benchmarks.plan import Plan
from benchmarks.processes import wait_until
from benchmarks.service import Service, fresh
from benchmarks.table import Figure, over_rounds

BATCH = 10_000
MEMORY = 10  # kB each
CANCELLED = 10.0  # seconds for all
ANSWERED = 250.0  # milliseconds
PROBE = 0.01  # seconds between two readings of the prober
LOOK = 0.1  # seconds between two looks at how far it is: each counts all of them


@frozen
class Measured:
    """One round: seconds and kilobytes, and the milliseconds that the prober's readings took, in rising order."""

    started: float
    each: float
    cancelled: float
    while_starting: list[float]
    while_cancelling: list[float]


def measure(plan: Plan) -> Iterator[Figure]:
    """Measure each round in a fresh service."""
    name = f"{plan.sleepers:,} sleepers at once"
    rounds = [_measure_once(plan) for _ in range(plan.sleeper_rounds)]
    yield over_rounds(name, "all running after", [each.started for each in rounds], "s")
    yield _answers(name, "an answer meanwhile, p99", [each.while_starting for each in rounds])
    yield over_rounds(
        name, "resident memory of each", [each.each for each in rounds], "kB", target=MEMORY, bound="at most"
    )
    cancelled = [each.cancelled for each in rounds]
    yield over_rounds(name, "all cancelled and committed after", cancelled, "s", target=CANCELLED, bound="at most")
    yield _answers(name, "an answer while they are cancelled, p99", [each.while_cancelling for each in rounds])


def _answers(name: str, what: str, rounds: list[list[float]]) -> Figure:
    found = [percentile(each, 0.99) for each in rounds]
    return over_rounds(name, what, found, "ms", target=ANSWERED, bound="at most")


def _measure_once(plan: Plan) -> Measured:
    with fresh(plan.directory) as service:
        before, began = service.resident(), time.perf_counter()
        first = _start(service, min(BATCH, plan.sleepers))
        with probing(service.port, first) as while_starting:
            for start in range(BATCH, plan.sleepers, BATCH):
                _start(service, min(BATCH, plan.sleepers - start))
            _wait_for(service, "running", plan.sleepers)
            started = time.perf_counter() - began
        each = (service.resident() - before) / KB / plan.sleepers
        with probing(service.port, first) as while_cancelling:
            began = time.perf_counter()
            service.client.ask("POST", "/v1/instances/cancel", encode({"task": "sleep"}))
            _wait_for(service, "cancelled", plan.sleepers)
            cancelled = time.perf_counter() - began
        return Measured(started, each, cancelled, sorted(while_starting), sorted(while_cancelling))


def _start(service: Service, count: int) -> str:
    """Start sleepers; gives the URI of one."""
    body = encode({"items": [{"task": "sleep", "input": {"seconds": 3600}}] * count})
    return str(service.client.ask("POST", "/v1/instances/batch", body)["items"][0]["uri"])


def _wait_for(service: Service, state: str, count: int) -> None:
    wait_until(lambda: service.outcomes("sleep")[state] >= count, pause=LOOK)


@contextmanager
def probing(port: int, path: str) -> Iterator[list[float]]:
    """Read something every 10 ms, each time after the answer before; the list fills with milliseconds."""
    found: list[float] = []
    over = threading.Event()

    def probe() -> None:
        with closing(Client(port)) as client:
            while not over.is_set():
                began = time.perf_counter()
                client.get(path)
                found.append((time.perf_counter() - began) * 1000)
                over.wait(PROBE)

    thread = threading.Thread(target=probe, name="prober")
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
