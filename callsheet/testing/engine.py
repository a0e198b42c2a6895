"""The virtual engine: a whole callsheet in memory, on a clock that stands still until a test moves it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from types import ModuleType, TracebackType
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import trio

from callsheet.definition import check_input
from callsheet.errors import GaveUp, Unavailable, Unknown
from callsheet.instants import SECOND, from_datetime, parse_duration, parse_instant, to_datetime
from callsheet.tasks import Registry, Task
from callsheet.testing import values
from callsheet.testing.values import Event, Instance, LedgerRow, LogLine, Schedule
from callsheet.virtual.loop import Loop
from callsheet.virtual.node import VirtualNode
from storage.journal import commands
from storage.journal.commands import Command
from storage.journal.facts import Fact, InstanceEnded
from storage.queries import instances as instance_queries
from storage.queries import ledger as ledgers
from storage.queries import schedules as schedule_queries
from storage.queries.instances import Filter
from storage.queries.reading import read, rows

T = TypeVar("T")

TaskSource = Task[Any, Any] | type[Any] | ModuleType | str
"""A task, a module that holds tasks, or what `--tasks` takes: a module's name or a file."""

START = "2026-01-01T00:00:00Z"  # a Thursday
_ALL = 100_000_000  # more rows than a test has
_EVENTS = "SELECT id, at, type, schedule, instance, data FROM event ORDER BY id"


class VirtualEngine:
    """A whole engine on virtual time: put schedules, let time pass, look at what became of them.

    Nothing happens between two calls, and sleeps take no time; a year of a daily schedule takes about a tenth of a
    second. Times are given as RFC 3339 text or aware datetimes, durations as "1h30m", "365d" or seconds, instances by
    their id or as an `Instance`. What is refused raises the errors of `callsheet.errors`, as the REST API would.
    """

    def __init__(
        self,
        tasks: Iterable[TaskSource] = (),
        *,
        start: str | datetime = START,
        seed: int = 0,
        max_running: int | None = None,
    ) -> None:
        self._tasks = _registry(tasks)
        self._loop = Loop(seed)
        try:
            self._node = self._loop.call(self._open, _instant(start), seed, max_running)
        except BaseException:
            self._loop.close()
            raise

    async def _open(self, start: int, seed: int, max_running: int | None) -> VirtualNode:
        node = VirtualNode.make(self._tasks, start, seed, max_running)
        self._loop.at_end(node.database.release)
        await node.boot(self._loop.nursery)
        return node

    def __repr__(self) -> str:
        return f"<VirtualEngine at {self.now.isoformat()}, {', '.join(sorted(self._tasks)) or 'no tasks'}>"

    def __enter__(self) -> "VirtualEngine":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it, whatever still runs."""
        self._loop.close()

    # --- time ---

    @property
    def now(self) -> datetime:
        """The time of day."""
        return to_datetime(self._call(self._node.clock.now))

    def run_for(self, duration: str | float) -> None:
        """Let time pass."""
        self._run(self._loop.clock.current_time() + parse_duration(duration) / SECOND)

    def run_until(self, instant: str | datetime) -> None:
        """Let time pass until the time of day is `instant`, which must not lie in the past; what is due then begins."""
        ahead = _instant(instant) - self._call(self._node.clock.now)
        if ahead < 0:
            raise ValueError(f"run_until: {instant} has passed, it is {self.now.isoformat()}")
        self._run(self._loop.clock.current_time() + ahead / SECOND)

    def step_clock(self, duration: str | float) -> None:
        """Set the time of day forward, or back ("-1h"), as an operator or NTP would; no time passes by that."""
        text = str(duration).strip()
        steps = -parse_duration(text[1:]) if text.startswith("-") else parse_duration(duration)
        self._call(partial(self._node.step, steps))

    def _run(self, limit: float) -> None:
        self._loop.run(limit)
        self._check()

    # --- schedules ---

    def put(self, id: str, document: dict[str, Any]) -> Schedule:  # noqa: A002 - its name everywhere else
        """Create a schedule, or replace it, as `PUT /v1/schedules/{id}` does."""
        _, record = self._order(commands.PutSchedule(id, document))
        return values.schedule(record)

    def patch(self, id: str, document: dict[str, Any]) -> Schedule:  # noqa: A002
        """Change a schedule by a merge patch."""
        return values.schedule(self._order(commands.PatchSchedule(id, document)))

    def pause(self, id: str, reason: str | None = None, *, until: str | datetime | None = None) -> Schedule:  # noqa: A002
        """Plan nothing until resumed, or until an instant."""
        end = None if until is None else _instant(until)
        return values.schedule(self._order(commands.PauseSchedule(id, reason, end)))

    def resume(self, id: str) -> Schedule:  # noqa: A002
        """Plan again, strictly in the future."""
        return values.schedule(self._order(commands.ResumeSchedule(id)))

    def skip(self, id: str, count: int = 1, *, at: str | datetime | None = None) -> Schedule:  # noqa: A002
        """Leave out the next due times, or the one at an instant."""
        due = None if at is None else _instant(at)
        return values.schedule(self._order(commands.SkipDue(id, count if due is None else None, due)))

    def unskip(self, id: str, *, at: str | datetime | None = None) -> Schedule:  # noqa: A002
        """Let a due time run after all, or every one that was to be skipped."""
        return values.schedule(self._order(commands.UnskipDue(id, None if at is None else _instant(at))))

    def backfill(
        self,
        id: str,  # noqa: A002
        start: str | datetime,
        end: str | datetime,
        *,
        overlap: str | None = None,
    ) -> list[Instance]:
        """Run what never ran of the due times from `start` to `end`; return its instances."""
        filled = self._order(commands.BackfillSchedule(id, _instant(start), _instant(end), overlap))
        return [self.instance(one.instance) for one in filled if one.instance is not None]

    def delete(self, id: str, *, running: str = "finish") -> None:  # noqa: A002
        """Fire it no more; `running="cancel"` cancels what runs."""
        self._order(commands.DeleteSchedule(id, running == "cancel"))

    def schedule(self, id: str) -> Schedule:  # noqa: A002
        """Return a schedule as it stands."""
        return values.schedule(self._read(schedule_queries.get_schedule, id))

    def ledger(self, id: str) -> list[LedgerRow]:  # noqa: A002
        """Return the account of all due times of a schedule, oldest first."""
        page = self._read(ledgers.ledger, id, _ALL, None)
        return [values.ledger_row(entry) for entry in reversed(page.items)]

    def upcoming(self, id: str, limit: int = 10) -> list[datetime]:  # noqa: A002
        """Return the next due times of a schedule; none unless it is active."""
        return [to_datetime(one.due_at) for one in self._read(schedule_queries.upcoming_of, id, limit)]

    # --- instances ---

    def start(
        self,
        task: str,
        input: object = ...,  # noqa: A002 - its name everywhere else
        *,
        timeout: str | float | None = None,
        tags: Iterable[str] = (),
    ) -> Instance:
        """Start a task now; without `input`, its defaults hold."""
        known = self._tasks.get(task)
        if known is None:
            raise Unknown("task", task)
        checked = check_input(known, None if input is ... else input, input is not ...)
        limit = None if timeout is None else parse_duration(timeout)
        (made,) = self._order(commands.StartInstances((commands.Start(task, checked, limit, tuple(tags)),)))
        return self.instance(made)

    def trigger(self, id: str, *, input: object = ..., overlap: str | None = None) -> Instance:  # noqa: A002
        """Run a schedule now, without moving its next due time; Refused while one of it goes on."""
        given = None if input is ... else msgspec.json.encode(input)
        return self.instance(self._order(commands.TriggerSchedule(id, given, overlap)))

    def cancel(self, instance: Instance | UUID | str, reason: str | None = None) -> Instance:
        """Cancel an instance, which ends at its next await."""
        name = _id(instance)
        self._order(commands.CancelInstance(name, reason, "test"))
        return self.instance(name)

    def wait(self, instance: Instance | UUID | str, within: str | float = "1d") -> Instance:
        """Let time pass until an instance is over, and not a moment longer; TimeoutError after `within`."""
        name, clock = _id(instance), self._loop.clock

        def watch(facts: list[Fact]) -> None:
            if any(isinstance(fact, InstanceEnded) and fact.id == name for fact in facts):
                clock.stop()

        if self.instance(name).outcome is None:
            self._node.watchers.append(watch)
            try:
                self.run_for(within)
            finally:
                self._node.watchers.remove(watch)
        found = self.instance(name)
        if found.outcome is None:
            raise TimeoutError(f"After {within} it was not over: {found}")
        return found

    def instance(self, instance: Instance | UUID | str) -> Instance:
        """Return an instance as it stands now."""
        return values.instance(self._read(instance_queries.get_instance, _id(instance)))

    def instances(
        self, *, task: str | None = None, schedule: str | None = None, state: str | None = None, tag: str | None = None
    ) -> list[Instance]:
        """Return all instances that match, oldest first."""
        wanted = Filter(task, schedule, () if state is None else (state,), tag)
        page = self._read(instance_queries.list_instances, wanted, _ALL, None)
        return [values.instance(record) for record in reversed(page.items)]

    def outputs(self, instance: Instance | UUID | str) -> list[Any]:
        """Return what an instance sent, as JSON built-ins."""
        page = self._read(instance_queries.list_outputs, _id(instance), _ALL, None)
        return [msgspec.json.decode(one.value) for one in page.items]

    def log(self, instance: Instance | UUID | str) -> list[LogLine]:
        """Return what an instance logged and printed."""
        page = self._read(instance_queries.list_log, _id(instance), _ALL, None)
        return [values.log_line(line) for line in page.items]

    def events(self, type: str | None = None) -> list[Event]:  # noqa: A002
        """Return all that was committed, in order: the trace of what happened."""
        found = self._read(lambda database: read(database, lambda db: rows(db, _EVENTS)))
        uuid = self._node.database.dialect.uuid
        return [
            Event(number, to_datetime(at), kind, schedule, uuid(instance), msgspec.json.decode(data))
            for number, at, kind, schedule, instance, data in found
            if type is None or kind == type
        ]

    # --- what can go wrong ---

    def crash(self) -> None:
        """End the engine on the spot, as `kill -9` would; the database stays, and time can still pass."""
        self._call(self._node.kill)

    def stop(self) -> None:
        """Stop as SIGTERM would: what runs gets its time to finish, then it is `interrupted`."""
        engine = self._node.running()

        async def stop() -> None:
            engine.stop.set()
            await engine.stopped.wait()

        self._loop.call(stop)
        self._check()

    def restart(self) -> None:
        """Boot again on the same database; what still ran when it crashed is `lost`."""
        if self._node.engine is not None:
            raise Unavailable("The engine is running: crash() or stop() it first.")
        self._loop.call(self._node.boot, self._loop.nursery)

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Have the database fail whatever is to be written, for as long as the context lasts."""
        self._node.door.error = Unavailable("The database does not answer.")
        try:
            yield
        finally:
            self._node.door.error = None

    # --- how it gets there ---

    def _order(self, command: Command) -> Any:
        answer = self._loop.call(self._node.order, command)
        self._check()
        return answer

    def _read(self, query: Callable[..., T], *args: Any) -> T:
        return self._call(partial(query, self._node.database, *args))

    def _call(self, function: Callable[[], T]) -> T:
        async def call() -> T:
            await trio.lowlevel.checkpoint()
            return function()

        return self._loop.call(call)

    def _check(self) -> None:
        if self._node.failure is not None:
            raise GaveUp(f"The engine failed: {self._node.failure!r}") from self._node.failure


def _registry(sources: Iterable[TaskSource]) -> Registry:
    tasks = Registry()
    for source in sources:
        if isinstance(source, str):
            tasks.load(source)
        elif isinstance(source, ModuleType):
            tasks.load(source.__name__)
        elif isinstance(source, Task):
            tasks.add(source)
        else:
            raise TypeError(f"tasks takes tasks made by @task, modules, or names of them; got {source!r}")
    return tasks


def _instant(value: str | datetime) -> int:
    if isinstance(value, str):
        return parse_instant(value)
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone: give an aware datetime, or RFC 3339 text")
    return from_datetime(value)


def _id(instance: Instance | UUID | str) -> UUID:
    if isinstance(instance, Instance):
        return instance.id
    return instance if isinstance(instance, UUID) else UUID(instance.rsplit("/", 1)[-1])
