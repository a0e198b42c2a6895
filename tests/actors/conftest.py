"""A whole engine for each test: on SQLite in memory-backed files, by default in virtual time.

A test asks for `autojump_clock` itself; then an hour takes no time at all. `stage.play(tasks)` is one boot of the
engine; plays of one stage follow each other on the same database and the same time of day.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
import trio
from attrs import define, field
from pony import orm

from actors.inbox import ask, order
from actors.messages import Sighting, StackOf, WhereAre
from actors.supervisor import Engine, Rules, engine
from callsheet.capture import captured
from callsheet.clock import Clock, VirtualClock, WallClock
from callsheet.definition import check_input
from callsheet.errors import CallsheetError
from callsheet.ids import IdMaker
from callsheet.instants import SECOND, format_instant, parse_instant
from callsheet.tasks import Registry, Task
from storage.database import Database, open_database, this_node
from storage.door import Door, InlineDoor, ThreadDoor
from storage.journal.commands import CancelInstance, Command, PutSchedule, Start, StartInstances
from storage.journal.journal import Journal
from storage.queries.instances import Filter, get_instance, list_instances, list_log, list_outputs
from storage.queries.ledger import ledger
from storage.queries.reading import as_uuid, read, rows
from storage.queries.schedules import get_schedule
from storage.records import InstanceRecord, LedgerEntry, LogRecord, ScheduleRecord

START = parse_instant("2026-03-01T00:00:00Z")  # a Sunday
ALL = 1_000_000  # more rows than any test has


class TestDoor(InlineDoor):
    """A door that fails while `error` is set, and whose writes wait while `closed` is."""

    __test__ = False

    def __init__(self) -> None:
        self.error: CallsheetError | None = None
        self.closed = False
        self.writes = 0

    async def write(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run it as soon as the door is open."""
        await trio.lowlevel.checkpoint()
        with trio.CancelScope(shield=True):
            while self.closed:
                await trio.sleep(0.01)
        if self.error is not None:
            raise self.error
        self.writes += 1
        return function(*args)


@define
class Play:
    """One boot of an engine, and short ways to order things and to see what became of them."""

    engine: Engine
    database: Database
    clock: Clock
    ends_at_once: trio.CancelScope
    _killed: bool = field(default=False, init=False)

    async def order(self, command: Command) -> Any:
        """Have a command committed and return its answer."""
        return await order(self.engine.bus, command)

    async def start(self, task: Task[Any, Any], document: object = None, **options: Any) -> UUID:
        """Start an instance and return its id; `document` None is no input at all."""
        start = Start(task.name, check_input(task, document, document is not None), **options)
        (instance,) = await self.order(StartInstances((start,)))
        return instance

    async def put(self, slug: str, task: Task[Any, Any], trigger: dict[str, Any], **options: Any) -> ScheduleRecord:
        """Create a schedule, or replace it."""
        document = {"task": task.name, "trigger": trigger, **options}
        _, record = await self.order(PutSchedule(slug, document))
        return record

    async def cancel(self, instance: UUID, reason: str | None = None, by: str = "tester") -> bool:
        """Cancel an instance."""
        return await self.order(CancelInstance(instance, reason, by))

    async def sighting(self, instance: UUID) -> Sighting | None:
        """Ask the TIPMan about an instance."""
        [found] = await ask(self.engine.tipman, lambda reply_to: WhereAre((instance,), reply_to))
        return found

    async def stack(self, instance: UUID) -> list[str] | None:
        """Ask the TIPMan where an instance stands."""
        return await ask(self.engine.tipman, lambda reply_to: StackOf(instance, reply_to))

    async def ended(self, instance: UUID, within: float = 60.0) -> InstanceRecord:
        """Wait until an instance has ended and return its record."""
        pause = 0.01
        with trio.fail_after(within):
            while (record := self.instance(instance)).outcome is None:
                await trio.sleep(pause)
                pause = min(pause * 1.5, 1.0)
        return record

    async def finish(self) -> None:
        """Stop as SIGTERM would and wait until all is written down."""
        self.engine.stop.set()
        await self.engine.stopped.wait()

    def kill(self) -> None:
        """End the engine on the spot, as a crash would: nothing more is written."""
        self._killed = True
        self.ends_at_once.cancel()

    def instance(self, instance: UUID) -> InstanceRecord:
        """Return an instance as it stands in the database."""
        return get_instance(self.database, instance)

    def instances(self, **wanted: Any) -> list[InstanceRecord]:
        """Return all instances that match, oldest first."""
        return list_instances(self.database, Filter(**wanted), ALL, None).items[::-1]

    def outcomes(self, **wanted: Any) -> list[str]:
        """Return the states of all instances that match, oldest first."""
        return [record.state for record in self.instances(**wanted)]

    def schedule(self, slug: str) -> ScheduleRecord:
        """Return a schedule as it stands."""
        return get_schedule(self.database, slug)

    def ledger(self, slug: str) -> list[LedgerEntry]:
        """Return the whole ledger of a schedule, oldest due time first."""
        return ledger(self.database, slug, ALL, None).items[::-1]

    def due_times(self, slug: str) -> list[str]:
        """Return the due times of a schedule that ran, as text."""
        return [format_instant(entry.first_due) for entry in self.ledger(slug) if entry.fate == "ran"]

    def log_records(self, instance: UUID) -> list[LogRecord]:
        """Return what an instance logged."""
        return list_log(self.database, instance, ALL, None).items

    def log(self, instance: UUID) -> list[str]:
        """Return the lines that an instance logged."""
        return [line.text for line in self.log_records(instance)]

    def outputs(self, instance: UUID) -> list[Any]:
        """Return what an instance sent."""
        return [msgspec.json.decode(one.value) for one in list_outputs(self.database, instance, ALL, None).items]

    def error(self, instance: UUID) -> dict[str, str]:
        """Return the error of an instance."""
        return msgspec.json.decode(self.instance(instance).error or "{}")

    def events(self, type_: str) -> list[dict[str, Any]]:
        """Return the data of all events of a type, in order."""
        sql = "SELECT data FROM event WHERE type = ? ORDER BY id"
        return [msgspec.json.decode(row[0]) for row in read(self.database, lambda db: rows(db, sql, type_))]

    def event_instances(self, type_: str) -> list[UUID]:
        """Return which instances the events of a type are about."""
        sql = "SELECT instance FROM event WHERE type = ? ORDER BY id"
        return [as_uuid(self.database, row[0]) for row in read(self.database, lambda db: rows(db, sql, type_))]

    def sql(self, statement: str, *values: Any) -> None:
        """Change the database behind the engine's back."""
        with orm.db_session:
            self.database.db.get_connection().execute(statement, values)

    def seconds(self, instant: int | None) -> float | None:
        """Return an instant as seconds since START."""
        return None if instant is None else (instant - START) / SECOND


@define
class Stage:
    """Where plays take place: one database file, and one time of day that goes on from play to play."""

    url: str
    clock: Clock
    opened: list[Database] = field(factory=list)

    def with_clock(self, make: Callable[[int], Clock]) -> "Stage":
        """Return the same stage with another clock, made for START."""
        return Stage(self.url, make(START), self.opened)

    def close(self) -> None:
        """Close what tests have read with when the play was over."""
        for database in self.opened:
            database.db.disconnect()

    @asynccontextmanager
    async def play(
        self,
        tasks: Iterable[Task[Any, Any]],
        *,
        rules: Rules | None = None,
        door: Door | None = None,
        write: Callable[[str], object] | None = None,
    ) -> AsyncIterator[Play]:
        """Boot an engine; it is stopped in a hurry at the end, unless the test has ended it before."""
        known, clock, ids = Registry(tasks), self.clock, IdMaker()
        database = open_database(self.url, clock.now())
        self.opened.append(database)
        async with _closed_everywhere(database, door):
            journal = Journal(database, this_node("n1", ids.make(clock.now())), known, clock, ids)
            journal.register()
            async with trio.open_nursery() as nursery:
                running = await nursery.start(
                    engine, journal, door or InlineDoor(), known, clock, rules or Rules(), write
                )
                play = Play(running, database, clock, nursery.cancel_scope)
                try:
                    yield play
                finally:
                    if isinstance(door, TestDoor):
                        door.closed = False
                running.stop.set()
                running.hurry.set()


@asynccontextmanager
async def _closed_everywhere(database: Database, door: Door | None) -> AsyncIterator[None]:
    """Close a database in the end, in this thread and in those of the door."""
    with captured(), closing(database):
        try:
            yield
        finally:
            if isinstance(door, ThreadDoor):
                with trio.CancelScope(shield=True):
                    await door.write(database.db.disconnect)
                    await door.read(database.db.disconnect)


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    """Return a folder in memory where there is one: these tests are about the engine, not about the disk."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="callsheet-test-", dir=memory if memory.is_dir() else None))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def stage(quick_folder: Path) -> Iterator[Stage]:
    """Return a stage in virtual time; ask for `autojump_clock` as well."""
    with closing(Stage(f"sqlite:///{quick_folder / 'callsheet.db'}", VirtualClock(START))) as stage:
        yield stage


@pytest.fixture
def real_stage(quick_folder: Path) -> Iterator[Stage]:
    """Return a stage in real time, for what is about threads."""
    with closing(Stage(f"sqlite:///{quick_folder / 'callsheet.db'}", WallClock())) as stage:
        yield stage


@pytest.fixture
def thread_door() -> Iterator[ThreadDoor]:
    """Return the door that the service uses."""
    door = ThreadDoor()
    yield door
    door.close()


@pytest.fixture
def door() -> TestDoor:
    """Return a door that can be told to fail or to wait."""
    return TestDoor()
