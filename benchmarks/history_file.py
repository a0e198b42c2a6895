"""A SQLite file with a long history, as a service would have written it in two months: made once, and kept.

    python benchmarks/history_file.py FILE [--instances 10000000]

A schedule for each ten thousand instances, made by callsheet's own journal, has run every few minutes and skipped every
fiftieth due time; every seventh run is followed by one by hand. Of the runs 4 % did not succeed, a tenth has a tag, a
hundredth sent outputs and logged, and one very many. There are events of the last week, and an entry of the audit
for every tenth start by hand. Ids, due times and ledgers fit together. Rows go in without indexes, which are made last.
"""

import argparse
import random
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

from attrs import frozen

from benchmarks.ledgers import insert
from callsheet.ids import IdMaker
from callsheet.instants import DAY, SECOND, format_instant
from callsheet.tasks import Registry
from storage.database import open_database, this_node
from storage.journal.commands import PutSchedule
from storage.journal.journal import Journal

SPAN, EVENTS = 60 * DAY, 7 * DAY
TASKS = ("noop", "sleep", "counter", "send_many")
INPUTS = {"noop": "null", "sleep": '{"seconds":1}', "counter": "{}", "send_many": '{"count":1}'}
TAG = "nightly"
PER_SCHEDULE = 10_000
SKIPPED, BY_HAND, LOUD, AUDITED = 50, 7, 100, 10  # every so many-th
LOUDEST = 50_000  # outputs of the one, and lines of its log
ERROR = '{"type":"ValueError","message":"as always","traceback":"Traceback (most recent call last): ..."}'
INSTANCE = (
    "id, task, schedule, due_at, attempt, cause, state, input, tags, node, boot, queued_at, started_at, finished_at, "
    "error"
)
HERE = Path(__file__).with_name("tasks.py")


class Standing:
    """A clock that stands still where it is set."""

    def __init__(self, instant: int) -> None:
        self.instant = instant

    def now(self) -> int:
        """Return where it stands."""
        return self.instant


@frozen
class Shape:
    """How large a history is, and when: each of `schedules` comes due `turns` times, `period` apart, until `end`."""

    schedules: int
    turns: int
    period: int
    end: int

    @classmethod
    def of(cls, instances: int, end: int) -> "Shape":
        """Return the shape that comes to about so many instances."""
        schedules = max(instances // PER_SCHEDULE, 20)
        turns = max(round(instances / schedules / (1 - 1 / SKIPPED + 1 / BY_HAND)), 2)
        return cls(schedules, turns, SPAN // turns // SECOND * SECOND, end)

    @property
    def begin(self) -> int:
        """Return when the first schedule came due first."""
        return self.end - self.turns * self.period

    def due(self, schedule: int, turn: int) -> int:
        """Return a due time; turns are counted from 1, and turn 0 is the anchor."""
        return self.begin + (turn - 1) * self.period + schedule * (self.period // self.schedules)

    def slots(self) -> Iterator[tuple[int, int, int]]:
        """Return schedule, turn and due time of all due times, in order of time."""
        for turn in range(1, self.turns + 1):
            for schedule in range(self.schedules):
                yield schedule, turn, self.due(schedule, turn)


def task_of(schedule: int) -> str:
    """Return the task that a schedule runs: those with a tag run `noop` or `counter` only."""
    return TASKS[schedule % len(TASKS)]


def tagged(schedule: int) -> bool:
    """Tell whether a schedule, and so all its runs, has the tag."""
    return schedule % 10 == 0


def name_of(schedule: int) -> str:
    """Return the id of a schedule."""
    return f"job-{schedule:05}"


def make(path: Path, instances: int) -> Shape:
    """Make the file, with about so many instances."""
    return fill(path, Shape.of(instances, time.time_ns() // 1000))


def fill(path: Path, shape: Shape, *, empty: bool = False) -> Shape:
    """Make the file in this shape; `empty`: only the schedules, as they stand after it."""
    _put_schedules(path, shape)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -400000")
        connection.execute("PRAGMA temp_store = FILE")
        if not empty:
            _fill(connection, shape)
        _move_on(connection, shape)
        connection.execute("PRAGMA journal_mode = WAL")
    return shape


def _put_schedules(path: Path, shape: Shape) -> None:
    clock, ids, tasks = Standing(shape.due(0, 0)), IdMaker(), Registry()
    tasks.load_builtin(commands=False)
    tasks.load(str(HERE))
    database = open_database(f"sqlite:///{path}", clock.now())
    journal = Journal(database, this_node("bench", ids.make(clock.now())), tasks, clock, ids)
    journal.register()
    for schedule in range(shape.schedules):
        clock.instant = shape.due(schedule, 0)
        (verdict,) = journal.apply([PutSchedule(name_of(schedule), _document(shape, schedule))]).verdicts
        if verdict.error is not None:
            raise verdict.error
    database.close()


def _document(shape: Shape, schedule: int) -> dict[str, Any]:
    task = task_of(schedule)
    given: dict[str, Any] = {"noop": None, "sleep": {"seconds": 1}, "counter": {}, "send_many": {"count": 1}}
    return {
        "task": task,
        "input": given[task],
        "trigger": {"every": shape.period // SECOND, "anchor": format_instant(shape.due(schedule, 0))},
        "tags": [TAG] if tagged(schedule) else [],
    }


def _move_on(connection: sqlite3.Connection, shape: Shape) -> None:
    """Set where each schedule stands after its last turn."""
    sql = "UPDATE schedule SET last_due = ?, next_due = ?, next_fire = ?, run_count = ? WHERE id = ?"
    for schedule in range(shape.schedules):
        last, coming = shape.due(schedule, shape.turns), shape.due(schedule, shape.turns + 1)
        connection.execute(sql, (last, coming, coming, shape.turns, name_of(schedule)))


def _fill(connection: sqlite3.Connection, shape: Shape) -> None:
    """Write all rows, table by table, then the indexes."""
    tables = ("instance", "instance_tag", "output", "log", "omission", "event", "audit")
    marks = ", ".join("?" * len(tables))
    found = f"SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name IN ({marks}) AND sql IS NOT NULL"
    indexes = connection.execute(found, tables).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    boot = connection.execute("SELECT boot FROM node").fetchone()[0]
    _write(connection, "instance", INSTANCE, _instances(shape, boot))
    _write(connection, "omission", "schedule, fate, reason, first_due, last_due, count", _omissions(shape))
    _write(connection, "audit", "id, at, caller, action, schedule, instance, data", _audit(shape))
    _derive(connection, shape)
    for _, sql in indexes:
        connection.execute(sql)
    connection.execute("UPDATE node SET stopped_at = ?, last_batch = -1", (shape.end,))


def _write(connection: sqlite3.Connection, table: str, columns: str, rows: Iterable[tuple[Any, ...]]) -> None:
    connection.execute("BEGIN")
    connection.executemany(insert(table, columns), rows)
    connection.execute("COMMIT")


def _instances(shape: Shape, boot: bytes) -> Iterator[tuple[Any, ...]]:
    dice = random.Random(1)
    names = [name_of(schedule) for schedule in range(shape.schedules)]
    for slot, (schedule, turn, due) in enumerate(shape.slots(), 1):
        task = TASKS[schedule % len(TASKS)]
        if turn % SKIPPED:
            state, error = _end(slot)
            tags = f'["{TAG}"]' if schedule % 10 == 0 else "[]"
            yield (
                _id(due + 1000, dice), task, names[schedule], due, 1, "schedule", state, INPUTS[task], tags, "bench",
                boot, due + 1000, due + 2000, due + 5000 + slot % 997, error,
            )  # fmt: skip
        if slot % BY_HAND == 0:
            state, error = _end(slot + 3)
            yield (
                _id(due + 10_000, dice), task, None, None, 1, "manual", state, INPUTS[task], "[]", "bench", boot,
                due + 10_000, due + 11_000, due + 14_000, error,
            )  # fmt: skip


def _end(slot: int) -> tuple[str, str | None]:
    """Return the state of a run, and its error: 4 of a hundred did not succeed."""
    match slot * 7919 % 10007 % 100:  # mixed, or some schedules would always fail
        case 17 | 71:
            return "failed", ERROR
        case 33:
            return "cancelled", None
        case 55:
            return "timed_out", None
    return "succeeded", None


def _id(instant: int, dice: random.Random) -> bytes:
    head = instant // 1000 << 80 | 7 << 76 | 2 << 62
    return (head | dice.getrandbits(62)).to_bytes(16, "big")


def _omissions(shape: Shape) -> Iterator[tuple[Any, ...]]:
    for turn in range(SKIPPED, shape.turns + 1, SKIPPED):
        for schedule in range(shape.schedules):
            due = shape.due(schedule, turn)
            yield name_of(schedule), "skipped", "overlap", due, due, 1


def _audit(shape: Shape) -> Iterator[tuple[Any, ...]]:
    dice = random.Random(2)
    for slot, (schedule, _, due) in enumerate(shape.slots(), 1):
        if slot % (BY_HAND * AUDITED) == 0:
            data = f'{{"task":"{task_of(schedule)}","count":1}}'
            yield (
                _id(due + 10_000, dice),
                due + 10_000,
                ("anonymous", "deploy")[slot // (BY_HAND * AUDITED) % 2],
                "instance.start",
                None,
                None,
                data,
            )


def _derive(connection: sqlite3.Connection, shape: Shape) -> None:
    """Write what follows from the instances: tags, outputs, log, and the events of the last week."""
    recent = UUID(int=max(shape.end - EVENTS, 0) // 1000 << 80).bytes
    statements: list[tuple[str, tuple[Any, ...]]] = [
        (f"INSERT INTO instance_tag SELECT '{TAG}', id FROM instance WHERE tags <> '[]'", ()),
        (_said("output", "'{\"n\":' || n || '}'", 3), ()),
        (_said("log", "'info', 'step ' || n || ' is done', NULL", 5), ()),
        (_loudest("output", "'0'"), ()),
        (_loudest("log", "'info', 'one more step is done', NULL"), ()),
        (_events("instance.started", "started_at", '\'","cause":"\' || cause || \'","attempt":1}\''), (recent,)),
        (_events("instance.ended", "finished_at", '\'","outcome":"\' || state || \'","seconds":0.003}\''), (recent,)),
    ]
    for sql, values in statements:
        connection.execute("BEGIN")
        connection.execute(sql, values)
        connection.execute("COMMIT")


def _said(table: str, what: str, times: int) -> str:
    """Return the statement by which a hundredth of the instances said something several times."""
    numbers = " UNION ALL ".join(f"SELECT {n} AS n" for n in range(times))
    return (
        f"INSERT INTO {table} SELECT id, n, started_at + n, {what} FROM instance JOIN ({numbers}) "
        f"WHERE (finished_at - started_at) % {LOUD} = 0 ORDER BY id, n"
    )


def _loudest(table: str, what: str) -> str:
    """Return the statement by which the latest instance said very much."""
    return (
        f"WITH RECURSIVE c (n) AS (SELECT 10 UNION ALL SELECT n + 1 FROM c WHERE n < {LOUDEST + 9}) "
        f"INSERT INTO {table} SELECT (SELECT max(id) FROM instance), n, n, {what} FROM c"
    )


def _events(kind: str, at: str, rest: str) -> str:
    return (
        f"INSERT INTO event (at, type, schedule, instance, data) SELECT {at}, '{kind}', schedule, id, "
        f'\'{{"task":"\' || task || {rest} FROM instance WHERE id > ? ORDER BY id'
    )


def main() -> None:
    """Make a file, and say how long it took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--instances", type=int, default=10_000_000)
    options = parser.parse_args()
    began = time.perf_counter()
    print(make(options.file, options.instances), f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
