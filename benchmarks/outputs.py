"""Outputs: one instance sends a hundred thousand small values; how fast they are kept, and what that does to the loop.

The floor is a bare Trio task that sends the same, and what its rows cost by themselves: `floor_outputs.py`.
"""

import sys
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.client import encode
from benchmarks.plan import Plan
from benchmarks.processes import script, wait_until
from benchmarks.service import Service, fresh
from benchmarks.table import Figure, over_rounds, ratio

OF_FLOOR = 0.5
LAG = 50.0  # milliseconds
CALM = 1.2  # seconds in which the watcher tells what it saw before and after


def measure(plan: Plan) -> Iterator[Figure]:
    """Measure the floors and callsheet in turns."""
    name = f"outputs: {plan.outputs:,} small values from one instance"
    floors, alone, rates, lags = [], [], [], []
    for _ in range(plan.output_rounds):
        floors.append(_floor(plan, "loop"))
        alone.append(_floor(plan, "alone"))
        rate, lag = _sent(plan)
        rates.append(rate)
        lags.append(lag)
    yield over_rounds(name, "the floor: the same rows from a bare Trio loop", floors, "rows/s")
    yield over_rounds(name, "the same rows alone", alone, "rows/s")
    yield over_rounds(name, "sent and committed", rates, "rows/s")
    yield ratio(name, "callsheet / the floor", rates, floors, OF_FLOOR, floor=True)
    yield ratio(name, "callsheet / the same rows alone", rates, alone, None)
    yield over_rounds(name, "the loop late, at most", lags, "ms", target=LAG, bound="at most")


def _floor(plan: Plan, way: str) -> float:
    found = script(sys.executable, "floor_outputs.py", "--values", plan.outputs, "--way", way, directory=plan.directory)
    return float(found["values_per_second"])


def _sent(plan: Plan) -> tuple[float, float]:
    """Return values a second, and by how many milliseconds the loop was late at most."""
    with fresh(plan.directory) as service:
        watcher = _start(service, "watch_loop", None)
        time.sleep(CALM)
        before = len(_outputs(service, watcher))
        began = time.perf_counter()
        _start(service, "send_many", {"count": plan.outputs})
        wait_until(lambda: service.outcomes("send_many")["succeeded"] == 1, pause=0.02)
        rate = plan.outputs / (time.perf_counter() - began)
        time.sleep(CALM)
        lags = _outputs(service, watcher)[before:]
        service.client.ask("POST", "/v1/instances/cancel", encode({"task": "watch_loop"}))
        service.wait_for("watch_loop", "cancelled", 1)
    return rate, max(lags) * 1000


def _start(service: Service, task: str, given: Any) -> str:
    uri = service.client.ask("POST", "/v1/instances", encode({"task": task, "input": given}))["uri"]
    return str(uri)


def _outputs(service: Service, uri: str) -> list[float]:
    """Return all values that an instance has sent so far."""
    values: list[float] = []
    page = service.client.get(f"{uri}/outputs?limit=200")
    while True:
        values += [item["value"] for item in page["items"]]
        if page.get("next") is None:
            return values
        page = service.client.get(f"{uri}/outputs?limit=200&cursor={page['next']}")
