"""A long history: pages of it, claims beside it, and how it is pruned while schedules fire."""

import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from uuid import UUID

from attrs import frozen

from benchmarks import history_file, pages, schedules
from benchmarks.account import settle
from benchmarks.firing import CALM, anchored
from benchmarks.history_file import Shape, Standing
from benchmarks.machine import MIB
from benchmarks.plan import Plan
from benchmarks.processes import wait_until
from benchmarks.service import SQLITE, serving, temporary
from benchmarks.table import Figure, over_rounds, ratio
from callsheet.ids import IdMaker, lowest_id
from callsheet.instants import SECOND
from callsheet.tasks import Registry
from storage.database import Database, open_database, this_node
from storage.journal.commands import Claim, Command, EndInstance
from storage.journal.facts import InstanceStarted
from storage.journal.journal import Applied, Journal
from storage.migrate import migrations
from storage.queries.stats import stats

PAGE = 20.0  # milliseconds
UNCHANGED = 1.5  # times as long as without history: less is noise
LATE = 100.0  # milliseconds
TURNS = 5  # of claims
LIMIT = 500  # schedules in one claim


def measure(plan: Plan) -> Iterator[Figure]:
    """Measure on a copy of the history, which is made once and kept."""
    name = f"a history of {plan.history:,} instances"
    kept = kept_file(plan)
    yield Figure(name, "size of the database", kept.stat().st_size / MIB, "MiB")
    with temporary(plan.directory) as folder:
        copy, without = folder / "with" / "callsheet.db", folder / "without.db"
        copy.parent.mkdir()
        shutil.copyfile(kept, copy)
        shape = _shape_of(copy)
        yield from _pages(name, copy, shape)
        history_file.fill(without, shape, empty=True)
        yield from _claims(name, claimed(without, shape), claimed(copy, shape))
        yield from _pruning(plan, name, copy)


def kept_file(plan: Plan) -> Path:
    """Return the file with the history, made now unless it is there already."""
    assert plan.directory is not None
    path = plan.directory / f"history-{plan.history}-schema{len(migrations('sqlite'))}.db"
    if not path.exists():
        print(f"  making {path} ...", file=sys.stderr, flush=True)
        made = path.with_suffix(".making")
        made.unlink(missing_ok=True)
        history_file.make(made, plan.history)
        made.with_name(made.name + ".lock").unlink(missing_ok=True)
        made.rename(path)
    return path


def _shape_of(path: Path) -> Shape:
    """Return the shape of a file that may have been made long ago: by its last turn."""
    with closing(sqlite3.connect(path)) as connection:
        many, coming, turns = connection.execute(
            "SELECT count(*), min(next_due), max(run_count) FROM schedule"
        ).fetchone()
    return Shape(many, turns, history_file.SPAN // turns // SECOND * SECOND, coming)


def _pages(name: str, path: Path, shape: Shape) -> Iterator[Figure]:
    with _opened(path) as database:
        for read in pages.read_all(database, shape, _loudest(path)):
            yield Figure(name, f"a page of {read.kind}", read.slowest, "ms", read.fastest, read.worst, PAGE, "at most")
        began = time.perf_counter()
        stats(database, task=None, schedule=None, since=None)
        yield Figure(name, "stats of everything, which counts it", time.perf_counter() - began, "s")


def _loudest(path: Path) -> UUID:
    with closing(sqlite3.connect(path)) as connection:
        return UUID(bytes=connection.execute("SELECT max(id) FROM instance").fetchone()[0])


def _opened(path: Path) -> closing[Database]:
    return closing(open_database(f"sqlite:///{path}", time.time_ns() // 1000))


@frozen
class Claims:
    """What claims took, in milliseconds for 500 due times: those that run, and those whose schedule is busy."""

    ran: list[float]
    busy: list[float]


def claimed(path: Path, shape: Shape) -> Claims:
    """Let all schedules come due again and again, in turns: free, and then with an instance that still runs."""
    clock, ids, tasks = Standing(shape.end), IdMaker(), Registry()
    tasks.load_builtin(commands=False)
    tasks.load(str(history_file.HERE))
    claims = Claims([], [])
    with _opened(path) as database:
        journal = Journal(database, this_node("bench", ids.make(clock.now())), tasks, clock, ids)
        journal.register()
        for _ in range(TURNS):
            clock.instant += shape.period
            took, runs = _claim_all(journal, clock, shape)
            claims.ran.append(took)
            clock.instant += shape.period
            claims.busy.append(_claim_all(journal, clock, shape)[0])
            _apply(journal, *(EndInstance(run, "succeeded", clock.now(), clock.now()) for run in runs))
    return claims


def _claim_all(journal: Journal, clock: Standing, shape: Shape) -> tuple[float, list[InstanceStarted]]:
    """Claim all that is due; gives the milliseconds for 500 of it, and what runs now."""
    awake, began = clock.now() - shape.period, time.perf_counter()
    runs: list[InstanceStarted] = []
    for _ in range(-(-shape.schedules // LIMIT)):
        applied = _apply(journal, Claim(awake_since=awake, limit=LIMIT))
        runs += [fact for fact in applied.facts if isinstance(fact, InstanceStarted)]
    return (time.perf_counter() - began) * 1000 / shape.schedules * LIMIT, runs


def _apply(journal: Journal, *commands: Command) -> Applied:
    applied = journal.apply(list(commands))
    for verdict in applied.verdicts:
        if verdict.error is not None:
            raise verdict.error
    return applied


def _claims(name: str, without: Claims, among: Claims) -> Iterator[Figure]:
    for what, base, more in (
        ("500 claims that run", without.ran, among.ran),
        ("500 claims of busy schedules", without.busy, among.busy),
    ):
        yield over_rounds(name, f"{what}, without the history", base, "ms")
        yield over_rounds(name, f"{what}, with it", more, "ms")
        yield ratio(name, f"{what}: with / without", [median(more)], [median(base)], UNCHANGED, bound="at most")


def _pruning(plan: Plan, name: str, path: Path) -> Iterator[Figure]:
    """Let the oldest part become too old while a few schedules fire each second."""
    if plan.pruned == 0:
        yield Figure(name, "lateness while history is pruned, worst", None, "ms", target=LATE, bound="at most")
        return
    until = _prepare(path, plan.pruned)
    age = (time.time_ns() // 1000 - until) // SECOND
    with serving(path.parent, SQLITE, "--keep-for", f"{age}s", "--keep-events", "off") as service:
        yield Figure(name, "ready with it", service.seconds_to_ready, "s")
        anchors = anchored(
            service, schedules.every_second(plan.tickers, time.time_ns() // 1000, SECOND // plan.tickers)
        )
        time.sleep(CALM)
        start = time.time_ns() // 1000
        began, ended = _watch(path, lowest_id(until).bytes)
        end = time.time_ns() // 1000
        time.sleep(CALM)
    calm = settle(path, anchors, start, began - SECOND, alone=False)
    busy = settle(path, anchors, began - SECOND, end, alone=False)
    yield Figure(name, f"{plan.pruned:,} instances pruned in", (ended - began) / SECOND, "s")
    yield Figure(name, "lateness before, worst", calm.late(1), "ms")
    yield Figure(name, "lateness while history is pruned, median", busy.late(0.5), "ms")
    yield Figure(name, "lateness while history is pruned, worst", busy.late(1), "ms", target=LATE, bound="at most")
    yield Figure(name, "due times accounted for meanwhile", busy.accounted, target=busy.expected)


def _prepare(path: Path, pruned: int) -> int:
    """Keep the schedules of the history from firing; return the instant up to which so many instances ended."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE schedule SET state = 'paused', next_due = NULL, next_fire = NULL")
        sql = "SELECT finished_at FROM instance ORDER BY id LIMIT 1 OFFSET ?"
        return int(connection.execute(sql, (pruned,)).fetchone()[0])


def _watch(path: Path, until: bytes) -> tuple[int, int]:
    """Wait until history begins to go, and until the last of it is gone; gives the instants of both."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:

        def oldest() -> bytes:
            return bytes(connection.execute("SELECT id FROM instance ORDER BY id LIMIT 1").fetchone()[0])

        first = oldest()
        wait_until(lambda: oldest() != first, pause=0.1)
        began = time.time_ns() // 1000
        wait_until(lambda: oldest() >= until, pause=0.1, patience=600)
        return began, time.time_ns() // 1000
