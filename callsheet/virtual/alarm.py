"""Sleep for many: those who sleep until the same moment do so at the price of one.

Trio makes a scope, a deadline and an exception for each who sleeps, which is more than the rest of a simulated run.
"""

import trio

from callsheet.instants import SECOND
from callsheet.virtual.clock import JumpingClock, wait_with


class Alarm:
    """Wakes all of a moment together; the first of them sleeps for the others, and the next one if it is cancelled."""

    def __init__(self, clock: JumpingClock) -> None:
        self._clock = clock
        self._sleepers: dict[float, list[trio.lowlevel.Task]] = {}

    def now(self) -> float:
        """Return Trio's time."""
        return self._clock.current_time()

    async def sleep(self, seconds: float) -> None:
        """Sleep for so long by the virtual clock; a checkpoint in any case."""
        now = round(self._clock.current_time() * SECOND)
        until = self._clock.meets((now + round(seconds * SECOND)) / SECOND)
        if until <= self._clock.current_time():
            await trio.lowlevel.checkpoint()
        while self._clock.current_time() < until:
            others = self._sleepers.get(until)
            await (self._first(until) if others is None else wait_with(others))

    async def _first(self, until: float) -> None:
        others = self._sleepers[until] = []
        try:
            await trio.sleep_until(until)
        finally:
            del self._sleepers[until]
            for one in others:
                trio.lowlevel.reschedule(one)
        if others:  # they go on in the next turn of the loop, and so do we: what they do next is one batch
            await trio.lowlevel.cancel_shielded_checkpoint()
