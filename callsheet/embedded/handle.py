"""What a program has in hand of the engine that runs in it."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from math import inf
from typing import Any, Generic, Literal, TypedDict, TypeVar, Unpack, cast

import msgspec
from attrs import frozen

from actors.inbox import order
from actors.supervisor import Engine as Tree
from callsheet.client.call import document_of, encode
from callsheet.client.finished import name_of
from callsheet.errors import CallsheetError, Unavailable
from callsheet.handle import values
from callsheet.handle.values import Instance, Schedule
from callsheet.handle.verbs import Duration, Instant, Verbs, Which, duration_of, id_of
from callsheet.instants import SECOND, to_datetime
from callsheet.node import Node
from callsheet.tasks.inline import Runnable
from storage.journal.commands import BackfillSchedule, Command, OnBehalf, StartInstances, TriggerSchedule
from storage.queries import schedules as schedule_queries
from web.waiting_room import WaitingRoom

T = TypeVar("T")

CALLER = "program"
"""Who the audit says has asked for a change."""

_STARTS = (StartInstances, TriggerSchedule, BackfillSchedule)
_CLOSED = "The engine is not running any more: its `async with` is over."


class ScheduleFields(TypedDict, total=False):
    """The fields of a schedule beside its task; the trigger by its own words, or whole as `trigger`."""

    every: Duration
    anchor: Instant
    cron: str
    timezone: str
    at: Instant
    after: str
    on: Literal["success", "failure", "any"]
    trigger: Mapping[str, Any]
    input: Any
    starts_at: Instant | None
    ends_at: Instant | None
    max_runs: int | None
    run_on_create: bool
    overlap: Literal["skip", "queue", "replace", "allow"]
    catch_up: Literal["latest", "none", "all"]
    catch_up_window: Duration
    jitter: Duration
    timeout: Duration | None
    keep_for: Duration | None
    keep_last: int | None
    tags: list[str]


class RunFailed(CallsheetError):
    """A run did not succeed; `instance` says how it ended."""

    def __init__(self, instance: Instance) -> None:
        why = f": {instance.error.type}: {instance.error.message}" if instance.error else ""
        super().__init__(f"{instance.task} {instance.outcome}{why} ({instance.id}).")
        self.instance = instance


@frozen
class Finished(Generic[T]):
    """A run that is over, with all that it sent."""

    instance: Instance
    outputs: list[T]

    @property
    def succeeded(self) -> bool:
        """Tell whether it did what it should."""
        return self.instance.outcome == "succeeded"

    def check(self) -> "Finished[T]":
        """Return itself; raise RunFailed unless it succeeded."""
        if not self.succeeded:
            raise RunFailed(self.instance)
        return self


class Engine(Verbs):
    """An engine that runs in this program, made by `callsheet.engine`.

    Usable by every Trio task of the program for as long as the `async with` lasts; then Unavailable is raised.
    """

    def __init__(self, node: Node, tree: Tree, url: str | None) -> None:
        super().__init__(self._send, node.door, node.database, node.tasks)
        self._node = node
        self._tree = tree
        self._over = False
        self._room = WaitingRoom(closes_with="node.stopped")
        tree.listeners.append(self._room.take)
        self.url = url
        self.lost = tree.lost

    def __repr__(self) -> str:
        return f"<Engine on {self._node.database.shown}, {', '.join(sorted(self._tasks)) or 'no tasks'}>"

    @property
    def now(self) -> datetime:
        """The time of day, as the engine has it."""
        return to_datetime(self._node.clock.now())

    @property
    def tasks(self) -> list[str]:
        """The names of the tasks it knows."""
        return sorted(self._tasks)

    # --- schedules ---

    async def put(self, id: str, task: Runnable[Any] | str, **fields: Unpack[ScheduleFields]) -> Schedule:  # noqa: A002
        """Create a schedule, or replace it; the same again changes nothing."""
        document = encode(document_of(name_of(task), cast("dict[str, Any]", fields)))
        return await self.put_document(id, msgspec.json.decode(document))

    async def schedules(
        self, *, task: str | None = None, state: str | None = None, tag: str | None = None, limit: int = 200
    ) -> list[Schedule]:
        """Return the schedules that match, by id."""
        wanted = {"task": task, "state": state, "tag": tag}
        page = await self.read(schedule_queries.list_schedules, **wanted, limit=limit, cursor=None)
        return [values.schedule(record) for record in page.items]

    # --- instances ---

    async def start(
        self,
        task: Runnable[Any] | str,
        input: object = ...,  # noqa: A002 - its name everywhere else
        *,
        timeout: Duration | None = None,  # noqa: ASYNC109 - the run's own
        tags: Iterable[str] = (),
    ) -> Instance:
        """Start a task now, and return once that is committed; without `input`, its defaults hold."""
        return await self.start_named(name_of(task), input, timeout=timeout, tags=tags)

    async def wait(self, instance: Which, within: Duration | None = None) -> Instance:
        """Return an instance when it is over; TimeoutError after `within`, while it runs on.

        A retry is an instance of its own. Unavailable when the engine ends before.
        """
        name = id_of(instance)

        async def is_over() -> bool:
            return (await self.instance(name)).outcome is not None

        seconds = inf if within is None else duration_of(within) / SECOND
        await self._room.wait(name, seconds, is_over)
        found = await self.instance(name)
        if found.outcome is not None:
            return found
        if self._room.closed:
            raise Unavailable(f"The engine stopped before {found.task} was over ({name}).")
        raise TimeoutError(f"After {within} it was not over: {found}")

    async def run(
        self,
        task: Runnable[T],
        input: object = ...,  # noqa: A002 - its name everywhere else
        *,
        timeout: Duration | None = None,  # noqa: ASYNC109 - the run's own
        tags: Iterable[str] = (),
    ) -> Finished[T]:
        """Start a task, wait until it is over, and return how it ended with all that it sent, typed as it sends it.

        To leave before does not cancel it.
        """
        over = await self.wait(await self.start(task, input, timeout=timeout, tags=tags))
        known = self._tasks[over.task]
        return Finished(over, [known.decode_output(msgspec.json.encode(one)) for one in await self.outputs(over)])

    # --- how it gets there ---

    async def read(self, query: Any, *args: Any, **options: Any) -> Any:
        """Run a query; the first argument it gets is the database."""
        if self._over:
            raise Unavailable(_CLOSED)
        return await super().read(query, *args, **options)

    def close(self) -> None:
        """Let nobody wait or read any more."""
        self._over = True
        self._room.close()

    async def _send(self, command: Command) -> Any:
        if self._over:
            raise Unavailable(_CLOSED)
        if isinstance(command, _STARTS) and not self._tree.takes_orders:
            raise Unavailable("The engine is stopping and starts nothing new.")
        return await order(self._tree.bus, OnBehalf(command, CALLER))
