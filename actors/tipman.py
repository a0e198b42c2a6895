"""The TIPMan (Task In Progress Manager): the directory of all that runs here; it starts and cancels instance actors.

In memory means running, in the database means over, and what is in neither never existed, or retention took it.
"""

import heapq
import logging
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any, assert_never
from uuid import UUID

import trio
from attrs import define, field

from actors.inbox import answer, leave_nobody_waiting
from actors.instance import Cancellation, Live, perform
from actors.messages import (
    Attendance,
    Census,
    InterruptAll,
    Order,
    Present,
    RollCall,
    Sighting,
    StackOf,
    TipmanMessage,
    Told,
    WhenIdle,
    WhereAre,
)
from callsheet.clock import Clock
from callsheet.logs import told
from callsheet.tasks import Task
from callsheet.tasks.stack import await_stack, where_it_stands
from callsheet.workers import Pool, Worker
from storage.journal.commands import EndInstance, MarkStuck
from storage.journal.facts import CancelRequested, Fact, InstanceEnded, InstanceStarted

if TYPE_CHECKING:
    from callsheet.tracing import Tracing

log = logging.getLogger("callsheet.tipman")

LEFT_OVER = 4096
CHUNK = 200  # starts or cancellations between two breaths: ten thousand at once would hold the loop for a second
ASIDE = 16  # messages that are set aside to find those who only look among them


@define
class Tipman:
    """The ends of the channels the TIPMan holds, and what it has in hand."""

    inbox: trio.MemoryReceiveChannel[TipmanMessage]
    bus: trio.MemorySendChannel[Order]
    tasks: Mapping[str, Task[Any, Any]]
    clock: Clock
    cleanup_timeout: float
    workers: Pool | None = None  # None: isolated tasks run in this process, too
    tracing: "Tracing | None" = None
    directory: dict[UUID, Live] = field(factory=dict)
    _asked_when_idle: list[trio.MemorySendChannel[bool]] = field(factory=list)
    _ends: list[tuple[float, UUID]] = field(factory=list)  # a heap: by when each must have ended
    _ends_changed: trio.Event = field(factory=trio.Event)
    _interrupting: bool = False
    _aside: deque[TipmanMessage] = field(factory=deque)  # what came while we were at something long, in order


async def tipman(own: Tipman) -> None:
    """Keep the directory until all who could ask have hung up; whatever still runs then is cancelled."""
    async with trio.open_nursery() as stage:
        stage.start_soon(_watch_clean_up, own)
        if own.workers is not None:
            stage.start_soon(own.workers.tend)
        try:
            async for message in own.inbox:
                await _handle(own, message, stage)
                while own._aside:
                    await _handle(own, own._aside.popleft(), stage)
        finally:  # before the stage is empty: a task may never end
            leave_nobody_waiting(own.inbox, own._aside)
            for reply_to in own._asked_when_idle:
                reply_to.close()
        stage.cancel_scope.cancel()


async def _handle(own: Tipman, message: TipmanMessage, stage: trio.Nursery) -> None:
    match message:
        case Told(facts):
            await _take_facts(own, facts, stage)
        case WhereAre():
            _tell_where(own, message)
        case StackOf(instance, reply_to):
            _tell_stack(own.directory.get(instance), reply_to, stage)
        case Census(reply_to):
            answer(reply_to, _present(own))
        case RollCall(reply_to):
            answer(reply_to, _attendance(own))
        case WhenIdle(reply_to):
            own._asked_when_idle.append(reply_to)
        case InterruptAll(_):
            own._interrupting = True
            await _cancel(own, list(own.directory.values()), "interrupted")
        case _:
            assert_never(message)
    _answer_idle(own)


async def _take_facts(own: Tipman, facts: tuple[Fact, ...], stage: trio.Nursery) -> None:
    since_breath = 0
    cancelled: list[Live] = []
    for fact in facts:
        if isinstance(fact, InstanceStarted):
            _start(own, fact, stage)
            since_breath += 1
        elif isinstance(fact, InstanceEnded):
            own.directory.pop(fact.id, None)
        elif isinstance(fact, CancelRequested) and fact.id in own.directory:
            cancelled.append(own.directory[fact.id])
        if since_breath >= CHUNK:
            since_breath = 0
            await _breathe(own)
    await _cancel(own, cancelled, "cancelled")


def _start(own: Tipman, fact: InstanceStarted, stage: trio.Nursery) -> None:
    live = Live(fact)
    own.directory[fact.id] = live
    stage.start_soon(_perform, own, live)
    if own._interrupting:
        _cancel_one(own, live, "interrupted")


@trio.lowlevel.enable_ki_protection
async def _perform(own: Tipman, live: Live) -> None:
    """Run the instance's actor; should that fail, which is a fault of ours, the instance has failed."""
    if live.run.timeout is not None:
        _expect_end(own, trio.current_time() + live.run.timeout / 1_000_000, live)
    try:
        await perform(live, own.tasks[live.run.task], own.bus, own.clock, own.workers, own.tracing)
    except trio.Cancelled:
        raise
    except BaseException:
        log.exception("the actor of instance %s failed", live.run.id, extra=_about(live, "instance.actor_failed"))
        now = own.clock.now()
        error = b'{"type": "InternalError", "message": "the engine failed; see its log"}'
        with suppress(trio.BrokenResourceError):
            await own.bus.send(Order(EndInstance(live.run, "failed", live.started_at or now, now, error)))


async def _cancel(own: Tipman, lives: list[Live], outcome: str) -> None:
    for index, live in enumerate(lives, start=1):
        _cancel_one(own, live, outcome)
        if index % CHUNK == 0:
            await _breathe(own)


async def _breathe(own: Tipman) -> None:
    """Let others run, and answer those who only look: they need not wait until ten thousand have begun."""
    await trio.lowlevel.checkpoint()
    with suppress(trio.WouldBlock, trio.EndOfChannel):
        while len(own._aside) < ASIDE:
            message = own.inbox.receive_nowait()
            if isinstance(message, WhereAre):
                _tell_where(own, message)
            else:
                own._aside.append(message)


def _tell_where(own: Tipman, asked: WhereAre) -> None:
    answer(asked.reply_to, tuple(_sighting(own.directory.get(instance)) for instance in asked.instances))


def _cancel_one(own: Tipman, live: Live, outcome: str) -> None:
    if live.cancellation is not None:
        return
    live.cancellation = Cancellation(outcome, trio.current_time())
    live.scope.cancel()
    _expect_end(own, trio.current_time(), live)


def _expect_end(own: Tipman, told_at: float, live: Live) -> None:
    """Look, once the clean-up time has passed, whether an instance that was told to end has done so."""
    if len(own._ends) > LEFT_OVER + 4 * len(own.directory):  # of instances that ended long before their time-out
        own._ends = [end for end in own._ends if end[1] in own.directory]
        heapq.heapify(own._ends)
    heapq.heappush(own._ends, (told_at + own.cleanup_timeout, live.run.id))
    if own._ends[0][1] == live.run.id:
        own._ends_changed.set()


async def _watch_clean_up(own: Tipman) -> None:
    while True:
        own._ends_changed = trio.Event()
        wait = own._ends[0][0] - trio.current_time() if own._ends else inf
        if wait > 0:
            with trio.move_on_after(wait):
                await own._ends_changed.wait()
            continue
        live = own.directory.get(heapq.heappop(own._ends)[1])
        if live is None or live.stuck is not None:
            continue
        if live.deadline + own.cleanup_timeout <= trio.current_time():
            await _mark_stuck(own, live)
        else:  # its time-out began a little later than we reckoned
            _expect_end(own, live.deadline, live)


def _tell_stack(live: Live | None, reply_to: trio.MemorySendChannel[list[str] | None], stage: trio.Nursery) -> None:
    """Answer where an instance stands; one in a worker process is asked there, while we go on."""
    if live is not None and live.worker is not None:
        stage.start_soon(_ask_worker, live.worker, reply_to)
    else:
        answer(reply_to, await_stack(live.trio_task) if live and live.trio_task else None)


async def _ask_worker(worker: Worker, reply_to: trio.MemorySendChannel[list[str] | None]) -> None:
    with reply_to:
        answer(reply_to, await worker.stack())


async def _mark_stuck(own: Tipman, live: Live) -> None:
    live.stuck = where_it_stands(live.trio_task)
    extra = _about(live, "instance.stuck", where=live.stuck)
    log.warning("instance %s of %s does not end: it stands at %s", live.run.id, live.run.task, live.stuck, extra=extra)
    with suppress(trio.BrokenResourceError):
        await own.bus.send(Order(MarkStuck(live.run.id, live.stuck)))


def _about(live: Live, event: str, **fields: object) -> dict[str, Any]:
    return told(event, instance=live.run.id, schedule=live.run.schedule, task=live.run.task, **fields)


def _sighting(live: Live | None) -> Sighting | None:
    return None if live is None else Sighting(live.started_at, live.stuck, live.progress)


def _present(own: Tipman) -> Present:
    stuck = tuple(instance for instance, live in own.directory.items() if live.stuck is not None)
    return Present(tuple(own.directory), stuck)


def _attendance(own: Tipman) -> Attendance:
    running = Counter(live.run.task for live in own.directory.values())
    return Attendance(running, sum(live.stuck is not None for live in own.directory.values()))


def _answer_idle(own: Tipman) -> None:
    if not own.directory:
        for reply_to in own._asked_when_idle:
            answer(reply_to, True)
        own._asked_when_idle.clear()
