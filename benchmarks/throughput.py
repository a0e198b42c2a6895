"""Throughput: no-op instances from being asked for to their committed outcomes, beside the floor and APScheduler 4."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.client import encode
from benchmarks.plan import Plan
from benchmarks.service import fresh
from benchmarks.table import Figure, over_rounds

NAME = "throughput"
BATCH = 10_000
OF_FLOOR, OF_RIVAL = 0.3, 10
HERE = Path(__file__).parent


def measure(plan: Plan) -> Iterator[Figure]:
    """Measure the floor and callsheet in turns, then APScheduler."""
    floors, ours, cpu = [], [], []
    for _ in range(plan.rounds):
        floors.append(_floor(plan))
        rate, used = _callsheet(plan)
        ours.append(rate)
        cpu.append(used)
    yield over_rounds(NAME, "the floor: a bare Trio loop on SQLite", floors, "runs/s")
    yield over_rounds(NAME, f"callsheet: {plan.runs:,} through the API", ours, "runs/s")
    yield over_rounds(NAME, "CPU of callsheet for each", cpu, "µs")
    yield _against_floor(ours, floors)
    yield from _against_rival(plan, ours)


def _against_floor(ours: list[float], floors: list[float]) -> Figure:
    """Compare medians; the span is that of the rounds, each with its own floor."""
    ratios = [our / floor for our, floor in zip(ours, floors, strict=True)]
    middle = over_rounds(NAME, "", ours).value or 0, over_rounds(NAME, "", floors).value or 1
    return Figure(NAME, "callsheet / floor", middle[0] / middle[1], "×", min(ratios), max(ratios), OF_FLOOR)


def _against_rival(plan: Plan, ours: list[float]) -> Iterator[Figure]:
    rival = _rival(plan)
    rate = None if rival is None else float(rival["runs_per_second"])
    middle = over_rounds(NAME, "", ours).value or 0
    yield Figure(NAME, "APScheduler " + ("4" if rival is None else rival["apscheduler"]), rate, "runs/s")
    yield Figure(NAME, "callsheet / APScheduler 4", middle / rate if rate else None, "×", target=OF_RIVAL)


def _callsheet(plan: Plan) -> tuple[float, float]:
    """Run no-ops in a fresh service; gives runs per second, and microseconds of its CPU for each."""
    batches = [min(BATCH, plan.runs - start) for start in range(0, plan.runs, BATCH)]
    bodies = {size: encode({"items": [{"task": "noop", "input": None}] * size}) for size in batches}
    with fresh(plan.directory) as service:
        cpu, began = machine.cpu_seconds(service.pid), time.perf_counter()
        for size in batches:
            service.client.ask("POST", "/v1/instances/batch", bodies[size])
        service.wait_for("noop", "succeeded", plan.runs)
        seconds = time.perf_counter() - began
        used = machine.cpu_seconds(service.pid) - cpu
    return plan.runs / seconds, used / plan.runs * 1e6


def _floor(plan: Plan) -> float:
    """Return the runs per second of the floor: the faster of its two ways."""
    arguments = ["--runs", str(plan.runs), "--rounds", "1"]
    return float(_script(plan, sys.executable, "floor.py", *arguments)["runs_per_second"])


def _rival(plan: Plan) -> dict[str, Any] | None:
    if plan.rival_python is None:
        return None
    return _script(plan, plan.rival_python, "apscheduler4.py", "--runs", str(plan.rival_runs))


def _script(plan: Plan, python: str, name: str, *arguments: str) -> dict[str, Any]:
    """Run a script beside this one, and give the JSON of its last line."""
    where = [] if plan.directory is None else ["--directory", str(plan.directory)]
    ended = subprocess.run([python, str(HERE / name), *arguments, *where], capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise RuntimeError(f"{name} failed:\n{ended.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found
