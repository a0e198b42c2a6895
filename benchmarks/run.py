"""Measure everything and print one table: throughput, firing, many schedules, sleepers.

    python benchmarks/run.py [--quick] [--only NAME]... [--json] [--write]

`--quick` takes about a minute; the targets are meant for the whole run, of about six. APScheduler 4 needs an
environment of its own: name its Python by --apscheduler-python or BENCH_APSCHEDULER_PYTHON, as README.md tells.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import evolve

from benchmarks import firing, machine, many_schedules, sleepers, throughput
from benchmarks.plan import QUICK, Plan
from benchmarks.table import Figure, render

RESULTS = Path(__file__).with_name("RESULTS.md")
MEASUREMENTS: dict[str, Callable[[Plan], Iterator[Figure]]] = {
    "throughput": throughput.measure,
    "firing": firing.measure,
    "many-schedules": many_schedules.measure,
    "sleepers": sleepers.measure,
}


def main() -> None:
    """Measure what is asked for, and show it."""
    options = _options()
    whole = QUICK if options.quick else Plan()
    plan = evolve(whole, rival_python=options.apscheduler_python, directory=options.directory)
    found = {
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "quick": options.quick,
        "machine": machine.describe(plan.directory),
    }
    figures = list(_measure(plan, options.only or list(MEASUREMENTS)))
    print(
        json.dumps(found | {"figures": [figure.as_json() for figure in figures]}) if options.json else render(figures)
    )
    if options.write:
        RESULTS.write_text(_page(found, figures))
    _say(machine.line(found["machine"]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less of everything, in about a minute")
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, help="measure this only; may be given again")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}, too")
    parser.add_argument(
        "--directory", type=lambda text: Path(text).resolve(strict=True), help="where to put the databases"
    )
    parser.add_argument(
        "--apscheduler-python", default=os.environ.get("BENCH_APSCHEDULER_PYTHON"), help="a Python with APScheduler 4"
    )
    return parser.parse_args()


def _measure(plan: Plan, names: list[str]) -> Iterator[Figure]:
    for name in names:
        _say(f"measuring {name} ...")
        for figure in MEASUREMENTS[name](plan):
            _say("  " + " ".join(filter(None, figure.cells()[1:])))
            yield figure


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _page(found: dict[str, Any], figures: list[Figure]) -> str:
    """Return RESULTS.md."""
    kind = "a quick run, so less of everything than the targets ask" if found["quick"] else "a whole run"
    return (
        f"# Results\n\nWritten by `python benchmarks/run.py --write`; {kind}, {found['at']}.\n"
        f"The service is the real `callsheet serve` on SQLite; README.md tells what each row means.\n\n"
        f"{machine.line(found['machine'])}\n\n{render(figures)}"
    )


if __name__ == "__main__":
    main()
