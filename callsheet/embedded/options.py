"""What an engine inside another program was told: checked, and with the clock that it goes by."""

from collections.abc import Iterable

import trio
from attrs import frozen
from trio._core._run import SystemClock  # there is no public way to tell that a clock is the system's

from actors.supervisor import Rules
from callsheet.builtin import addresses
from callsheet.clock import Clock, VirtualClock, WallClock
from callsheet.errors import RefusedToStart
from callsheet.handle.verbs import Duration, Instant, duration_of, instant_of
from callsheet.instants import SECOND
from callsheet.retention import Keep

LONGEST_WAIT = 86_400.0  # seconds, of the scheduler on a clock that jumps: nobody sets that one

Kept = tuple[Duration | None, int | None, Duration | None]
"""Instances for how long, how many of them, events for how long; None is for ever."""


@frozen
class Options:
    """The options of one engine; it `jumps` when its time is that of a test's Trio clock."""

    rules: Rules
    clock: Clock
    max_running: int | None
    allowed: list[addresses.Allow]

    @property
    def jumps(self) -> bool:
        """Tell whether time is virtual, so that nothing may happen in threads."""
        return isinstance(self.clock, VirtualClock)


def options_of(
    drain: Duration, max_running: int | None, kept: Kept, http_allow: Iterable[str], start: Instant | None
) -> Options:
    """Check what was given; ValueError, or RefusedToStart for an address, says what is wrong."""
    clock = _clock(start)
    age, last, events = kept
    keep = Keep(_kept(age), last or None, _kept(events))
    seconds = duration_of(drain) / SECOND
    if isinstance(clock, VirtualClock):
        rules = Rules(drain=seconds, keep=keep, longest_wait=LONGEST_WAIT, tells_webhooks=False)
    else:
        rules = Rules(drain=seconds, keep=keep)
    return Options(rules, clock, max_running, _allowed(http_allow))


def _clock(start: Instant | None) -> Clock:
    """Return the clock to go by: under a clock of Trio's that jumps, one that jumps with it."""
    if isinstance(trio.lowlevel.current_clock(), SystemClock):
        if start is not None:
            raise ValueError("start is for tests: Trio's clock must be one that jumps, such as trio.testing.MockClock")
        return WallClock()
    if start is not None:
        return VirtualClock(instant_of(start))
    return VirtualClock(WallClock().now() - round(trio.current_time() * SECOND))


def _kept(value: Duration | None) -> int | None:
    return None if value is None else duration_of(value) or None


def _allowed(texts: Iterable[str]) -> list[addresses.Allow]:
    try:
        return [addresses.parse_allow(text) for text in texts]
    except ValueError as error:
        raise RefusedToStart(f"http_allow: {error}.") from None
