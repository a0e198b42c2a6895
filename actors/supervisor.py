"""The supervisor: the whole tree on one screen, its restart budgets, and the order in which it stops.

engine
├── bus         one writer; when it fails, nothing may be told any more: the process ends
├── tipman      owns the actors of all instances; when it fails, the process ends
│   └── one actor per task instance, each behind its own guard
├── scheduler   keeps no state: restarted up to 5 times a minute, then the process ends
├── narrator    shows facts to people: restarted likewise
├── janitor     has old history deleted: restarted likewise
├── auditor     looks whether what must hold does: restarted likewise
├── feed        hands committed events to those who follow: restarted likewise
└── webhooks    tells other servers of events: restarted likewise
"""

import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

import trio
from attrs import define, field, frozen

from actors.auditor import Audit, Auditor, auditor
from actors.bus import Bus, Health, Listener, bus
from actors.feed import Feed, Followed, feed
from actors.inbox import ask, leave_nobody_waiting, order
from actors.janitor import EVERY, Janitor, janitor
from actors.messages import (
    Census,
    FeedMessage,
    InterruptAll,
    LastCall,
    Nudge,
    Order,
    Present,
    TipmanMessage,
    WebhookMessage,
    WhenIdle,
)
from actors.meter import Meter
from actors.narrator import narrator
from actors.scheduler import LONGEST_WAIT, scheduler
from actors.tipman import Tipman, tipman
from actors.webhooks import Webhooks, webhooks
from callsheet.clock import Clock, VirtualClock
from callsheet.errors import GaveUp, Unavailable
from callsheet.logs import told
from callsheet.retention import Keep
from callsheet.tasks import Task
from callsheet.timer import Timer
from callsheet.workers import Pool
from storage.database import Database
from storage.door import Door
from storage.journal.commands import Drain, Recover, StopNode
from storage.journal.facts import Fact
from storage.journal.journal import Journal

if TYPE_CHECKING:
    from callsheet.tracing import Tracing

log = logging.getLogger("callsheet.supervisor")

BUS_ROOM = 10_000  # orders that may wait for the bus; then its senders wait
TIPMAN_ROOM = 100  # batches of facts and questions
NARRATOR_ROOM = 100  # batches of facts; what does not fit is not shown
FEED_ROOM = 1_000  # who want to follow
WEBHOOKS_ROOM = 20  # who want to try one
RESTARTED = ("scheduler", "narrator", "feed", "webhooks", "janitor", "auditor")  # when they crash


@frozen
class Budget:
    """How often an actor may be restarted: `restarts` times within `seconds`."""

    restarts: int = 5
    seconds: float = 60.0


@frozen
class Rules:
    """What the engine keeps to when it waits, cancels and stops (seconds)."""

    drain: float = 20.0
    cleanup_timeout: float = 5.0
    last_cleanup: float = 1.2  # after the drain: stopping has its own bound, drain + 2 s in all
    tells_webhooks: bool = True  # a simulation tells nobody
    counts: bool = True  # for /metrics, of which a simulation has none
    longest_wait: float = LONGEST_WAIT  # of the scheduler; a simulation whose clock never steps may wait for days
    keep: Keep = field(factory=Keep)  # history: for ever, unless told otherwise
    housekeeping: float = EVERY  # between two looks of the janitor and of the auditor; longest_wait, if that is longer


@define
class Engine:
    """The engine from outside: where to send, and how it is. The supervisor fills in what it finds at the end."""

    bus: trio.MemorySendChannel[Order]
    tipman: trio.MemorySendChannel[TipmanMessage]
    scheduler: trio.MemorySendChannel[Nudge]  # have it look at once, as after the clock was set
    feed: trio.MemorySendChannel[FeedMessage]
    webhooks: trio.MemorySendChannel[WebhookMessage]
    health: Health
    listeners: list[Listener] = field(factory=list)  # told of all facts; see the bus
    stop: trio.Event = field(factory=trio.Event)  # set it: stop as told
    hurry: trio.Event = field(factory=trio.Event)  # set it, too: skip the drain
    draining: bool = False
    ready: bool = False
    lost: int = 0
    audit: Audit = field(factory=Audit)
    left: Present | None = None
    stopped: trio.Event = field(factory=trio.Event)  # all is written down; what is `left` never ended
    falling: trio.Event = field(factory=trio.Event)  # a part has ended, and the others are being cancelled
    failure: BaseException | None = None  # why
    meter: Meter = field(factory=Meter)
    queues: dict[str, trio.MemorySendChannel[Any]] = field(factory=dict)  # by who reads them

    @property
    def takes_orders(self) -> bool:
        """Tell whether new work is accepted."""
        return self.ready and not self.draining


async def engine(
    journal: Journal,
    door: Door,
    tasks: Mapping[str, Task[Any, Any]],
    clock: Clock,
    rules: Rules,
    write: Callable[[str], object] | None,
    *,
    tracing: "Tracing | None" = None,
    task_status: trio.TaskStatus[Engine] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run the whole tree until it is told to stop; GaveUp when a part of it fails for good.

    `write` shows lines to people (None: nobody watches), `tracing` makes a span of each attempt. Started, it has
    settled what an earlier boot left behind.
    """
    to_bus, bus_inbox = trio.open_memory_channel[Order](BUS_ROOM)
    to_tipman, tipman_inbox = trio.open_memory_channel[TipmanMessage](TIPMAN_ROOM)
    to_scheduler, nudges = trio.open_memory_channel[Nudge](1)
    to_narrator, facts = trio.open_memory_channel[tuple[Fact, ...]](NARRATOR_ROOM if write else 0)
    to_feed, feed_inbox = trio.open_memory_channel[FeedMessage](FEED_ROOM)
    to_webhooks, webhooks_inbox = trio.open_memory_channel[WebhookMessage](WEBHOOKS_ROOM)
    wake_feed, feed_nudges = trio.open_memory_channel[Nudge](1)
    wake_webhooks, webhooks_nudges = trio.open_memory_channel[Nudge](1)
    shared, followed = Engine(to_bus, to_tipman, to_scheduler, to_feed, to_webhooks, Health()), Followed()
    shared.queues = {"bus": to_bus, "tipman": to_tipman, "scheduler": to_scheduler, "narrator": to_narrator}
    shared.queues |= {"feed": to_feed, "webhooks": to_webhooks}
    read = partial(_read, door, journal)
    async with trio.open_nursery() as tree:
        writer = Bus(
            inbox=bus_inbox,
            tipman=to_tipman,
            scheduler=to_scheduler,
            narrator=to_narrator if write else None,
            door=door,
            journal=journal,
            health=shared.health,
            meter=shared.meter if rules.counts else None,
            listeners=shared.listeners,
            feed=wake_feed,
            followed=followed,
            webhooks=wake_webhooks if rules.tells_webhooks else None,
        )
        tree.start_soon(_part, shared, partial(bus, writer))
        # A process knows real time only: on a clock that jumps, isolated tasks run in this one, as in `run`.
        workers = None if isinstance(clock, VirtualClock) else Pool()
        directory = Tipman(tipman_inbox, to_bus, tasks, clock, rules.cleanup_timeout, workers, tracing)
        tree.start_soon(_part, shared, partial(tipman, directory))
        if write is not None:
            show = partial(narrator, facts, write)
            tree.start_soon(_part, shared, partial(restarted, "narrator", show, count=shared.meter.restarts))
        _open(tree, shared, "feed", feed_inbox, partial(feed, Feed(feed_inbox, feed_nudges, read, followed)))
        shared.lost = await _recover(to_bus)
        sender = Webhooks(webhooks_inbox, webhooks_nudges, to_bus, read, clock, journal.node)
        if rules.tells_webhooks:
            _open(tree, shared, "webhooks", webhooks_inbox, partial(webhooks, sender))
        planner = trio.CancelScope()
        waits = (None, clock.settled) if isinstance(clock, VirtualClock) else (Timer().sleep, None)
        look = partial(scheduler, nudges, to_bus, clock, clock.now(), rules.longest_wait, *waits)
        tree.start_soon(_part, shared, partial(_within, planner, look, shared.meter))
        _keep_house(tree, shared, journal.database, door, clock, rules)
        shared.ready = True
        task_status.started(shared)
        await shared.stop.wait()
        await _stop(shared, planner, rules)
        shared.stopped.set()
        tree.cancel_scope.cancel()


def _keep_house(tree: trio.Nursery, shared: Engine, database: Database, door: Door, clock: Clock, rules: Rules) -> None:
    """Start those who end by themselves once the engine is told to stop."""
    every = max(rules.housekeeping, rules.longest_wait)
    sweep = Janitor(shared.bus, door, database, clock, rules.keep, shared.stop, every)
    count = shared.meter.restarts
    tree.start_soon(_part, shared, partial(restarted, "janitor", partial(janitor, sweep), count=count))
    check = Auditor(shared.bus, door, database, shared.stop, shared.audit, every)
    tree.start_soon(_part, shared, partial(restarted, "auditor", partial(auditor, check), count=count))


async def _part(shared: Engine, actor: Callable[[], Awaitable[None]]) -> None:
    """Run a part of the tree, and tell at once when it fails: tasks that never end may hold up the tree itself."""
    try:
        await actor()
    except BaseException as error:
        shared.failure = shared.failure or error
        shared.falling.set()
        raise


def _open(
    tree: trio.Nursery,
    shared: Engine,
    name: str,
    inbox: trio.MemoryReceiveChannel[Any],
    actor: Callable[[], Awaitable[None]],
) -> None:
    """Start an actor that may be started again, and close its inbox when it is not: nobody waits for ever."""

    async def attended() -> None:
        try:
            await restarted(name, actor, count=shared.meter.restarts)
        finally:
            leave_nobody_waiting(inbox)

    tree.start_soon(_part, shared, attended)


async def _read(door: Door, journal: Journal, query: Callable[..., Any], *args: Any) -> Any:
    return await door.read(query, journal.database, *args)


async def _within(scope: trio.CancelScope, actor: Callable[[], Awaitable[None]], meter: Meter) -> None:
    with scope:
        await restarted("scheduler", actor, count=meter.restarts)


async def _recover(to_bus: trio.MemorySendChannel[Order]) -> int:
    """Settle what an earlier boot left, however long the database needs to answer."""
    while True:
        try:
            lost: int = await order(to_bus, Recover())
        except Unavailable:
            await trio.sleep(0.5)
        else:
            return lost


async def restarted(
    name: str, actor: Callable[[], Awaitable[None]], budget: Budget = Budget(), count: Counter[str] | None = None
) -> None:
    """Run an actor and start it again when it crashes; GaveUp once its budget is used up. `count` counts by name."""
    count = Counter() if count is None else count
    crashes: deque[float] = deque()
    while True:
        try:
            await actor()
        except Exception as error:
            log.exception("the %s crashed; it is started again", name, extra=told("actor.crashed", actor=name))
            crashes.append(trio.current_time())
            count[name] += 1
            while crashes[0] < crashes[-1] - budget.seconds:
                crashes.popleft()
            await trio.sleep(min(0.1 * 2 ** len(crashes), 2.0))
            if len(crashes) > budget.restarts:
                raise GaveUp(
                    f"The {name} crashed {len(crashes)} times within {budget.seconds:g} s, "
                    f"at last by {type(error).__name__}: {error}"
                ) from error
        else:
            return


async def _stop(shared: Engine, planner: trio.CancelScope, rules: Rules) -> None:
    """Stop in order; should a part of the tree fail meanwhile, it is that part that says why."""
    try:
        await _stop_in_order(shared, planner, rules)
    except (Unavailable, trio.BrokenResourceError):
        await trio.sleep_forever()


async def _stop_in_order(shared: Engine, planner: trio.CancelScope, rules: Rules) -> None:
    """No new firings, drain, interrupt, write down the end."""
    shared.draining = True
    planner.cancel()
    with suppress(Unavailable), trio.move_on_after(1.0):
        await order(shared.bus, Drain())  # once it is committed, nothing begins any more
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_hurry, shared.hurry, nursery.cancel_scope)
        with suppress(Unavailable), trio.move_on_after(rules.drain):
            await ask(shared.tipman, WhenIdle, room=inf)
        nursery.cancel_scope.cancel()
    with trio.move_on_after(rules.last_cleanup):
        await shared.tipman.send(InterruptAll("shutdown"))
        await ask(shared.tipman, WhenIdle, room=inf)
    shared.left = await ask(shared.tipman, Census, room=inf)
    with suppress(Unavailable), trio.move_on_after(0.3):
        await order(shared.bus, StopNode())
    with suppress(Unavailable), trio.move_on_after(0.2):
        await ask(shared.feed, LastCall)


async def _hurry(hurry: trio.Event, scope: trio.CancelScope) -> None:
    await hurry.wait()
    scope.cancel()
