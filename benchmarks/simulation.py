"""How long a simulation takes: a week of ten five-minute schedules, 20,160 firings, in one process and in two.

Run it alone: `python benchmarks/simulation.py`.
"""

import random
import time
from collections.abc import Callable
from typing import Any

from callsheet.instants import DAY, parse_instant
from callsheet.simulation import Plan, Planned, Policy, fit_resolution
from callsheet.timetable import parse_trigger
from callsheet.virtual.parts import in_processes
from callsheet.virtual.simulate import one_by_one, simulate

START = parse_instant("2026-03-02T00:00:00Z")


def plan(trigger: Callable[[int], dict[str, Any]], *, spread: bool) -> Plan:
    """Return the week; `spread`: runs take 1 to 280 s instead of 10 s."""
    dice = random.Random(1)
    fates = [(dice.uniform(1, 280), "succeeded") for _ in range(200)] if spread else [(10.0, "succeeded")]
    schedules = [Planned(f"s{n}", {"task": "work", "trigger": trigger(n)}, fates, "schedule") for n in range(10)]
    triggers = [parse_trigger(one.document["trigger"], anchor=0) for one in schedules]
    return Plan(START, START + 7 * DAY, schedules, [Policy("work")], 1, fit_resolution(START, triggers))


def main() -> None:
    """Measure and print."""
    kinds: dict[str, Callable[[int], dict[str, Any]]] = {
        "cron */5": lambda _: {"cron": "*/5 * * * *"},
        "every 5m, made 7 ms apart": lambda n: {"every": 300, "anchor": f"2026-03-01T00:00:00.{7 * n:03}Z"},
        "every 5m, 30 s apart": lambda n: {"every": 300, "anchor": f"2026-03-01T00:{n // 2:02}:{n % 2 * 30:02}Z"},
    }
    for name, trigger in kinds.items():
        for spread in (False, True):
            week = plan(trigger, spread=spread)
            times = []
            for together in (one_by_one, in_processes):
                began = time.perf_counter()
                answer = simulate(week, together)
                times.append(f"{time.perf_counter() - began:6.2f} s")
            runs = "1 to 280 s" if spread else "10 s"
            print(f"{name:27} runs of {runs:10} {answer['firings']:,} firings  one {times[0]}  two {times[1]}")


if __name__ == "__main__":
    main()
