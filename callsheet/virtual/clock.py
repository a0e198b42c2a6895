"""Trio's clock for virtual time: it stands still, and jumps from one deadline to the next while it is let run.

Trio asks a clock how long to wait whenever no task can go on. That is the moment at which nothing more happens by
itself: the clock then moves to the next deadline, or, at its limit, tells whoever waits that all is quiet. It needs no
extra turns of the loop for that, as `trio.testing.MockClock` does, and its time is exactly that of the deadline.
"""

from collections.abc import Callable
from math import ceil, inf

import trio
from trio.abc import Clock

from callsheet.instants import SECOND

_NOISE = 0.1  # microseconds that sums of floats may be off


class JumpingClock(Clock):
    """Seconds from 0; only `run_until` and `stop` let it move, by whole microseconds.

    With a `grain` (microseconds), deadlines that lie closer together than that are met together, at the last of them
    or a little later: at whole multiples of it, counted from `origin` (likewise).
    """

    def __init__(self, grain: int = 1, origin: int = 0) -> None:
        self._grain = max(grain, 1)
        self._origin = origin
        self._now = 0.0
        self._limit = 0.0
        self._quiet: Callable[[], object] | None = None
        self._waiting: list[trio.lowlevel.Task] = []
        self.busy: Callable[[], bool] = _never  # while something outside the loop works, time stands still

    def start_clock(self) -> None:
        """Time does not begin by itself."""

    def current_time(self) -> float:
        """Return the time."""
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Move to the deadline if that is allowed; without one to move to, wait for what comes from outside."""
        if self.busy():
            return inf
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for task in waiting:
                trio.lowlevel.reschedule(task)
            return 0.0
        if deadline <= self._limit:
            self._now = max(self._now, self.meets(deadline))
            return 0.0
        self._now = self._limit
        quiet, self._quiet = self._quiet, None
        if quiet is None:
            return inf
        quiet()
        return 0.0

    def meets(self, deadline: float) -> float:
        """Return the time at which a deadline is met: the same for all that mean the same, whatever sums they are."""
        if deadline == inf:
            return inf
        moment = ceil(deadline * SECOND - _NOISE)
        ticks = -(-(moment - self._origin) // self._grain)
        return max(deadline, min((ticks * self._grain + self._origin) / SECOND, self._limit))

    def run_until(self, limit: float) -> None:
        """Let time pass up to a limit; never back."""
        self._limit = max(limit, self._now)

    def stop(self) -> None:
        """Stand still here."""
        self._limit = self._now

    async def settled(self) -> None:
        """Wait until nothing more happens at this moment by itself."""
        await wait_with(self._waiting)

    def when_quiet(self, callback: Callable[[], object]) -> None:
        """Call back, once, when the limit is reached and nothing more happens by itself."""
        self._quiet = callback


async def wait_with(others: list[trio.lowlevel.Task]) -> None:
    """Wait until somebody reschedules all of a list, being one of them."""
    task = trio.lowlevel.current_task()
    others.append(task)

    def leave(_: object) -> trio.lowlevel.Abort:
        others.remove(task)
        return trio.lowlevel.Abort.SUCCEEDED

    await trio.lowlevel.wait_task_rescheduled(leave)


def _never() -> bool:
    return False
