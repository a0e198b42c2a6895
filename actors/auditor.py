"""The auditor: looks again and again whether what must hold in the database does, a slice at a time.

Nothing should ever be found. What is, goes to the log and becomes an event, once; nothing is mended.
"""

import logging
from typing import Any

import msgspec
import trio
from attrs import define, field

from actors.messages import Order
from callsheet.errors import Unavailable
from callsheet.logs import told
from storage.database import Database
from storage.door import Door
from storage.journal.commands import KeepEvent
from storage.journal.facts import instance_uri
from storage.queries.invariants import WALKS, Violation, check_slice

log = logging.getLogger("callsheet.auditor")

EVERY = 60.0  # seconds between two looks, each at a slice of every walk
MOST_TOLD = 1000  # violations in one process: what is as broken as that is known by then


@define
class Audit:
    """What the auditor has seen since the start: rows looked at, and violations by kind."""

    rows: int = 0
    broken: dict[str, int] = field(factory=dict)
    told: set[Violation] = field(factory=set, repr=False)


@define
class Auditor:
    """What the auditor works with; `places` is where it stands in each walk."""

    bus: trio.MemorySendChannel[Order]
    door: Door
    database: Database
    stop: trio.Event
    audit: Audit
    every: float = EVERY
    places: dict[str, Any] = field(factory=dict)


async def auditor(own: Auditor) -> None:
    """Look at one slice of everything after the other, until the service stops."""
    while not own.stop.is_set():
        with trio.move_on_after(own.every):
            await own.stop.wait()
        if not own.stop.is_set():
            await _look(own)


async def _look(own: Auditor) -> None:
    try:
        for walk in WALKS:
            part = await own.door.read(check_slice, own.database, walk, own.places.get(walk.name))
            own.places[walk.name] = part.next
            own.audit.rows += part.rows
            for violation in part.violations:
                await _tell(own, violation)
    except Unavailable as error:
        log.info("the audit waits: %s", error, extra=told("audit.waits"))


async def _tell(own: Auditor, violation: Violation) -> None:
    audit = own.audit
    if violation in audit.told or len(audit.told) >= MOST_TOLD:
        return
    audit.told.add(violation)
    audit.broken[violation.kind] = audit.broken.get(violation.kind, 0) + 1
    extra = told("invariant.broken", kind=violation.kind, schedule=violation.schedule, instance=violation.instance)
    log.error("invariant broken (%s): %s", violation.kind, violation.sentence, extra=extra)
    data = {"kind": violation.kind, "sentence": violation.sentence}
    if violation.schedule is not None:
        data["schedule"] = violation.schedule
    if violation.instance is not None:
        data["instance"] = str(instance_uri(violation.instance))
    await own.bus.send(Order(KeepEvent("invariant.broken", msgspec.json.encode(data))))
