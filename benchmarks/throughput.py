"""Throughput: no-op instances from being asked for to their committed outcomes, beside the floors and others."""

import sys
from collections.abc import Iterator
from statistics import median
from typing import Any

from benchmarks.noops import Results, callsheet, cpu_of, rates_of, side
from benchmarks.others import ON_SQLITE, Peer, run, sides
from benchmarks.plan import Plan
from benchmarks.processes import script
from benchmarks.table import Figure, Side, over_rounds, ratio

NAME = "throughput on SQLite"
OF_FLOOR, OF_PEER = 0.5, 10
FLOORS = {
    "same": ("the floor: the same rows from a bare Trio loop", "start, outcome, events"),
    "bare": ("the bare floor: two rows from a bare Trio loop", "start, outcome"),
    "alone": ("the same rows alone, nothing is run", "start, outcome, events"),
}
FULL = "SQLite WAL, synchronous=FULL"


def measure(plan: Plan) -> Iterator[Figure | Side]:
    """Measure the floors and callsheet in turns, then the others."""
    floors: dict[str, Results] = {rows: [] for rows in plan.floors}
    ours: Results = []
    for _ in range(plan.rounds):
        for rows, results in floors.items():
            results.append(_floor(plan, rows))
        ours.append(callsheet(plan))
    for rows, results in floors.items():
        who, keeps = FLOORS[rows]
        yield side(NAME, who, f"{keeps}; {FULL}", results, ours)
    yield side(NAME, "callsheet", f"start, outcome, events; {FULL}", ours, ours)
    found = {peer: [run(plan, peer) for _ in range(plan.peer_rounds)] for peer in ON_SQLITE if peer.python(plan)}
    yield from sides(NAME, found, ours)
    yield from _figures(plan, ours, floors, found)


def _figures(plan: Plan, ours: Results, floors: dict[str, Results], found: dict[Peer, Results]) -> Iterator[Figure]:
    rates = rates_of(ours)
    yield over_rounds(NAME, f"callsheet: {plan.runs:,} through the API", rates, "runs/s")
    yield over_rounds(NAME, "CPU of callsheet for each", cpu_of(ours), "µs")
    yield ratio(NAME, "callsheet / the floor", rates, rates_of(floors["same"]), OF_FLOOR, floor=True)
    for rows, what in (("bare", "the bare floor"), ("alone", "the same rows alone")):
        if rows in floors:
            yield ratio(NAME, f"callsheet / {what}", rates, rates_of(floors[rows]), None)
    yield _against_the_fastest(rates, found)


def _against_the_fastest(rates: list[float], found: dict[Peer, Results]) -> Figure:
    """Compare with the fastest of those that store outcomes."""
    keeping = [results for results in found.values() if results[0]["outcomes"]]
    fastest = max(keeping, key=lambda results: median(rates_of(results)), default=[])
    who = fastest[0]["name"] if fastest else "the fastest other"
    return ratio(NAME, f"callsheet / {who}, the fastest that keeps outcomes", rates, rates_of(fastest), OF_PEER)


def _floor(plan: Plan, rows: str) -> dict[str, Any]:
    """Run a floor: the faster of its ways."""
    arguments = ["--rows", rows, "--runs", plan.runs, "--rounds", 1]
    return script(sys.executable, "floor.py", *arguments, directory=plan.directory)
