"""How to ask and to answer over channels, so that nobody waits for ever.

Waiting for room goes one way, or two full queues could wait for each other:

    web, scheduler, instances, janitor, auditor  ->  bus  ->  TIPMan

The bus never waits for anybody else: it nudges the scheduler and shows the narrator what there is room for.
The TIPMan waits for nobody; what it has to write down goes through tasks of its own.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

import trio

from actors.messages import Order
from callsheet.errors import Unavailable
from storage.journal.commands import Command
from storage.journal.journal import Verdict

T = TypeVar("T")
M = TypeVar("M")

ROOM = 2.0  # seconds that a request waits for room in a full queue, before it is told to come back


def answer(reply_to: trio.MemorySendChannel[T], value: T) -> None:
    """Answer a question; an asker who left harms nobody."""
    with reply_to, suppress(trio.BrokenResourceError, trio.WouldBlock):
        reply_to.send_nowait(value)


async def hand_over(queue: trio.MemorySendChannel[M], message: M, room: float = ROOM) -> None:
    """Put a message into a queue; Unavailable when it stays full, or its owner is gone."""
    try:
        try:
            queue.send_nowait(message)
        except trio.WouldBlock:
            with trio.fail_after(room):
                await queue.send(message)
    except trio.TooSlowError:
        raise Unavailable("The engine has more to do than it can take now.") from None
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        raise Unavailable("The service is stopping.") from None


async def ask(
    queue: trio.MemorySendChannel[M], question: Callable[[trio.MemorySendChannel[T]], M], room: float = ROOM
) -> T:
    """Ask and wait for the answer; Unavailable when nobody is left to give one."""
    reply_to, reply = trio.open_memory_channel[T](1)
    with reply:
        try:
            await hand_over(queue, question(reply_to), room)
        except BaseException:
            reply_to.close()
            raise
        try:
            return await reply.receive()
        except trio.EndOfChannel:
            raise Unavailable("The service is stopping.") from None


async def order(bus: trio.MemorySendChannel[Order], command: Command, room: float = ROOM) -> Any:
    """Have a command written down; return its answer once that is committed, or raise why it was refused."""
    verdict: Verdict = await ask(bus, lambda reply_to: Order(command, reply_to), room)
    if verdict.error is not None:
        raise verdict.error
    return verdict.answer


def leave_nobody_waiting(inbox: trio.MemoryReceiveChannel[Any], taken: Iterable[Any] = ()) -> None:
    """Hang up on all who wait for a reply from an actor that ends: what it had taken, and what lies in its inbox.

    Whoever comes later finds the inbox closed.
    """
    for message in taken:
        _hang_up(message)
    with suppress(trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
        while True:
            _hang_up(inbox.receive_nowait())
    inbox.close()


def _hang_up(message: Any) -> None:
    reply_to = getattr(message, "reply_to", None)
    if reply_to is not None:
        reply_to.close()
