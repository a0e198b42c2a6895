"""What a floor writes on PostgreSQL: the very rows that callsheet writes, by psycopg2 with many rows in a statement."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import psycopg2
from psycopg2.extras import execute_values, register_uuid

from benchmarks import ledgers
from benchmarks.ledgers import AUDIT, EVENT, INSTANCE, NODE, STARTED, End, Run, new_ids, now
from storage.database import open_database

PAGE = 1_000  # rows in a statement: more of them take longer to parse than they spare round trips
END = (
    "UPDATE instance AS i SET state = e.state, started_at = e.started, finished_at = e.finished, error = NULL, "
    "stuck = NULL FROM (VALUES %s) AS e (id, state, started, finished) "
    "WHERE i.id = e.id AND i.boot = {boot} AND i.state = 'running'"
)


class SamePostgres:
    """The rows of `ledgers.Same`, one transaction for what starts and one for what ends."""

    def __init__(self, url: str) -> None:
        open_database(url, now()).close()
        register_uuid()
        self.commits = 0
        self.connection = psycopg2.connect(url)
        self.cursor = self.connection.cursor()
        self.ids = (UUID(bytes=each) for each in new_ids())
        self.boot = next(self.ids)
        self._insert("node", NODE, [(self.boot, "floor", "floor", 1, now(), now(), 0)])
        self._commit()

    def start(self, runs: list[Run], started: int) -> None:
        """Write runs that begin now, their events, and who asked for them."""
        known = [(UUID(bytes=id_), asked) for id_, asked in runs]
        self._insert(
            "instance", INSTANCE, [ledgers.instance_row(id_, asked, started, self.boot) for id_, asked in known]
        )
        self._insert("audit", AUDIT, [ledgers.asked_row(next(self.ids), started, len(runs))])
        self._insert("event", EVENT, [(started, "instance.started", None, id_, STARTED) for id_, _ in known])
        self._mark(started)

    def end(self, ends: list[End]) -> None:
        """Write how runs ended, and their events."""
        at = now()
        known = [(UUID(bytes=id_), *rest) for id_, *rest in ends]
        sql = END.format(boot=self.cursor.mogrify("%s", (self.boot,)).decode())
        execute_values(self.cursor, sql, known, page_size=PAGE)
        self._insert("event", EVENT, [ledgers.ended_row(at, *end) for end in known])
        self._mark(at)

    def stored(self) -> int:
        """Count the outcomes that are there, if there are both events for each."""
        ended = self._count("SELECT count(*) FROM instance WHERE state = 'succeeded'")
        return min(ended, self._count("SELECT count(*) FROM event") // 2)

    def close(self) -> None:
        """Let go of the database."""
        self.connection.close()

    def _insert(self, table: str, columns: str, rows: Iterable[tuple[Any, ...]]) -> None:
        execute_values(self.cursor, f"INSERT INTO {table} ({columns}) VALUES %s", rows, page_size=PAGE)

    def _mark(self, at: int) -> None:
        sql = "UPDATE node SET last_batch = %s, seen_at = %s WHERE boot = %s AND last_batch >= 0"
        self.cursor.execute(sql, (self.commits, at, self.boot))
        self._commit()

    def _commit(self) -> None:
        self.connection.commit()
        self.commits += 1

    def _count(self, sql: str) -> int:
        self.cursor.execute(sql)
        row = self.cursor.fetchone()
        assert row is not None
        return int(row[0])
