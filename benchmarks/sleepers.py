"""Sleepers: ten thousand instances running at once, what each takes of memory, and how soon all are cancelled."""

import time
from collections.abc import Iterator

from benchmarks.client import encode
from benchmarks.machine import KIB
from benchmarks.plan import Plan
from benchmarks.service import fresh
from benchmarks.table import Figure, over_rounds

MEMORY = 15  # KiB each
CANCELLED = 3.0  # seconds for all


def measure(plan: Plan) -> Iterator[Figure]:
    """Measure each round in a fresh service."""
    name = f"{plan.sleepers:,} sleepers at once"
    memory, started, cancelled = zip(*(_measure_once(plan) for _ in range(plan.rounds)), strict=True)
    yield over_rounds(name, "all running after", started, "s")
    yield over_rounds(name, "resident memory of each", memory, "KiB", target=MEMORY, bound="at most")
    yield over_rounds(name, "all cancelled and committed after", cancelled, "s", target=CANCELLED, bound="at most")


def _measure_once(plan: Plan) -> tuple[float, float, float]:
    """Return KiB of each, seconds until all run, and seconds until all are cancelled."""
    item = {"task": "sleep", "input": {"seconds": 3600}}
    body = encode({"items": [item] * plan.sleepers})
    with fresh(plan.directory) as service:
        before, began = service.resident(), time.perf_counter()
        service.client.ask("POST", "/v1/instances/batch", body)
        service.wait_for("sleep", "running", plan.sleepers)
        started = time.perf_counter() - began
        each = (service.resident() - before) / KIB / plan.sleepers
        began = time.perf_counter()
        service.client.ask("POST", "/v1/instances/cancel", encode({"task": "sleep"}))
        service.wait_for("sleep", "cancelled", plan.sleepers)
        return each, started, time.perf_counter() - began
