"""What can be asked of an engine in the same process; each verb does what the route of its name does."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from callsheet.definition import check_input
from callsheet.errors import Unknown
from callsheet.handle import values
from callsheet.handle.values import Instance, LedgerRow, LogLine, Schedule
from callsheet.instants import from_datetime, parse_duration, parse_instant, to_datetime
from callsheet.tasks import Task
from callsheet.tasks.codec import to_document
from storage.database import Database
from storage.door import Door
from storage.journal import commands
from storage.journal.commands import Command
from storage.queries import instances as instance_queries
from storage.queries import ledger as ledgers
from storage.queries import schedules as schedule_queries
from storage.queries.instances import Filter

Instant = str | datetime
"""RFC 3339 text, or an aware datetime."""

Duration = str | float | timedelta
"""Text such as "1h30m", seconds, or a timedelta."""

Which = Instance | UUID | str
"""An instance: itself, its id, or its URI."""


class Verbs:
    """The verbs. Lists are oldest first, and hold the latest `limit` at most."""

    def __init__(
        self,
        order: Callable[[Command], Awaitable[Any]],
        door: Door,
        database: Database,
        tasks: Mapping[str, Task[Any, Any]],
    ) -> None:
        """`order` has a command committed and gives its answer, or raises why it was refused."""
        self._order = order
        self._door = door
        self._database = database
        self._tasks = tasks

    async def read(self, query: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Run a query; the first argument it gets is the database."""
        return await self._door.read(lambda: query(self._database, *args, **options))

    # --- schedules ---

    async def put_document(self, id: str, document: Mapping[str, Any]) -> Schedule:  # noqa: A002 - its name everywhere
        """Create a schedule, or replace it."""
        _, record = await self._order(commands.PutSchedule(id, dict(document)))
        return values.schedule(record)

    async def patch(self, id: str, document: Mapping[str, Any]) -> Schedule:  # noqa: A002
        """Change a schedule by a merge patch."""
        return values.schedule(await self._order(commands.PatchSchedule(id, dict(document))))

    async def pause(self, id: str, reason: str | None = None, *, until: Instant | None = None) -> Schedule:  # noqa: A002
        """Plan nothing until resumed, or until an instant."""
        return values.schedule(await self._order(commands.PauseSchedule(id, reason, _maybe(until))))

    async def resume(self, id: str) -> Schedule:  # noqa: A002
        """Plan again, strictly in the future."""
        return values.schedule(await self._order(commands.ResumeSchedule(id)))

    async def skip(self, id: str, count: int = 1, *, at: Instant | None = None) -> Schedule:  # noqa: A002
        """Leave out the next due times, or the one at an instant."""
        due = _maybe(at)
        return values.schedule(await self._order(commands.SkipDue(id, count if due is None else None, due)))

    async def unskip(self, id: str, *, at: Instant | None = None) -> Schedule:  # noqa: A002
        """Let a due time run after all, or every one that was to be skipped."""
        return values.schedule(await self._order(commands.UnskipDue(id, _maybe(at))))

    async def backfill(
        self,
        id: str,  # noqa: A002
        start: Instant,
        end: Instant,
        *,
        overlap: str | None = None,
    ) -> list[Instance]:
        """Run what never ran of the due times from `start` to `end`; return its instances."""
        filled = await self._order(commands.BackfillSchedule(id, instant_of(start), instant_of(end), overlap))
        return [await self.instance(one.instance) for one in filled if one.instance is not None]

    async def delete(self, id: str, *, running: str = "finish") -> None:  # noqa: A002
        """Fire it no more; `running="cancel"` cancels what runs."""
        await self._order(commands.DeleteSchedule(id, running == "cancel"))

    async def schedule(self, id: str) -> Schedule:  # noqa: A002
        """Return a schedule as it stands."""
        return values.schedule(await self.read(schedule_queries.get_schedule, id))

    async def ledger(self, id: str, limit: int = 200) -> list[LedgerRow]:  # noqa: A002
        """Return the account of the due times of a schedule."""
        page = await self.read(ledgers.ledger, id, limit, None)
        return [values.ledger_row(entry) for entry in reversed(page.items)]

    async def upcoming(self, id: str, limit: int = 10) -> list[datetime]:  # noqa: A002
        """Return the next due times of a schedule; none unless it is active."""
        return [to_datetime(one.due_at) for one in await self.read(schedule_queries.upcoming_of, id, limit)]

    # --- instances ---

    async def start_named(
        self,
        task: str,
        input: object = ...,  # noqa: A002 - its name everywhere else
        *,
        timeout: Duration | None = None,  # noqa: ASYNC109 - the run's own
        tags: Iterable[str] = (),
    ) -> Instance:
        """Start a task now; without `input`, its defaults hold."""
        known = self._tasks.get(task)
        if known is None:
            raise Unknown("task", task)
        checked = check_input(known, None if input is ... else to_document(input), input is not ...)
        limit = None if timeout is None else duration_of(timeout)
        (made,) = await self._order(commands.StartInstances((commands.Start(task, checked, limit, tuple(tags)),)))
        return await self.instance(made)

    async def trigger(self, id: str, *, input: object = ..., overlap: str | None = None) -> Instance:  # noqa: A002
        """Run a schedule now, without moving its next due time; Refused while one of it goes on."""
        given = None if input is ... else msgspec.json.encode(to_document(input))
        return await self.instance(await self._order(commands.TriggerSchedule(id, given, overlap)))

    async def cancel(self, instance: Which, reason: str | None = None, *, by: str = "program") -> Instance:
        """Cancel an instance, which ends at its next await; `by` is who is said to have done so."""
        name = id_of(instance)
        await self._order(commands.CancelInstance(name, reason, by))
        return await self.instance(name)

    async def instance(self, instance: Which) -> Instance:
        """Return an instance as it stands now."""
        return values.instance(await self.read(instance_queries.get_instance, id_of(instance)))

    async def instances(
        self,
        *,
        task: str | None = None,
        schedule: str | None = None,
        state: str | None = None,
        tag: str | None = None,
        limit: int = 200,
    ) -> list[Instance]:
        """Return the instances that match."""
        wanted = Filter(task, schedule, () if state is None else (state,), tag)
        page = await self.read(instance_queries.list_instances, wanted, limit, None)
        return [values.instance(record) for record in reversed(page.items)]

    async def outputs(self, instance: Which, limit: int = 10_000) -> list[Any]:
        """Return what an instance sent first, as JSON built-ins."""
        page = await self.read(instance_queries.list_outputs, id_of(instance), limit, None)
        return [msgspec.json.decode(one.value) for one in page.items]

    async def log(self, instance: Which, limit: int = 10_000) -> list[LogLine]:
        """Return what an instance logged and printed first."""
        page = await self.read(instance_queries.list_log, id_of(instance), limit, None)
        return [values.log_line(line) for line in page.items]


def instant_of(value: Instant) -> int:
    """Return an instant; ValueError for a datetime without a zone."""
    if isinstance(value, str):
        return parse_instant(value)
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone: give an aware datetime, or RFC 3339 text")
    return from_datetime(value)


def _maybe(value: Instant | None) -> int | None:
    return None if value is None else instant_of(value)


def duration_of(value: Duration) -> int:
    """Return a duration in microseconds."""
    return parse_duration(value.total_seconds() if isinstance(value, timedelta) else value)


def id_of(instance: Which) -> UUID:
    """Return the id of an instance, however it is named."""
    if isinstance(instance, Instance):
        return instance.id
    return instance if isinstance(instance, UUID) else UUID(instance.rsplit("/", 1)[-1])
