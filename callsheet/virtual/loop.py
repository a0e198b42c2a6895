"""A thread in which Trio runs on a clock that stands still, driven by plain calls from outside."""

import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from functools import partial
from math import inf
from typing import Any, TypeVar

import outcome
import trio
from attrs import frozen

from callsheet.capture import captured
from callsheet.errors import GaveUp, Unavailable
from callsheet.tasks.threads import thread_limiter
from callsheet.virtual.clock import JumpingClock
from callsheet.virtual.dice import seeded_scheduling

T = TypeVar("T")

_PATIENCE = 5.0  # seconds for a loop to end that holds no task which blocks it
_GRACE = 3600.0  # virtual seconds that a call may take; engines stop within, and outages end


class _Capture:
    """What tasks print and log is caught while any loop runs: standard output is one for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._stack = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._stack.enter_context(captured())

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._stack.close()


_capture = _Capture()


@frozen
class Ground:
    """What stands in the thread: Trio's token and the nursery that everything is started in."""

    token: trio.lowlevel.TrioToken
    nursery: trio.Nursery


class Loop:
    """Trio in a thread of its own. Between two calls nothing happens; a call returns when all is quiet again."""

    def __init__(self, seed: int) -> None:
        self.clock = JumpingClock()
        self._seed = seed
        self._started: Future[Ground] = Future()
        self._pending: Future[Any] = self._started  # what the caller waits for
        self._one_at_a_time = threading.Lock()
        self._last = ExitStack()
        self._thread = threading.Thread(target=self._run, name="callsheet-virtual", daemon=True)
        self._thread.start()
        self._ground = self._started.result()

    def _run(self) -> None:
        try:
            with seeded_scheduling(self._seed):
                trio.run(self._main, clock=self.clock)
        except BaseException as error:  # noqa: BLE001 - it would be lost here, and its caller wait for ever
            if not self._pending.done():
                self._pending.set_exception(error)

    async def _main(self) -> None:
        with self._last:
            await self._hold()

    async def _hold(self) -> None:
        limiter = thread_limiter()
        self.clock.busy = lambda: limiter.borrowed_tokens > 0  # bodies in threads take no virtual time
        async with trio.open_nursery() as nursery:
            self._started.set_result(Ground(trio.lowlevel.current_trio_token(), nursery))
            await trio.sleep(inf)

    def at_end(self, function: Callable[[], object]) -> None:
        """Have something done in the thread once all that ran in it is over."""
        self._last.callback(function)

    @property
    def nursery(self) -> trio.Nursery:
        """Return where to start what is to go on between calls."""
        return self._ground.nursery

    def call(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Run an async function in the loop, let everything happen that follows at once, and return its result.

        Should it need virtual time, as it does while the database fails, it gets some; else none passes.
        """
        return self._do(partial(function, *args), None)

    def run(self, limit: float) -> None:
        """Let virtual time pass up to `limit` (Trio's time), or until `clock.stop` is called."""
        self._do(trio.lowlevel.checkpoint, limit)

    def _do(self, function: Callable[[], Awaitable[T]], limit: float | None) -> T:
        done: Future[T] = Future()
        with self._one_at_a_time, _capture:
            self._pending = done
            self._soon(partial(self._ground.nursery.start_soon, self._perform, done, function, limit))
            return done.result()

    def _soon(self, function: Callable[[], object]) -> None:
        try:
            self._ground.token.run_sync_soon(function)
        except trio.RunFinishedError:
            raise GaveUp("The virtual engine is closed.") from None

    async def _perform(self, done: "Future[T]", function: Callable[[], Awaitable[T]], limit: float | None) -> None:
        now = self.clock.current_time()
        self.clock.run_until(now + _GRACE)  # it moves only when nothing can go on without
        result = await outcome.acapture(_within_grace, function)
        self.clock.run_until(self.clock.current_time() if limit is None else limit)
        self.clock.when_quiet(partial(_hand_over, done, result))

    def close(self) -> None:
        """End the thread and all that runs in it."""
        with suppress(GaveUp):
            self._soon(self._ground.nursery.cancel_scope.cancel)
        self._thread.join(_PATIENCE)


async def _within_grace(function: Callable[[], Awaitable[T]]) -> T:
    try:
        with trio.fail_after(_GRACE):
            return await function()
    except trio.TooSlowError:
        raise Unavailable("The virtual engine has not answered within an hour of its time.") from None


def _hand_over(done: "Future[T]", result: outcome.Outcome[T]) -> None:
    if done.done():
        return
    if isinstance(result, outcome.Error):
        done.set_exception(result.error)
    else:
        done.set_result(result.unwrap())
