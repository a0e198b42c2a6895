"""No-op instances through callsheet, and what several rounds of them come to, its own and those of others."""

import time
from statistics import median
from typing import Any

from benchmarks import machine
from benchmarks.client import encode
from benchmarks.plan import Plan
from benchmarks.service import SQLITE, fresh
from benchmarks.table import Side

BATCH = 10_000
Results = list[dict[str, Any]]  # one for each round, as the scripts of floors and peers print them


def callsheet(plan: Plan, database: str = SQLITE) -> dict[str, Any]:
    """Run no-ops in a fresh service; gives what the scripts of the others give."""
    batches = [min(BATCH, plan.runs - start) for start in range(0, plan.runs, BATCH)]
    bodies = {size: encode({"items": [{"task": "noop", "input": None}] * size}) for size in batches}
    with fresh(plan.directory, database) as service:
        cpu, began = machine.cpu_seconds(service.pid), time.perf_counter()
        for size in batches:
            service.client.ask("POST", "/v1/instances/batch", bodies[size])
        service.wait_for("noop", "succeeded", plan.runs)
        seconds = time.perf_counter() - began
        used = machine.cpu_seconds(service.pid) - cpu
        memory = machine.resident(service.pid) / machine.MIB
    return {"runs": plan.runs, "runs_per_second": plan.runs / seconds, "cpu_seconds": used, "resident_mib": memory}


def rates_of(results: Results) -> list[float]:
    """Return the rate of each round."""
    return [float(each["runs_per_second"]) for each in results]


def cpu_of(results: Results) -> list[float]:
    """Return the microseconds of CPU for each run, of each round."""
    return [each["cpu_seconds"] / each["runs"] * 1e6 for each in results]


def side(work: str, who: str, keeps: str, results: Results, ours: Results) -> Side:
    """Return the row of somebody's rounds beside ours."""
    return Side.of(
        work, who, keeps, rates_of(results), "runs/s",
        cpu=median(cpu_of(results)), memory=median(each["resident_mib"] for each in results),
        ours=median(rates_of(ours)),
    )  # fmt: skip
