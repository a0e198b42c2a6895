"""What the views have in hand: the engine to tell, the database to read, and nothing else."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

import trio
from attrs import define, field, frozen
from quart import current_app, g

from actors.inbox import order
from actors.supervisor import Engine
from callsheet.apart import Simulator
from callsheet.clock import Clock
from callsheet.errors import KeyReused, Unavailable
from callsheet.figures import SHORT, Histogram
from callsheet.tasks import Registry
from storage.database import Database
from storage.door import Door
from storage.journal.commands import Command, IdempotencyKey, Kept, OnBehalf
from web.gate import caller_at_hand
from web.looks import Seen, looks_at
from web.replies import KeyInFlight, Reply, idempotency_key
from web.together import Together
from web.traffic import Traffic
from web.waiting_room import WaitingRoom

if TYPE_CHECKING:
    from callsheet.tracing import Tracing

T = TypeVar("T")

READ_AT_A_TIME = 8
LARGE_AT_A_TIME = 16
LARGE_ANSWERS = 50  # that wait to be taken by their clients
ANSWER = 25.0  # seconds that a client waits for a commit before it is told that nobody knows


@define
class Streams:
    """How many answers that last are open, and how many may be.

    Only so many of them read at a time, so that a thousand who come back at once do not keep other readers out.
    """

    room: int = 1_000
    open: int = 0
    readings: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(READ_AT_A_TIME))

    @property
    def full(self) -> bool:
        """Tell whether there may be no more."""
        return self.open >= self.room


@frozen
class Site:
    """Everything a view may use."""

    engine: Engine
    database: Database
    door: Door
    tasks: Registry
    clock: Clock
    node: str
    lag: Callable[[], float]  # seconds by which the event loop was late lately
    lags: Histogram = field(factory=partial(Histogram, SHORT))  # of the loop, since the start (seconds)
    traffic: Traffic = field(factory=Traffic)
    max_running: int | None = None  # of all tasks together
    simulator: Simulator = field(factory=Simulator)
    room: WaitingRoom = field(factory=WaitingRoom)
    in_flight: dict[str, str] = field(factory=dict)  # idempotency keys that are being worked on
    streams: Streams = field(factory=Streams)
    tracing: "Tracing | None" = None
    large: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(LARGE_AT_A_TIME))  # bodies on their way
    answers: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(LARGE_ANSWERS))  # large ones, likewise

    looks: Together[UUID, Seen | None] = field(init=False)  # at single instances

    @looks.default
    def _looks(self) -> Together[UUID, Seen | None]:
        return looks_at(self.engine, self.database, self.door)

    async def read(self, query: Callable[..., T], *args: Any, **options: Any) -> T:
        """Run a query; the first argument it gets is the database."""
        return await self.door.read(lambda: query(self.database, *args, **options))

    async def read_for_stream(self, query: Callable[..., T], *args: Any, **options: Any) -> T:
        """Run a query for an answer that lasts."""
        async with self.streams.readings:
            return await self.read(query, *args, **options)

    async def change(self, command: Command, show: Callable[[Any], Reply], *, starts: bool = False) -> Reply:
        """Have a change written down, and with it who asked for it; one that starts work is refused while we stop.

        `show` turns the journal's answer into ours. With an `Idempotency-Key` it is called by the writer's thread,
        and the answer is kept in the same transaction; a request that comes again gets that answer.
        """
        key = idempotency_key(show)
        with self._in_flight(key):
            answer = await self.have_done(self._on_behalf(command, key), starts=starts)
        return Reply.of(answer.text, replayed=answer.replayed) if isinstance(answer, Kept) else show(answer)

    async def order(self, command: Command, *, starts: bool = False) -> Any:
        """Ask the journal for what changes nothing, such as a dry run; asked twice it does no harm."""
        return await self.have_done(self._on_behalf(command), starts=starts)

    def _on_behalf(self, command: Command, key: IdempotencyKey | None = None) -> OnBehalf:
        trace = None if self.tracing is None else self.tracing.here()
        return OnBehalf(command, caller_at_hand().name, g.get("request_id"), key, trace)

    async def have_done(self, command: OnBehalf, *, starts: bool) -> Any:
        """Have it written down, on whoever's behalf; Unavailable, which says so, when that is not known."""
        if starts and not self.engine.takes_orders:
            raise Unavailable("The service is stopping and starts nothing new.")
        with trio.move_on_after(ANSWER):
            return await order(self.engine.bus, command)
        raise Unavailable("The database has not answered yet: whether this was done is not known.")

    @contextmanager
    def _in_flight(self, key: IdempotencyKey | None) -> Iterator[None]:
        """Refuse a request whose twin is on its way to the journal."""
        if key is None:
            yield
            return
        if key.id in self.in_flight:
            raise KeyInFlight if self.in_flight[key.id] == key.fingerprint else KeyReused
        self.in_flight[key.id] = key.fingerprint
        try:
            yield
        finally:
            del self.in_flight[key.id]


def site() -> Site:
    """Return the site of the request at hand."""
    return cast("Site", current_app.config["SITE"])
