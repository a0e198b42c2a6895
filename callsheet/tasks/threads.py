"""Where `def` bodies run: a bounded number of worker threads, each of which can be found again."""

import threading
from collections.abc import Callable
from typing import Any

import trio
from attrs import define

_THREADS = 64
"""How many `def` bodies may run at once; further ones wait for a thread."""

_threads: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("callsheet task threads")


@define(eq=False)
class Seat:
    """The thread that a body runs in, while it does."""

    thread: int | None = None


async def in_thread(call: Callable[..., Any], *args: Any) -> Any:
    """Call a function in a worker thread; its local `seat` tells callsheet/tasks/stack.py which one that is."""
    seat = Seat()

    def body() -> Any:
        seat.thread = threading.get_ident()
        try:
            return call(*args)
        finally:
            seat.thread = None

    return await trio.to_thread.run_sync(body, limiter=thread_limiter())


def thread_limiter() -> trio.CapacityLimiter:
    """Return what bounds the bodies in threads of this event loop."""
    try:
        return _threads.get()
    except LookupError:
        _threads.set(trio.CapacityLimiter(_THREADS))
        return _threads.get()
