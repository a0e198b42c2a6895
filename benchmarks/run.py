"""Measure everything and print two tables: the figures with their targets, and who did the same work beside us.

    python benchmarks/run.py [--quick] [--only NAME]... [--json] [--write]

`--quick` takes less than two minutes; the targets are meant for the whole run. Those that we compare with are found in
the environments that `make bench` makes, or by --peers and --apscheduler4; without them their rows say so.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import evolve

from benchmarks import (
    firing,
    history,
    machine,
    many_schedules,
    on_postgres,
    outputs,
    over_http,
    report,
    simulation,
    sleepers,
    throughput,
)
from benchmarks.plan import QUICK, Plan
from benchmarks.processes import ROOT
from benchmarks.table import Figure, Side, render, render_sides

DIRECTORY = ROOT / ".bench"
MEASUREMENTS: dict[str, Callable[[Plan], Iterator[Figure | Side]]] = {
    "throughput": throughput.measure,
    "postgres": on_postgres.measure,
    "http": over_http.measure,
    "firing": firing.measure,
    "many-schedules": many_schedules.measure,
    "sleepers": sleepers.measure,
    "outputs": outputs.measure,
    "simulation": simulation.measure,
    "history": history.measure,
}


def main() -> None:
    """Measure what is asked for, and show it."""
    options = _options()
    whole = QUICK if options.quick else Plan()
    directory = options.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    plan = evolve(whole, peers=options.peers, apscheduler4=options.apscheduler4, directory=directory)
    began = time.monotonic()
    found = {
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "quick": options.quick,
        "machine": machine.describe(plan.directory),
    }
    parts = list(_measure(plan, options.only or list(MEASUREMENTS)))
    found["minutes"] = round((time.monotonic() - began) / 60, 1)
    figures = [part for part in parts if isinstance(part, Figure)]
    sides = [part for part in parts if isinstance(part, Side)]
    _show(options, found, figures, sides)
    _say(f"{machine.line(found['machine'])}; {found['minutes']} minutes")


def _show(options: argparse.Namespace, found: dict[str, Any], figures: list[Figure], sides: list[Side]) -> None:
    remarks = report.read_remarks()
    if options.json:
        every = {"figures": [one.as_json() for one in figures], "sides": [one.as_json() for one in sides]}
        print(json.dumps(found | every))
    else:
        print(render(figures) + ("\n" + render_sides(sides) if sides else ""))
    if options.write:
        report.RESULTS.write_text(report.page(found, figures, sides, remarks))
    for one in [] if options.quick else report.stale(figures, remarks):
        _say(f"{report.REMARKS.name} has a remark on what does not fall short: {one}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less of everything, in less than two minutes")
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, help="measure this only; may be given again")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the tables")
    parser.add_argument("--write", action="store_true", help=f"write {report.RESULTS.name}, too")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="where databases go, and large ones stay")
    parser.add_argument("--peers", type=Path, default=_python(".venv-bench"), help="a Python with most of the others")
    parser.add_argument(
        "--apscheduler4", type=Path, default=_python(".venv-bench-aps4"), help="a Python with APScheduler 4"
    )
    return parser.parse_args()


def _python(environment: str) -> Path | None:
    """Return the Python of an environment that `make bench` has made."""
    found = ROOT / environment / "bin" / "python"
    return found if found.exists() else None


def _measure(plan: Plan, names: list[str]) -> Iterator[Figure | Side]:
    for name in names:
        _say(f"measuring {name} ...")
        for part in MEASUREMENTS[name](plan):
            _say("  " + " ".join(filter(None, part.cells()[1:])))
            yield part


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
