"""Where `now` comes from: passed in, so that the same engine runs on the wall clock and on Trio's virtual one."""

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio


class Clock(Protocol):
    """Tells the time of day as an instant (microseconds since the epoch)."""

    def now(self) -> int:
        """Return the present instant; callable from any thread."""
        ...


class WallClock:
    """The machine's own clock."""

    def now(self) -> int:
        """Return the machine's time of day."""
        return time.time_ns() // 1000


class VirtualClock:
    """A clock that moves with Trio's: for tests and simulation, where an hour may take no time at all."""

    def __init__(
        self,
        start: int,
        passed: Callable[[], float] = trio.current_time,
        settled: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
    ) -> None:
        """`passed` tells Trio's time (seconds), `settled` waits until all has happened that happens at this moment."""
        self._start = start
        self._passed = passed
        self.settled = settled

    def now(self) -> int:
        """Return the start plus the time that has passed on Trio's clock."""
        return self._start + round(self._passed() * 1_000_000)

    def step(self, microseconds: int) -> None:
        """Set the time of day forward or back, as an operator or NTP would; Trio's clock does not notice."""
        self._start += microseconds
