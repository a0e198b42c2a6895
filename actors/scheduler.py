"""The scheduler: looks at what is due, has it claimed, and sleeps until there is more.

It keeps one number, when to look next; the schedules are in the database. The wall clock only says how long to wait,
waits are short slices, and a clock that jumps is noticed at the next look.
"""

import logging
from collections.abc import Awaitable, Callable
from math import inf

import msgspec
import trio
from attrs import define

from actors.inbox import order
from actors.messages import Nudge, Order
from callsheet.clock import Clock
from callsheet.errors import Unavailable
from callsheet.instants import SECOND, format_instant
from callsheet.logs import told
from storage.journal.commands import Claim, KeepEvent
from storage.journal.facts import Looked

Doze = Callable[[float], Awaitable[object]]
Settled = Callable[[], Awaitable[object]]

log = logging.getLogger("callsheet.scheduler")

LONGEST_WAIT = 30.0  # seconds: a clock that was set is noticed after this, at the latest
JUMP = 2 * SECOND  # a difference between wall clock and monotonic clock that is no drift any more
PAUSE = 0.5  # seconds between two looks while the database does not answer
MOMENT = 0.002  # seconds before a due time in which no nudge is heard; a nudge that comes then waits so long
OUTAGE = 2.0  # seconds: a longer silence of the database is downtime


@define
class Watch:
    """The wall clock as the scheduler trusts it: how far it is from the monotonic clock, since when, and its time."""

    clock: Clock
    offset: int
    awake_since: int
    now: int

    @classmethod
    def begin(cls, clock: Clock) -> "Watch":
        """Look at both clocks for the first time."""
        now = clock.now()
        return cls(clock, now - _monotonic(), now, now)

    def jump(self) -> int:
        """Return by how much the wall clock has jumped since the last look, 0 for drift (microseconds)."""
        self.now = self.clock.now()
        jump = self.now - _monotonic() - self.offset
        self.offset += jump
        if abs(jump) < JUMP:
            return 0
        if jump > 0:
            self.awake_since = self.now  # asleep, or set forward: what was due meanwhile is for the catch-up policy
        else:  # set back: what was awake time stays awake time, however it is called now
            self.awake_since = min(self.awake_since + jump, self.now)
        return jump


async def scheduler(
    nudges: trio.MemoryReceiveChannel[Nudge],
    bus: trio.MemorySendChannel[Order],
    clock: Clock,
    awake_since: int,
    longest_wait: float = LONGEST_WAIT,
    doze: Doze | None = None,
    settled: Settled | None = None,
) -> None:
    """Claim what is due, for ever; nudges make it look at once, and `longest_wait` seconds are its longest sleep.

    `doze` sleeps the last moment before a due time, where that can be done more precisely than by the event loop.
    `settled` waits until all else has happened that happens in the moment of a due time, where there is such a thing.
    """
    watch = Watch.begin(clock)
    watch.awake_since = awake_since
    while True:
        looked = await _look(bus, watch)
        moment = 0.0 if doze is None else MOMENT
        left = _left(looked.next_fire, clock, longest_wait) - moment
        if left > 0 and await _nudged(nudges, left):
            continue
        left = _left(looked.next_fire, clock, moment)
        if left > 0 and doze is not None:
            await doze(left)
        if settled is not None:
            await settled()


async def _look(bus: trio.MemorySendChannel[Order], watch: Watch) -> Looked:
    """Have what is due claimed, however long the database needs to answer."""
    began = trio.current_time()
    while True:
        await _report_jump(watch, bus)
        if trio.current_time() - began > OUTAGE:
            watch.awake_since = watch.now
        try:
            looked: Looked = await order(bus, Claim(watch.awake_since, until=watch.now), room=inf)
        except Unavailable:
            await trio.sleep(PAUSE)
        else:
            return looked


def _left(until: int | None, clock: Clock, longest_wait: float) -> float:
    return longest_wait if until is None else min((until - clock.now()) / SECOND, longest_wait)


async def _nudged(nudges: trio.MemoryReceiveChannel[Nudge], seconds: float) -> bool:
    """Wait for a nudge, and tell whether one came."""
    with trio.move_on_after(seconds):
        await nudges.receive()
        return True
    return False


async def _report_jump(watch: Watch, bus: trio.MemorySendChannel[Order]) -> None:
    jump = watch.jump()
    if jump:
        now, extra = format_instant(watch.clock.now()), told("clock.jumped", seconds=jump / SECOND)
        log.warning("the wall clock jumped by %+.1f s, to %s", jump / SECOND, now, extra=extra)
        data = msgspec.json.encode({"seconds": jump / SECOND})
        await bus.send(Order(KeepEvent("clock.jumped", data)))


def _monotonic() -> int:
    return int(trio.current_time() * SECOND)
