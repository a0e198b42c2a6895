"""Measure everything and print two tables: the figures with their targets, and who did the same work beside us.

    python benchmarks/run.py [--quick] [--only NAME]... [--json] [--write]

`--quick` takes less than two minutes; the targets are meant for the whole run. Those that we compare with are found in
the environments that `make bench` makes, or by --peers and --apscheduler4; without them their rows say so.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import evolve

from benchmarks import firing, history, machine, many_schedules, on_postgres, outputs, over_http, sleepers, throughput
from benchmarks.plan import QUICK, Plan
from benchmarks.processes import ROOT
from benchmarks.table import Figure, Side, render, render_sides

RESULTS = Path(__file__).with_name("RESULTS.md")
MEASUREMENTS: dict[str, Callable[[Plan], Iterator[Figure | Side]]] = {
    "throughput": throughput.measure,
    "postgres": on_postgres.measure,
    "http": over_http.measure,
    "firing": firing.measure,
    "many-schedules": many_schedules.measure,
    "sleepers": sleepers.measure,
    "outputs": outputs.measure,
    "history": history.measure,
}


def main() -> None:
    """Measure what is asked for, and show it."""
    options = _options()
    whole = QUICK if options.quick else Plan()
    directory = options.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    plan = evolve(whole, peers=options.peers, apscheduler4=options.apscheduler4, directory=directory)
    found = {
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "quick": options.quick,
        "machine": machine.describe(plan.directory),
    }
    parts = list(_measure(plan, options.only or list(MEASUREMENTS)))
    figures = [part for part in parts if isinstance(part, Figure)]
    sides = [part for part in parts if isinstance(part, Side)]
    if options.json:
        print(
            json.dumps(
                found
                | {name: [part.as_json() for part in every] for name, every in (("figures", figures), ("sides", sides))}
            )
        )
    else:
        print(render(figures) + ("\n" + render_sides(sides) if sides else ""))
    if options.write:
        RESULTS.write_text(_page(found, figures, sides))
    _say(machine.line(found["machine"]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less of everything, in less than two minutes")
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, help="measure this only; may be given again")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the tables")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}, too")
    parser.add_argument(
        "--directory", type=Path, default=ROOT / ".bench", help="where databases go, and large ones stay"
    )
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


def _page(found: dict[str, Any], figures: list[Figure], sides: list[Side]) -> str:
    """Return RESULTS.md."""
    kind = "a quick run, so less of everything than the targets ask" if found["quick"] else "a whole run"
    beside = f"\n## Beside others\n\n{render_sides(sides)}" if sides else ""
    return (
        f"# Results\n\nWritten by `make bench`; {kind}, {found['at']}.\n"
        f"The service is the real `callsheet serve`; README.md tells what each row means.\n\n"
        f"{machine.line(found['machine'])}\n\n{render(figures)}{beside}"
    )


if __name__ == "__main__":
    main()
