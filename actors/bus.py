"""The EventBus: one queue for all changes, one transaction per batch, facts told only after the commit."""

import logging
from collections.abc import Callable
from typing import Any

import trio
from attrs import define, field

from actors.feed import Followed
from actors.inbox import answer, leave_nobody_waiting
from actors.messages import Nudge, Order, TipmanMessage, Told
from actors.meter import Meter
from callsheet.errors import CallsheetError, GaveUp, Unavailable
from callsheet.logs import told
from storage.door import Door
from storage.journal.commands import KeepLog, KeepOutput
from storage.journal.facts import Fact, InstanceEnded, InstanceQueued, ScheduleChanged
from storage.journal.journal import Applied, Interrupted, Journal, Verdict

log = logging.getLogger("callsheet.bus")

# Told of each batch on the spot, before anybody who was answered can go on: for what must hold at once, such as that a
# revoked key is let in no more. A listener neither waits nor raises.
Listener = Callable[[tuple[Fact, ...]], None]

MAX_BATCH = 4000  # rows or so in one transaction: large batches are cheap, endless ones would starve the readers
MOST_KEPT = 100_000  # reports kept while the database does not answer; then the queue fills, and its senders wait
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds between two tries while the database does not answer
_PLANNING = frozenset((ScheduleChanged, InstanceQueued))  # facts after which something may be due sooner


@define
class Health:
    """What the door of the service may know about the bus: the error that storage gives at present, if any."""

    storage: CallsheetError | None = None


@define
class Bus:
    """The ends of the channels that the bus holds; its state is in its loop."""

    inbox: trio.MemoryReceiveChannel[Order]
    tipman: trio.MemorySendChannel[TipmanMessage]
    scheduler: trio.MemorySendChannel[Nudge]
    narrator: trio.MemorySendChannel[tuple[Fact, ...]] | None  # None: nobody watches
    door: Door
    journal: Journal
    health: Health = field(factory=Health)
    meter: Meter | None = field(factory=Meter)  # None: nobody asks for figures
    listeners: list[Listener] = field(factory=list)
    feed: trio.MemorySendChannel[Nudge] | None = None  # who reads new events from the database
    followed: Followed = field(factory=Followed)  # what the feed has to read them for
    webhooks: trio.MemorySendChannel[Nudge] | None = None


async def bus(ends: Bus) -> None:
    """Write down what comes in, in order, until all who could send have hung up.

    Reports of what has already happened are kept and tried again for as long as the database does not answer;
    everybody else is told at once that it does not.
    """
    batch: list[Order] | None = []
    kept: list[Order] = []
    pause = FIRST_PAUSE
    try:
        while (batch := await _gather(ends.inbox, kept, pause)) is not None:
            kept = await _commit(ends, batch) if batch else []
            pause = min(pause * 2, LONGEST_PAUSE) if kept else FIRST_PAUSE
    finally:
        leave_nobody_waiting(ends.inbox, batch or [])


async def _gather(inbox: trio.MemoryReceiveChannel[Order], kept: list[Order], pause: float) -> list[Order] | None:
    """Return all that waits, or None at the end; with orders kept from before, wait for `pause` at most."""
    batch = list(kept)
    if kept:
        await trio.sleep(pause)
    else:
        try:
            batch.append(await inbox.receive())
        except trio.EndOfChannel:
            return None
    weight = sum(one.command.weight for one in batch[len(kept) :])  # what is kept must not shut out who waits
    while weight < MAX_BATCH and len(kept) < MOST_KEPT:
        try:
            batch.append(inbox.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            break
        weight += batch[-1].command.weight
    return batch


async def _commit(ends: Bus, batch: list[Order]) -> list[Order]:
    """Commit a batch, answer and tell; return the orders that must be tried again."""
    began = trio.current_time()
    applied, reason = await _apply(ends, batch)
    if ends.meter is not None:
        _measure(ends.meter, trio.current_time() - began, len(batch), failed=reason is not None)
    for one, verdict in zip(batch, applied.verdicts, strict=False):
        _answer(one, verdict)
    ends.health.storage = reason
    if ends.followed.instances:
        _stir(ends.followed, batch, applied.facts)
    if applied.facts:
        await _tell(ends, tuple(applied.facts))
    if ends.feed is not None and (ends.followed.stirred or (applied.facts and ends.followed.events)):
        _offer(ends.feed, Nudge())
    return [] if reason is None else _refuse(batch[len(applied.verdicts) :], reason)


def _measure(meter: Meter, seconds: float, commands: int, *, failed: bool) -> None:
    meter.transactions.add(seconds)
    meter.batches.add(commands)
    meter.failures += failed


async def _apply(ends: Bus, batch: list[Order]) -> tuple[Applied, CallsheetError | None]:
    try:
        return await ends.door.write(ends.journal.apply, [one.command for one in batch]), None
    except Interrupted as error:
        if isinstance(error.reason, GaveUp):
            raise error.reason from error
        log.warning("%s", error.reason, extra=told("database.unavailable"))
        return error.applied, error.reason
    except Unavailable as error:
        log.warning("%s", error, extra=told("database.unavailable"))
        return Applied(), error


def _refuse(rest: list[Order], reason: CallsheetError) -> list[Order]:
    for one in rest:
        if not one.command.keep:
            _answer(one, Verdict(error=reason))
    return [one for one in rest if one.command.keep]


def _answer(one: Order, verdict: Verdict) -> None:
    if one.reply_to is not None:
        answer(one.reply_to, verdict)
    elif verdict.error is not None:
        kind = type(one.command).__name__
        log.error("%s was refused: %s", kind, verdict.error, extra=told("order.refused", command=kind))


async def _tell(ends: Bus, facts: tuple[Fact, ...]) -> None:
    for listener in ends.listeners:
        listener(facts)
    try:
        ends.tipman.send_nowait(Told(facts))
    except (trio.WouldBlock, trio.BrokenResourceError):  # gone: then we are being cancelled, too, and find out here
        await ends.tipman.send(Told(facts))
    if not _PLANNING.isdisjoint(map(type, facts)):
        _offer(ends.scheduler, Nudge())
    if ends.narrator is not None:
        _offer(ends.narrator, facts)
    if ends.webhooks is not None:
        _offer(ends.webhooks, Nudge())
    if ends.meter is not None:
        ends.meter.take(facts)


def _stir(followed: Followed, batch: list[Order], facts: list[Fact]) -> None:
    """Note which of the instances that somebody follows have said something, or ended."""
    said = {one.command.instance for one in batch if isinstance(one.command, KeepOutput | KeepLog)}
    said |= {fact.id for fact in facts if isinstance(fact, InstanceEnded)}
    followed.stirred |= said & followed.instances.keys()


def _offer(channel: trio.MemorySendChannel[Any], message: Any) -> None:
    """Send if there is room: a full nudge is a nudge, and a slow narrator misses something."""
    try:
        channel.send_nowait(message)
    except (trio.WouldBlock, trio.BrokenResourceError):
        return
