"""Throughput: no-op instances from being asked for to their committed outcomes, beside the floors and others."""

import sys
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

from benchmarks import machine
from benchmarks.client import encode
from benchmarks.plan import Plan
from benchmarks.processes import script
from benchmarks.service import fresh
from benchmarks.table import Figure, Side, over_rounds, ratio

NAME = "throughput on SQLite"
BATCH = 10_000
OF_FLOOR, OF_PEER = 0.5, 10
FLOORS = {
    "same": "the floor: the same rows from a bare Trio loop",
    "bare": "the bare floor: two rows from a bare Trio loop",
    "alone": "the same rows alone, nothing is run",
}
FULL = "SQLite WAL, synchronous=FULL"
Results = list[dict[str, Any]]


def measure(plan: Plan) -> Iterator[Figure | Side]:
    """Measure the floors and callsheet in turns."""
    floors: dict[str, Results] = {rows: [] for rows in FLOORS}
    ours: Results = []
    for _ in range(plan.rounds):
        for rows, found in floors.items():
            found.append(_floor(plan, rows))
        ours.append(callsheet(plan))
    for rows, name in FLOORS.items():
        yield _side(name, FULL, floors[rows], ours)
    yield _side("callsheet", f"start, outcome, events; {FULL}", ours, ours)
    rates = rates_of(ours)
    yield over_rounds(NAME, f"callsheet: {plan.runs:,} through the API", rates, "runs/s")
    yield over_rounds(NAME, "CPU of callsheet for each", [each["cpu_seconds"] / plan.runs * 1e6 for each in ours], "µs")
    yield ratio(NAME, "callsheet / the floor", rates, rates_of(floors["same"]), OF_FLOOR, floor=True)
    yield ratio(NAME, "callsheet / the bare floor", rates, rates_of(floors["bare"]), None)
    yield ratio(NAME, "callsheet / the same rows alone", rates, rates_of(floors["alone"]), None)


def rates_of(results: Results) -> list[float]:
    """Return the rate of each round."""
    return [float(each["runs_per_second"]) for each in results]


def _side(who: str, keeps: str, results: Results, ours: Results) -> Side:
    return side(NAME, who, keeps, results, ours)


def side(work: str, who: str, keeps: str, results: Results, ours: Results) -> Side:
    """Return the row of somebody's rounds beside ours."""
    return Side.of(
        work, who, keeps, rates_of(results), "runs/s",
        cpu=median(each["cpu_seconds"] / each["runs"] * 1e6 for each in results),
        memory=median(each["resident_mib"] for each in results),
        ours=median(rates_of(ours)),
    )  # fmt: skip


def callsheet(plan: Plan, **options: str) -> dict[str, Any]:
    """Run no-ops in a fresh service; gives what the scripts of the others give."""
    batches = [min(BATCH, plan.runs - start) for start in range(0, plan.runs, BATCH)]
    bodies = {size: encode({"items": [{"task": "noop", "input": None}] * size}) for size in batches}
    with fresh(plan.directory, **options) as service:
        cpu, began = machine.cpu_seconds(service.pid), time.perf_counter()
        for size in batches:
            service.client.ask("POST", "/v1/instances/batch", bodies[size])
        service.wait_for("noop", "succeeded", plan.runs)
        seconds = time.perf_counter() - began
        used = machine.cpu_seconds(service.pid) - cpu
        memory = machine.resident(service.pid) / machine.MIB
    return {
        "runs": plan.runs,
        "runs_per_second": plan.runs / seconds,
        "cpu_seconds": used,
        "resident_mib": memory,
    }


def _floor(plan: Plan, rows: str) -> dict[str, Any]:
    """Run a floor: the faster of its ways."""
    arguments = ["--rows", rows, "--runs", plan.runs, "--rounds", 1]
    return script(sys.executable, "floor.py", *arguments, directory=plan.directory)
