"""Where `now` comes from: passed in, so that the same engine runs on the wall clock and on Trio's virtual one."""

import time
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

    def __init__(self, start: int) -> None:
        self._start = start
        self._step = 0

    def now(self) -> int:
        """Return the start plus the time that has passed on Trio's clock."""
        return self._start + self._step + round(trio.current_time() * 1_000_000)

    def step(self, microseconds: int) -> None:
        """Set the time of day forward or back, as an operator or NTP would; Trio's clock does not notice."""
        self._step += microseconds
