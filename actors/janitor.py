"""The janitor: has old history deleted, a little at a time, so that nothing else has to wait for it.

It looks at a bounded part of the history, orders what may go in small transactions, and rests between them for as
long as each took. What is deleted does not come back, so a clock that was set far forward is not believed at once.
"""

import logging
from typing import Any

import msgspec
import trio
from attrs import define, field
from msgspec.structs import asdict

from actors.inbox import order
from actors.messages import Order
from callsheet.clock import Clock
from callsheet.errors import Unavailable
from callsheet.instants import SECOND
from callsheet.logs import told
from callsheet.retention import Keep
from storage.database import Database
from storage.door import Door
from storage.journal.commands import KeepEvent
from storage.journal.facts import Pruned
from storage.queries.history import WALKS, Found, Walk

log = logging.getLogger("callsheet.janitor")

EVERY = 60.0  # seconds between two looks
SOONEST = 1.0  # seconds, where history is kept for less than that
PAGES = 20  # of one walk in which nothing may go: then it is the next look's turn to go on
REST = 0.02  # seconds between two orders, at least
DOUBT = 3600.0  # seconds: by how much a clock must jump forward to be doubted, and for how long it then is


@define
class Janitor:
    """What the janitor works with; `places` is where it stands in each walk.

    `offset` is how far the time of day that it believes is from Trio's clock, `doubt` since when it does not believe
    the clock's own.
    """

    bus: trio.MemorySendChannel[Order]
    door: Door
    database: Database
    clock: Clock
    keep: Keep
    stop: trio.Event
    every: float = EVERY
    places: dict[Walk, Any] = field(factory=dict)
    offset: int | None = None
    doubt: float | None = None


async def janitor(own: Janitor) -> None:
    """Look at the history from time to time, until the service stops."""
    age = own.every if own.keep.age is None else own.keep.age / SECOND
    pause = min(own.every, max(age, SOONEST))
    while not own.stop.is_set():
        with trio.move_on_after(pause):
            await own.stop.wait()
        if not own.stop.is_set():
            await _look(own)


async def _look(own: Janitor) -> None:
    gone, now = Pruned(), _believed(own)
    try:
        for walk in WALKS:
            gone += await _go_on(own, walk, now)
    except Unavailable as error:
        log.info("history waits: %s", error, extra=told("history.waits"))
    # events alone are not worth an event: there would be no end to them
    if gone != Pruned(events=gone.events):
        await own.bus.send(Order(KeepEvent("history.pruned", msgspec.json.encode(asdict(gone)))))


def _believed(own: Janitor) -> int:
    """Return the time of day; after a jump forward the old reckoning goes on until the new one has stood an hour."""
    monotonic = trio.current_time()
    offset = own.clock.now() - int(monotonic * SECOND)
    if own.offset is None or offset <= own.offset + DOUBT * SECOND:
        own.offset, own.doubt = offset, None
    elif own.doubt is None:
        own.doubt = monotonic
    elif monotonic - own.doubt >= DOUBT:
        own.offset, own.doubt = offset, None
    return own.offset + int(monotonic * SECOND)


async def _go_on(own: Janitor, walk: Walk, now: int) -> Pruned:
    """Go on in a walk while something may go, and some pages more; return what is gone."""
    gone, pages = Pruned(), 0
    while pages < PAGES and not own.stop.is_set():
        found = await own.door.read(walk, own.database, own.keep, now, own.places.get(walk))
        part = await _prune(own, found)
        gone += part
        pages += part == Pruned()
        own.places[walk] = found.next
        if found.next is None:
            break
        await trio.sleep(REST)
    return gone


async def _prune(own: Janitor, found: Found[Any]) -> Pruned:
    gone = Pruned()
    for prune in found.prunes:
        began = trio.current_time()
        gone += await order(own.bus, prune)
        await trio.sleep(max(trio.current_time() - began, REST))
        if own.stop.is_set():
            break
    return gone
