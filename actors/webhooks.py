"""The webhooks: turns committed events into messages that are rows of their own, and sends what is due.

What it knows is in the database: how far each webhook has looked at the events, and what is on its way. A crash
between an answer and its commit sends a message again; receivers tell by its `webhook-id`.
"""

import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from typing import Any
from uuid import UUID, uuid4

import msgspec
import trio
from attrs import define, field

from actors.feed import event_document
from actors.inbox import answer, order
from actors.messages import Nudge, Order, Tried, WebhookMessage
from callsheet.clock import Clock
from callsheet.errors import CallsheetError, Unavailable
from callsheet.instants import SECOND, format_instant
from callsheet.logs import told
from callsheet.signing import signed
from callsheet.subscriptions import BACKOFF, cloud_event, takes
from storage.journal.commands import Command
from storage.journal.hook_commands import EndDelivery, Plan, PlanDeliveries, PostponeDelivery
from storage.queries.events import Wanted, read_events
from storage.queries.webhooks import active_webhook, active_webhooks, due_messages
from storage.records import DeliveryRecord, EventRecord, WebhookRecord

log = logging.getLogger("callsheet.webhooks")

PAGE = 200  # events that are looked at in one go
BATCH = 50  # messages to one webhook that are taken in hand together
EACH = 4  # that are sent to one webhook at a time
SHARED = 64  # that are sent at a time beyond the one that each webhook may always send
TESTS = 20  # test messages that are sent at a time
WITHIN = 15.0  # seconds for one attempt
TRIED_FOR = 24 * 3600 * SECOND  # after that a message is given up
KEEP_UP = 1_000  # events that interest nobody before it is written down that they were looked at
PACE, IDLE_PACE = 0.1, 1.0  # seconds between two rounds; the latter while there is no webhook
LONGEST_WAIT = 30.0
PAUSE = 1.0  # seconds between two tries while the database does not answer


@define
class Webhooks:
    """The ends of the channels it holds, and what it has in hand; `read` runs a query on the database."""

    inbox: trio.MemoryReceiveChannel[WebhookMessage]
    nudges: trio.MemoryReceiveChannel[Nudge]
    bus: trio.MemorySendChannel[Order]
    read: Callable[..., Awaitable[Any]]
    clock: Clock
    node: str
    _seen: dict[UUID, int] = field(factory=dict)  # how far events were looked at, where that is not written down yet
    _busy: set[UUID] = field(factory=set)  # webhooks that messages are being sent to
    _shared: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(SHARED))
    _tests: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(TESTS))
    _freed: trio.Event = field(factory=trio.Event)


async def webhooks(own: Webhooks) -> None:
    """Plan and send, for ever."""
    own._busy.clear()  # of a life before a crash
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_attend, own, nursery)
        while True:
            try:
                wait = await _round(own, nursery)
            except Unavailable:
                wait = PAUSE
                await trio.sleep(PAUSE)
            await _wait(own, wait)


async def _round(own: Webhooks, nursery: trio.Nursery) -> float:
    """Look at new events, send what is due; return after how many seconds there is more to send."""
    hooks: list[WebhookRecord] = await own.read(active_webhooks)
    if not hooks:
        own._seen.clear()
        await trio.sleep(IDLE_PACE)
        return inf
    await _plan(own, hooks)
    waits = [await _send_due(own, hook, nursery) for hook in hooks if hook.id not in own._busy]
    await trio.sleep(PACE)
    return min(waits, default=inf)


async def _wait(own: Webhooks, seconds: float) -> None:
    """Wait for an event, for a webhook that has sent what it had, or for the next message to be due."""

    async def nudged() -> None:
        await own.nudges.receive()
        nursery.cancel_scope.cancel()

    with trio.move_on_after(max(0.0, seconds if seconds == inf else min(seconds, LONGEST_WAIT))):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(nudged)
            await own._freed.wait()
            nursery.cancel_scope.cancel()
    own._freed = trio.Event()


# --- events become messages ---


async def _plan(own: Webhooks, hooks: list[WebhookRecord]) -> None:
    """Look at all events that are new to any webhook."""
    seen = {hook.id: max(hook.position, own._seen.get(hook.id, 0)) for hook in hooks}
    while True:
        after = min(seen.values())
        page = await own.read(read_events, Wanted(), after, PAGE)
        plans = [plan for hook in hooks if (plan := _planned(own, hook, seen[hook.id], page.items, page.upto))]
        if plans:
            await order(own.bus, PlanDeliveries(tuple(plans)))
        seen = {hook.id: max(seen[hook.id], page.upto) for hook in hooks}
        own._seen = seen
        if plans:  # what was written down may have moved, or may have been refused
            hooks = await own.read(active_webhooks)
            seen = {hook.id: max(hook.position, seen.get(hook.id, 0)) for hook in hooks}
        if not page.more or not hooks:
            return


def _planned(own: Webhooks, hook: WebhookRecord, seen: int, events: list[EventRecord], upto: int) -> Plan | None:
    """Return what one webhook is to be told, None when there is nothing to write down yet."""
    news = [event for event in events if event.id > seen and _interests(hook, event)]
    if not news and upto - hook.position < KEEP_UP:
        return None
    messages = tuple((event.id, _message(own, event)) for event in news)
    return Plan(hook.id, hook.position, max(upto, seen), messages)


def _interests(hook: WebhookRecord, event: EventRecord) -> bool:
    if hook.schedules and event.schedule not in hook.schedules:
        return False
    return takes(hook.events, event.type, msgspec.json.decode(event.data))


def _message(own: Webhooks, event: EventRecord) -> bytes:
    return msgspec.json.encode(cloud_event(_source(own), event_document(event)))


def _source(own: Webhooks) -> str:
    return f"urn:callsheet:{own.node}"


# --- messages are sent ---


async def _send_due(own: Webhooks, hook: WebhookRecord, nursery: trio.Nursery) -> float:
    """Take what is due to one webhook in hand; return the seconds until something else is."""
    now = own.clock.now()
    due = await own.read(due_messages, hook.id, now, BATCH)
    if due.messages:
        own._busy.add(hook.id)
        nursery.start_soon(_send_all, own, hook.id, due.messages)
        return inf  # it is looked at again when these are done
    return inf if due.next_at is None else (due.next_at - now) / SECOND


async def _send_all(own: Webhooks, hook: UUID, messages: list[DeliveryRecord]) -> None:
    """Send them in a lane of its own, and in more of those that all share while there are any.

    Nobody waits for a shared one: receivers that never answer may hold all of them for long.
    """
    waiting = deque(messages)
    try:
        async with trio.open_nursery() as nursery:
            for _ in range(min(EACH, len(messages)) - 1):
                nursery.start_soon(_help, own, waiting)
            await _send_along(own, waiting)
    finally:
        own._busy.discard(hook)
        own._freed.set()


async def _help(own: Webhooks, waiting: deque[DeliveryRecord]) -> None:
    with suppress(trio.WouldBlock):
        own._shared.acquire_nowait()
        try:
            await _send_along(own, waiting)
        finally:
            own._shared.release()


async def _send_along(own: Webhooks, waiting: deque[DeliveryRecord]) -> None:
    while waiting:
        await _send_one(own, waiting.popleft())


async def _send_one(own: Webhooks, message: DeliveryRecord) -> None:
    """Send one message to its webhook as that stands now; it stays due when it cannot be sent."""
    try:
        hook: WebhookRecord | None = await own.read(active_webhook, message.webhook)
        if hook is None:  # removed or disabled since
            return
        tried = await _try(own, hook, str(message.id), message.body.encode())
        await _report(own, _outcome(own, message, tried))
    except Unavailable as error:
        log.warning("a message waits: %s", error, extra=told("message.waits", webhook=message.webhook))


async def _report(own: Webhooks, command: Command) -> None:
    """Have an outcome written down; what the bus has taken it keeps until it is."""
    while True:
        try:
            await order(own.bus, command)
        except Unavailable:
            await trio.sleep(PAUSE)
        else:
            return


def _outcome(own: Webhooks, message: DeliveryRecord, tried: Tried) -> Command:
    now = own.clock.now()
    if tried.error is None:
        return EndDelivery(message.id, message.webhook, now)
    gone = tried.status == 410
    delay = BACKOFF.delay(message.attempts, random.random())  # noqa: S311 - jitter, not a secret
    again = None if gone or now + delay > message.created_at + TRIED_FOR else now + delay
    return PostponeDelivery(message.id, message.webhook, now, tried.error, again, gone)


async def _try(own: Webhooks, hook: WebhookRecord, message: str, body: bytes) -> Tried:
    """Send a message once; whatever goes wrong is told in words."""
    began = trio.current_time()
    status: int | None = None
    error: str | None = None
    fields = signed(hook.secret, message, own.clock.now() // SECOND, body)
    headers = [(b"Content-Type", b"application/cloudevents+json; charset=utf-8")]
    headers += [(name.encode(), value.encode()) for name, value in fields.items()]
    from callsheet.builtin.posting import post  # noqa: PLC0415 - loaded with the service; simulations tell nobody

    try:
        status = await post(hook.url, headers, body, within=WITHIN)
        if not 200 <= status < 300:
            error = f"The answer was {status}."
    except CallsheetError as reason:
        error = str(reason)
    except Exception as reason:  # a message that cannot be sent must not hold up the others
        log.exception("a message to the webhook %s failed", hook.id, extra=told("message.failed", webhook=hook.id))
        error = f"{type(reason).__name__}: {reason}"
    return Tried(status, round(trio.current_time() - began, 6), error)


async def _attend(own: Webhooks, nursery: trio.Nursery) -> None:
    async for message in own.inbox:
        nursery.start_soon(_test, own, message)


async def _test(own: Webhooks, message: WebhookMessage) -> None:
    """Send a message that says it is a test, and tell how it went."""
    event = {
        "id": 0, "at": format_instant(own.clock.now()), "type": "webhook.test",
        "schedule": None, "instance": None, "data": {"webhook": str(message.webhook.id)},
    }  # fmt: skip
    body = msgspec.json.encode(cloud_event(_source(own), event) | {"id": str(uuid4())})
    with message.reply_to:
        async with own._tests:
            answer(message.reply_to, await _try(own, message.webhook, str(uuid4()), body))
