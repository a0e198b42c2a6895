"""One transaction of the journal under way: what its commands have to write, gathered and written in bulk.

Commands that only add (a start, an end, an output) leave rows here; whoever must read what they wrote calls
`flush` first. Events are written last, in the order in which the facts arose.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from attrs import define, field
from msgspec import Struct

from callsheet.ids import IdMaker
from callsheet.tasks import Task
from storage.dialect import Dialect, Row
from storage.journal.facts import Fact

INSTANCE_COLUMNS = (
    "id, task, schedule, due_at, attempt, cause, state, input, timeout, tags, node, boot, retry_of, "
    "start_after, state_key, queued_at, started_at, waits_for, trace"
)
_END = (
    "UPDATE instance SET state = ?, started_at = ?, finished_at = ?, error = ?, stuck = NULL "
    "WHERE id = ? AND boot = ? AND state = 'running'"
)


class Mismatch(Exception):
    """An end found no running row of this boot: another end was committed first."""


class Over(Struct, frozen=True):
    """An instance that ended in this transaction: what follows from it is settled before the commit.

    `outcome` None: another attempt follows, so that the run is not over yet.
    """

    instance: UUID
    task: str
    schedule: str | None
    state_key: str | None
    outcome: str | None


@define
class Work:
    """What one transaction is about; `now` is its instant, the same for all of its commands."""

    cursor: Any
    dialect: Dialect
    entities: Any
    tasks: Mapping[str, Task[Any, Any]]
    ids: IdMaker
    now: int
    node: str
    boot: UUID
    draining: bool = False  # this node is stopping: nothing may begin any more
    most_running: int | None = None  # of all tasks together
    by: str = "api"  # who asked for the command at hand
    trace: str | None = None  # the traceparent of the request that asked for it
    keeps_events: bool = True
    over: list[Over] = field(factory=list)
    stirred: dict[str, None] = field(factory=dict)  # lines that somebody joined who may be first
    free: dict[str, int] = field(factory=dict)  # line -> how many more may begin, see turns.py
    lines: dict[str, bool] = field(factory=dict)  # line -> whether somebody stands in it
    facts: list[Fact] = field(factory=list)
    untold: int = 0  # changes that no fact tells of, but the audit does
    _schedule_columns: str = ""
    _schedules: list[Row] = field(factory=list)
    _schedule_tags: list[Row] = field(factory=list)
    _instances: list[Row] = field(factory=list)
    _tags: list[Row] = field(factory=list)
    _ends: list[Row] = field(factory=list)
    _outputs: list[Row] = field(factory=list)
    _logs: list[Row] = field(factory=list)
    _audit: list[Row] = field(factory=list)
    _told: int = 0
    boot_key: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.boot_key = self.dialect.key(self.boot)

    def insert_schedule(self, columns: Row, row: Row, tags: Iterable[str] = ()) -> None:
        """Add a schedule, its id first; all of one transaction have the same columns."""
        self._schedule_columns = ", ".join(columns)
        self._schedules.append(row)
        self._schedule_tags.extend((tag, row[0]) for tag in tags)

    def insert_instance(self, row: Row, tags: Iterable[str] = ()) -> None:
        """Add an instance, its values in the order of INSTANCE_COLUMNS."""
        self._instances.append(row)
        self._tags.extend((tag, row[0]) for tag in tags)

    def end_instance(self, instance: UUID, outcome: str, started: int, finished: int, error: bytes | None) -> None:
        """Write how a running instance of this boot ended; the flush raises Mismatch if it had ended before."""
        text = None if error is None else error.decode()
        self._ends.append((outcome, started, finished, text, self.dialect.key(instance), self.boot_key))

    def insert_output(self, row: Row) -> None:
        """Add an output: instance, seq, at, value."""
        self._outputs.append(row)

    def insert_log(self, row: Row) -> None:
        """Add a line of log: instance, seq, at, level, text, fields."""
        self._logs.append(row)

    def insert_audit(self, row: Row) -> None:
        """Add an entry of the audit: id, at, caller, action, schedule, instance, data."""
        self._audit.append(row)

    def execute(self, sql: str, *values: Any) -> Any:
        """Run one statement, with `?` for parameters, and return the cursor."""
        return self.dialect.execute(self.cursor, sql, values)

    def one(self, sql: str, *values: Any) -> Any:
        """Return the first row of a query, or None."""
        return self.execute(sql, *values).fetchone()

    def all(self, sql: str, *values: Any) -> list[Any]:
        """Return all rows of a query."""
        return list(self.execute(sql, *values).fetchall())

    def flush(self) -> None:
        """Write all that was gathered, parents before children."""
        if self._schedules:
            self._insert("schedule", self._schedule_columns, self._schedules)
            self._insert("schedule_tag", "tag, schedule", self._schedule_tags)
        if self._instances:
            self._insert("instance", INSTANCE_COLUMNS, self._instances)
            self._insert("instance_tag", "tag, instance", self._tags)
        if self._ends:
            if self.dialect.update(self.cursor, _END, self._ends) != len(self._ends):
                raise Mismatch
            self._ends = []
        self._insert("output", "instance, seq, at, value", self._outputs)
        self._insert("log", "instance, seq, at, level, text, fields", self._logs)

    def finish(self) -> None:
        """Write what is left and the events of all facts: nothing may follow but the commit."""
        self.flush()
        self._insert("audit", "id, at, caller, action, schedule, instance, data", self._audit)
        if self.keeps_events:
            rows: list[Row] = [self._event(fact) for fact in self.facts[self._told :]]
            self._insert("event", "at, type, schedule, instance, data", rows)
        self._told = len(self.facts)

    def _event(self, fact: Fact) -> Row:
        schedule, instance = fact.about
        about = None if instance is None else self.dialect.key(instance)
        return self.now, fact.type, schedule, about, fact.data().decode()

    def _insert(self, table: str, columns: str, rows: list[Row]) -> None:
        if rows:
            self.dialect.insert(self.cursor, table, columns, rows)
            rows.clear()
