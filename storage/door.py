"""The one way from the loop to the database: synchronous functions, run in threads that are ours alone.

One thread writes, a few read. A call that writes is never abandoned half-way: its caller waits for the result even when
it is cancelled, so that what the database holds is always known. On a virtual clock the calls run inline instead,
for Trio's jumping clock cannot see threads.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeVar

import outcome
import trio
from attrs import define

from callsheet.errors import Unavailable

T = TypeVar("T")


class Door(Protocol):
    """Runs storage functions for async code."""

    async def write(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function that writes; calls run one after another."""
        ...

    async def read(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function that only reads."""
        ...

    def waiting(self) -> dict[str, int]:
        """Return how many calls wait, by what they do."""
        ...

    def close(self) -> None:
        """Let the threads end once their work is done."""
        ...


class InlineDoor:
    """Runs everything on the spot: for virtual time."""

    async def write(self, function: Callable[..., T], *args: Any) -> T:
        """Run it now."""
        await trio.lowlevel.checkpoint()
        return function(*args)

    read = write

    def waiting(self) -> dict[str, int]:
        """Nothing ever waits."""
        return {}

    def close(self) -> None:
        """There is nothing to end."""


@define
class _Job:
    """A function to run in a thread, and who waits for it."""

    function: Callable[[], Any]
    caller: trio.lowlevel.Task | None
    token: trio.lowlevel.TrioToken


class _Thread:
    """A thread that runs jobs in the order in which they come."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()
        self._done: deque[tuple[_Job, Any]] = deque()
        self.waiting = 0

    def _loop(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # a job kept until the next one comes would keep its arguments alive

    async def run(self, function: Callable[..., T], *args: Any, abandon: bool = False) -> T:
        """Run a function in the thread and wait for its result, whatever happens meanwhile.

        With `abandon`, a caller that is cancelled leaves; the function runs on, and its result is dropped.
        """
        job = _Job(partial(function, *args), trio.lowlevel.current_task(), trio.lowlevel.current_trio_token())
        self.waiting += 1
        self._jobs.put(partial(self._perform, job))

        def abort(_: Any) -> trio.lowlevel.Abort:
            if not abandon:
                return trio.lowlevel.Abort.FAILED
            job.caller = None
            return trio.lowlevel.Abort.SUCCEEDED

        answer = await trio.lowlevel.wait_task_rescheduled(abort)
        result: T = answer.unwrap()
        return result

    def _perform(self, job: _Job) -> None:
        # a reading whose caller has left is not begun: it would only hold up those who still wait
        result = outcome.Value(None) if job.caller is None else outcome.capture(job.function)
        self._done.append((job, result))
        with suppress(trio.RunFinishedError):
            job.token.run_sync_soon(self._deliver, idempotent=True)

    def _deliver(self) -> None:
        """Wake the callers of all that is done by now: one call into the loop does for many."""
        while self._done:
            job, result = self._done.popleft()
            self.waiting -= 1
            if job.caller is not None:
                trio.lowlevel.reschedule(job.caller, outcome.Value(result))

    def end(self) -> None:
        self._jobs.put(None)
        self._thread.join(timeout=1)


class ThreadDoor:
    """One thread that writes and `readers` that read; a full queue is refused rather than grown."""

    MAX_WAITING = 256
    READ_DEADLINE = 10.0  # seconds

    def __init__(self, readers: int = 1) -> None:
        self._writer = _Thread("callsheet-write")
        self._readers = [_Thread(f"callsheet-read-{n}") for n in range(readers)]

    async def write(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function in the writer's thread."""
        return await self._writer.run(function, *args)

    async def read(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function in the reader that has the least to do, and wait for it no longer than READ_DEADLINE."""
        reader = min(self._readers, key=lambda thread: thread.waiting)
        if reader.waiting >= self.MAX_WAITING:
            raise Unavailable("Too many readings wait for the database.")
        try:
            with trio.fail_after(self.READ_DEADLINE):
                return await reader.run(function, *args, abandon=True)
        except trio.TooSlowError:
            raise Unavailable("The database does not answer in time.") from None

    def waiting(self) -> dict[str, int]:
        """Return how many calls wait for a thread, or are under way."""
        return {"write": self._writer.waiting, "read": sum(reader.waiting for reader in self._readers)}

    def close(self) -> None:
        """Let every thread finish what it has and end."""
        for thread in (self._writer, *self._readers):
            thread.end()
