"""How long a simulation takes: a week of ten five-minute schedules, 20,160 firings, by the command and over the API."""

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from benchmarks.client import Client, encode
from benchmarks.plan import Plan
from benchmarks.service import SQLITE, serving, temporary
from benchmarks.table import Figure, over_rounds

NAME = "simulating a week of ten five-minute schedules"
WEEK = "7d"
FIRINGS = (20_150, 20_160)  # one may lie on the edge of the week
SECONDS = 2.0


@frozen
class Kind:
    """Ten schedules, and how long their runs take (seconds; none: nothing is known, which means 1 s)."""

    what: str
    trigger: Callable[[int], dict[str, Any]]
    runs: tuple[float, ...] = ()


def _apart(number: int) -> dict[str, Any]:
    return {"every": "5m", "anchor": f"2026-03-01T00:{number // 2:02}:{number % 2 * 30:02}Z"}


_DICE = random.Random(1)
KINDS = (
    Kind("cron */5", lambda _: {"cron": "*/5 * * * *"}),
    Kind(
        "cron */5, runs of 1 to 280 s",
        lambda _: {"cron": "*/5 * * * *"},
        tuple(_DICE.uniform(1, 280) for _ in range(99)),
    ),
    Kind("every 5m, put one after another", lambda _: {"every": "5m"}),
    Kind("every 5m, 30 s apart", _apart),
)


def measure(plan: Plan) -> Iterator[Figure]:
    """Measure each kind, by the command and over the API in turns."""
    for kind in KINDS:
        with temporary(plan.directory) as folder, serving(folder) as service:
            _put(service.client, kind)
            command, api = [], []
            for _ in range(plan.simulation_rounds):
                command.append(_timed(lambda: _by_command(folder, kind)))  # noqa: B023 - called at once
                api.append(_timed(lambda: _over_api(service.client, kind)))  # noqa: B023 - likewise
        for how, seconds in (("the command", command), ("the API", api)):
            yield over_rounds(NAME, f"{kind.what}: {how}", seconds, "s", target=SECONDS, bound="at most")


def _put(client: Client, kind: Kind) -> None:
    for number in range(10):
        document = {"task": "sleep", "input": {"seconds": 1}, "trigger": kind.trigger(number)}
        client.ask("PUT", f"/v1/schedules/s{number}", encode(document))


def _timed(simulate: Callable[[], int]) -> float:
    began = time.perf_counter()
    firings = simulate()
    seconds = time.perf_counter() - began
    if not FIRINGS[0] <= firings <= FIRINGS[1]:
        raise RuntimeError(f"{firings} firings in a week of ten five-minute schedules")
    return seconds


def _by_command(folder: Path, kind: Kind) -> int:
    given = [word for run in kind.runs for word in ("--task-seconds", f"sleep={run}")]
    command = [sys.executable, "-m", "callsheet", "simulate", "--database", SQLITE, "--to", WEEK, *given]
    told = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    line = next(line for line in told.splitlines() if line.startswith("firings"))
    return int(line.split()[1].rstrip(":").replace(",", ""))


def _over_api(client: Client, kind: Kind) -> int:
    durations = {"durations": {"sleep": list(kind.runs)}} if kind.runs else {}
    return int(client.ask("POST", "/v1/simulate", encode({"to": WEEK, **durations}))["firings"])
