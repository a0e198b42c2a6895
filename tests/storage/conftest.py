"""A bench on which one node works: its journal, its clock and its database, with short words for long commands."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from pony import orm

from callsheet.tasks import Registry
from storage.database import Database
from storage.journal.commands import Claim, Command, EndInstance, PutSchedule, Recover, Start, StartInstances
from storage.journal.facts import Fact, InstanceStarted, Looked
from storage.journal.journal import Journal
from storage.queries.instances import Filter, get_instance, list_instances
from storage.queries.ledger import ledger
from storage.queries.reading import read, rows
from storage.queries.schedules import get_schedule
from storage.records import InstanceRecord, LedgerEntry, ScheduleRecord


class Bench:
    """One node at work; `facts` are those of the last transaction."""

    def __init__(self, database: Database, make_journal: Callable[..., Journal], clock: Any) -> None:
        self.database = database
        self.clock = clock
        self._make_journal = make_journal
        self.facts: list[Fact] = []
        self.boot()

    def boot(self, tasks: Registry | None = None, **limits: Any) -> None:
        """Begin a new boot, with other tasks or limits if some are given, and recover."""
        self.journal = self._make_journal(self.database, **({} if tasks is None else {"tasks": tasks}), **limits)
        self.awake_since = self.clock.now()
        self.ask(Recover())

    def ask(self, command: Command) -> Any:
        """Apply a command and return its answer; what refused it is raised."""
        applied = self.journal.apply([command])
        self.facts = applied.facts
        (verdict,) = applied.verdicts
        if verdict.error is not None:
            raise verdict.error
        return verdict.answer

    def start(self, task: str = "noop", data: bytes = b"null", **more: Any) -> InstanceStarted:
        """Start one instance by hand and return the fact; it must be free to run."""
        self.ask(StartInstances((Start(task, data, **more),)))
        return self.started[0]

    def put(self, slug: str = "s", task: str = "noop", every: Any = "10s", **more: Any) -> ScheduleRecord:
        """Put a schedule: of `every` unless another `trigger` is given."""
        document = {"task": task, "trigger": {"every": every}} | more
        record: ScheduleRecord = self.ask(PutSchedule(slug, document))[1]
        return record

    def claim(self, limit: int = 500) -> Looked:
        """Claim what is due."""
        looked: Looked = self.ask(Claim(self.awake_since, limit))
        return looked

    def claim_after(self, seconds: float) -> list[InstanceStarted]:
        """Let time pass, claim, and return what was started."""
        self.clock.move(seconds)
        self.claim()
        return self.started

    def end(self, run: InstanceStarted, outcome: str = "succeeded", **more: Any) -> None:
        """Write how a run ended."""
        self.ask(EndInstance(run, outcome, run.started_at, self.clock.now(), **more))

    def start_fact(self, instance: UUID) -> InstanceStarted:
        """Return the fact that an instance of an earlier transaction was started with."""
        row = self.instance(instance)
        key = row.task if row.task in ("tally", "common") else None
        return InstanceStarted(
            row.id, row.task, row.input.encode(), row.started_at or 0, schedule=row.schedule, due_at=row.due_at,
            attempt=row.attempt, state_key=key,
        )  # fmt: skip

    @property
    def started(self) -> list[InstanceStarted]:
        """Return what the last transaction started."""
        return [fact for fact in self.facts if isinstance(fact, InstanceStarted)]

    def schedule(self, slug: str = "s") -> ScheduleRecord:
        """Return a schedule as it stands."""
        return get_schedule(self.database, slug)

    def instance(self, instance: UUID) -> InstanceRecord:
        """Return an instance as it stands."""
        return get_instance(self.database, instance)

    def instances(self, **wanted: Any) -> list[InstanceRecord]:
        """Return the newest 200 instances that match, newest first."""
        return list_instances(self.database, Filter(**wanted), 200, None).items

    def ledger(self, slug: str = "s") -> list[LedgerEntry]:
        """Return the newest 200 rows of a ledger, oldest first."""
        return ledger(self.database, slug, 200, None).items[::-1]

    def fates(self, slug: str = "s") -> list[tuple[str, int, int, int]]:
        """Return fate, first, last (in seconds since the bench's start) and count of each row, oldest first."""
        return [(row.fate, self.seconds(row.first_due), self.seconds(row.last_due), row.count)
                for row in self.ledger(slug)]  # fmt: skip

    def seconds(self, instant: int) -> int:
        """Return the seconds from the start of all tests to an instant."""
        return (instant - type(self.clock)().instant) // 1_000_000

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """Return the rows of a SELECT, with `?` for values."""
        return read(self.database, lambda db: rows(db, sql, *values))

    def write(self, sql: str, *values: Any) -> None:
        """Change the database behind the journal's back."""
        with orm.db_session:
            self.database.dialect.execute(self.database.db.get_connection().cursor(), sql, values)

    def write_timeout(self, milliseconds: int) -> None:
        """Have SQLite lose its patience with other writers sooner than in 5 seconds."""
        with orm.db_session:
            self.database.db._exec_sql(f"PRAGMA busy_timeout = {milliseconds}")


@pytest.fixture
def bench(database: Database, make_journal: Callable[..., Journal], clock: Any) -> Iterator[Bench]:
    """Return a bench over a fresh database of each kind."""
    return Bench(database, make_journal, clock)
