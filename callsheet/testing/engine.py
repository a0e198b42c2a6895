"""The virtual engine: a whole callsheet in memory, on a clock that stands still until a test moves it."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

import msgspec
import trio

from callsheet.errors import GaveUp, Unavailable
from callsheet.handle.values import Event, Instance, LedgerRow, LogLine, Schedule
from callsheet.handle.verbs import Instant, Verbs, Which, id_of, instant_of
from callsheet.instants import SECOND, parse_duration, to_datetime
from callsheet.tasks.registry import TaskSource, registry_of
from callsheet.virtual.loop import Loop
from callsheet.virtual.node import VirtualNode
from storage.journal.facts import Fact, InstanceEnded
from storage.queries.reading import read, rows

P = ParamSpec("P")
T = TypeVar("T")

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
        start: Instant = START,
        seed: int = 0,
        max_running: int | None = None,
    ) -> None:
        self._tasks = registry_of(tasks)
        self._loop = Loop(seed)
        try:
            self._node = self._loop.call(self._open, instant_of(start), seed, max_running)
        except BaseException:
            self._loop.close()
            raise
        self._verbs = Verbs(self._node.order, self._node.door, self._node.database, self._tasks)

    async def _open(self, start: int, seed: int, max_running: int | None) -> VirtualNode:
        node = VirtualNode.make(self._tasks, start, seed, max_running)
        self._loop.at_the_end.callback(node.close)
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

    def run_until(self, instant: Instant) -> None:
        """Let time pass until the time of day is `instant`, which must not lie in the past; what is due then begins."""
        ahead = instant_of(instant) - self._call(self._node.clock.now)
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
        return self._do(self._verbs.put_document, id, document)

    def patch(self, id: str, document: dict[str, Any]) -> Schedule:  # noqa: A002
        """Change a schedule by a merge patch."""
        return self._do(self._verbs.patch, id, document)

    def pause(self, id: str, reason: str | None = None, *, until: Instant | None = None) -> Schedule:  # noqa: A002
        """Plan nothing until resumed, or until an instant."""
        return self._do(self._verbs.pause, id, reason, until=until)

    def resume(self, id: str) -> Schedule:  # noqa: A002
        """Plan again, strictly in the future."""
        return self._do(self._verbs.resume, id)

    def skip(self, id: str, count: int = 1, *, at: Instant | None = None) -> Schedule:  # noqa: A002
        """Leave out the next due times, or the one at an instant."""
        return self._do(self._verbs.skip, id, count, at=at)

    def unskip(self, id: str, *, at: Instant | None = None) -> Schedule:  # noqa: A002
        """Let a due time run after all, or every one that was to be skipped."""
        return self._do(self._verbs.unskip, id, at=at)

    def backfill(self, id: str, start: Instant, end: Instant, *, overlap: str | None = None) -> list[Instance]:  # noqa: A002
        """Run what never ran of the due times from `start` to `end`; return its instances."""
        return [self.instance(one) for one in self._do(self._verbs.backfill, id, start, end, overlap=overlap)]

    def delete(self, id: str, *, running: str = "finish") -> None:  # noqa: A002
        """Fire it no more; `running="cancel"` cancels what runs."""
        self._do(self._verbs.delete, id, running=running)

    def schedule(self, id: str) -> Schedule:  # noqa: A002
        """Return a schedule as it stands."""
        return self._look(self._verbs.schedule, id)

    def ledger(self, id: str) -> list[LedgerRow]:  # noqa: A002
        """Return the account of all due times of a schedule, oldest first."""
        return self._look(self._verbs.ledger, id, _ALL)

    def upcoming(self, id: str, limit: int = 10) -> list[datetime]:  # noqa: A002
        """Return the next due times of a schedule; none unless it is active."""
        return self._look(self._verbs.upcoming, id, limit)

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
        return self.instance(self._do(self._verbs.start_named, task, input, timeout=timeout, tags=tags))

    def trigger(self, id: str, *, input: object = ..., overlap: str | None = None) -> Instance:  # noqa: A002
        """Run a schedule now, without moving its next due time; Refused while one of it goes on."""
        return self.instance(self._do(self._verbs.trigger, id, input=input, overlap=overlap))

    def cancel(self, instance: Which, reason: str | None = None) -> Instance:
        """Cancel an instance, which ends at its next await."""
        self._do(self._verbs.cancel, instance, reason, by="test")
        return self.instance(instance)

    def wait(self, instance: Which, within: str | float = "1d") -> Instance:
        """Let time pass until an instance is over, and not a moment longer; TimeoutError after `within`."""
        name, clock = id_of(instance), self._loop.clock

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

    def instance(self, instance: Which) -> Instance:
        """Return an instance as it stands now."""
        return self._look(self._verbs.instance, instance)

    def instances(
        self, *, task: str | None = None, schedule: str | None = None, state: str | None = None, tag: str | None = None
    ) -> list[Instance]:
        """Return all instances that match, oldest first."""
        return self._look(self._verbs.instances, task=task, schedule=schedule, state=state, tag=tag, limit=_ALL)

    def outputs(self, instance: Which) -> list[Any]:
        """Return what an instance sent, as JSON built-ins."""
        return self._look(self._verbs.outputs, instance, _ALL)

    def log(self, instance: Which) -> list[LogLine]:
        """Return what an instance logged and printed."""
        return self._look(self._verbs.log, instance, _ALL)

    def events(self, type: str | None = None) -> list[Event]:  # noqa: A002
        """Return all that was committed, in order: the trace of what happened."""
        found = self._look(self._verbs.read, lambda database: read(database, lambda db: rows(db, _EVENTS)))
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

    def _do(self, verb: Callable[P, Awaitable[T]], *args: P.args, **options: P.kwargs) -> T:
        answer = self._look(verb, *args, **options)
        self._check()
        return answer

    def _look(self, verb: Callable[P, Awaitable[T]], *args: P.args, **options: P.kwargs) -> T:
        return self._loop.call(partial(verb, *args, **options))

    def _call(self, function: Callable[[], T]) -> T:
        async def call() -> T:
            await trio.lowlevel.checkpoint()
            return function()

        return self._loop.call(call)

    def _check(self) -> None:
        if self._node.failure is not None:
            raise GaveUp(f"The engine failed: {self._node.failure!r}") from self._node.failure
