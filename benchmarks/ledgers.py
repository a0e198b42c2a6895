"""What a floor writes for each run, on SQLite by bare `sqlite3`: one transaction for what starts, one for what ends.

`Bare` is the least: a row and its outcome, in a table with no index but its key. `Same` writes what callsheet does,
into callsheet's own schema with all its indexes: the instance, its end, both events, the entry of the audit for each
batch and the mark of the node for each transaction. tests/benchmarks hold its rows against those of the journal.
"""

import os
import sqlite3
import time
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from storage.database import open_database
from storage.sqlite_file import set_up_connection

TASK = "noop"
Run = tuple[bytes, int]  # id, when it was asked for
End = tuple[bytes, str, int, int]  # id, outcome, when it began, when it ended

INSTANCE = (
    "id, task, schedule, due_at, attempt, cause, state, input, timeout, tags, node, boot, retry_of, start_after, "
    "state_key, queued_at, started_at, waits_for"
)
AUDIT = "id, at, caller, action, schedule, instance, data"
EVENT = "at, type, schedule, instance, data"
NODE = "boot, name, host, pid, started_at, seen_at, last_batch"
STARTED = '{"task":"noop","cause":"manual","attempt":1}'

BARE_SCHEMA = """
create table run (
    id blob primary key, task text not null, state text not null,
    queued_at integer not null, started_at integer not null, finished_at integer
) without rowid
"""


def now() -> int:
    """Give the wall clock in microseconds."""
    return time.time_ns() // 1000


def new_ids() -> Iterable[bytes]:
    """Give 16-byte ids that sort by time, as UUIDv7 does: milliseconds, a counter, random bits."""
    for number in count():
        head = time.time_ns() // 1_000_000 << 16 | 0x7000 | number & 0xFFF
        yield head.to_bytes(8, "big") + os.urandom(8)


class Ledger(Protocol):
    """Where a floor writes; each call is one durable transaction, and `commits` counts them."""

    commits: int

    def start(self, runs: list[Run], started: int) -> None:
        """Write runs that begin now."""
        ...

    def end(self, ends: list[End]) -> None:
        """Write how runs ended."""
        ...

    def stored(self) -> int:
        """Count the outcomes that are there."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...


class SQLite:
    """A connection of SQLite, and transactions on it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.commits = 0
        self.connection = connection

    def write(self, *parts: tuple[str, Iterable[tuple[Any, ...]]]) -> None:
        """Run each statement for all of its rows, in one transaction."""
        self.connection.execute("begin immediate")
        for sql, rows in parts:
            self.connection.executemany(sql, rows)
        self.connection.execute("commit")
        self.commits += 1

    def close(self) -> None:
        """Let go of the database."""
        self.connection.close()


class Bare(SQLite):
    """A row for each run, and nothing else."""

    def __init__(self, path: Path) -> None:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        connection.execute(BARE_SCHEMA)
        super().__init__(connection)

    def start(self, runs: list[Run], started: int) -> None:
        """Write runs that begin now."""
        sql = "insert into run (id, task, state, queued_at, started_at) values (?, ?, 'running', ?, ?)"
        self.write((sql, [(id_, TASK, asked, started) for id_, asked in runs]))

    def end(self, ends: list[End]) -> None:
        """Write how runs ended."""
        sql = "update run set state = ?, finished_at = ? where id = ? and state = 'running'"
        self.write((sql, [(outcome, finished, id_) for id_, outcome, _, finished in ends]))

    def stored(self) -> int:
        """Count the outcomes that are there."""
        sql = "select count(*) from run where state = 'succeeded' and finished_at >= started_at"
        return int(self.connection.execute(sql).fetchone()[0])


def insert(table: str, columns: str) -> str:
    """Return the statement that inserts a row."""
    return f"insert into {table} ({columns}) values ({', '.join('?' * (columns.count(',') + 1))})"


class Same(SQLite):
    """The very rows that callsheet writes, on callsheet's own schema and with its settings of a connection."""

    def __init__(self, path: Path) -> None:
        open_database(f"sqlite:///{path}", now()).close()
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        set_up_connection(connection)
        super().__init__(connection)
        self.ids = iter(new_ids())
        self.boot = next(self.ids)
        self.write((insert("node", NODE), [(self.boot, "floor", "floor", 1, now(), now(), 0)]))

    def start(self, runs: list[Run], started: int) -> None:
        """Write runs that begin now, their events, and who asked for them."""
        boot = self.boot
        self.write(
            (insert("instance", INSTANCE), [instance_row(id_, asked, started, boot) for id_, asked in runs]),
            (insert("audit", AUDIT), [asked_row(next(self.ids), started, len(runs))]),
            (insert("event", EVENT), [(started, "instance.started", None, id_, STARTED) for id_, _ in runs]),
            self._mark(started),
        )

    def end(self, ends: list[End]) -> None:
        """Write how runs ended, and their events."""
        at, boot = now(), self.boot
        sql = (
            "update instance set state = ?, started_at = ?, finished_at = ?, error = ?, stuck = null "
            "where id = ? and boot = ? and state = 'running'"
        )
        rows = [(outcome, started, finished, None, id_, boot) for id_, outcome, started, finished in ends]
        self.write((sql, rows), (insert("event", EVENT), [ended_row(at, *end) for end in ends]), self._mark(at))

    def _mark(self, at: int) -> tuple[str, list[tuple[Any, ...]]]:
        sql = "update node set last_batch = ?, seen_at = ? where boot = ? and last_batch >= 0"
        return sql, [(self.commits, at, self.boot)]

    def stored(self) -> int:
        """Count the outcomes that are there, if there are both events for each."""
        (ended,) = self.connection.execute("select count(*) from instance where state = 'succeeded'").fetchone()
        (told,) = self.connection.execute("select count(*) from event").fetchone()
        return min(int(ended), int(told) // 2)


def instance_row(id_: Any, asked: int, started: int, boot: Any) -> tuple[Any, ...]:
    """Return a row in the order of INSTANCE."""
    return (
        id_, TASK, None, None, 1, "manual", "running", "null", None, "[]", "floor", boot, None, None, None, asked,
        started, None,
    )  # fmt: skip


def asked_row(id_: Any, at: int, runs: int) -> tuple[Any, ...]:
    """Return the audit's entry of a batch, with the id of a request as the web makes them."""
    request = "01890a5d-ac96-774b-bcce-b302099a8057"
    data = f'{{"task":"{TASK}","count":{runs},"request":"{request}"}}'
    return id_, at, "anonymous", "instance.start", None, None, data


def ended_row(at: int, id_: Any, outcome: str, started: int, finished: int) -> tuple[Any, ...]:
    """Return the event of an end, in the order of EVENT."""
    seconds = (finished - started) / 1e6
    return at, "instance.ended", None, id_, f'{{"task":"{TASK}","outcome":"{outcome}","seconds":{seconds:.6f}}}'


KINDS: dict[str, type[Bare] | type[Same]] = {"bare": Bare, "same": Same}
