"""What one node stands on, below engine and web: its database, the door to it, its journal; to be closed again."""

import logging
from uuid import UUID

import msgspec
import trio
from attrs import frozen

from actors.messages import Order
from callsheet.clock import Clock
from callsheet.ids import IdMaker
from callsheet.logs import told
from callsheet.tasks import Registry
from storage.database import Database, NodeIdentity, open_database, this_node
from storage.door import Door, InlineDoor, ThreadDoor
from storage.journal.commands import KeepEvent
from storage.journal.journal import Journal
from storage.memory import open_in_memory

log = logging.getLogger("callsheet.service")

IN_MEMORY = "sqlite:///:memory:"


@frozen
class Node:
    """A node whose journal has still to be registered, which makes it a boot of its own."""

    database: Database
    door: Door
    journal: Journal
    tasks: Registry
    clock: Clock
    identity: NodeIdentity

    @property
    def inline(self) -> bool:
        """Tell whether the database is used by this thread itself."""
        return isinstance(self.door, InlineDoor)

    def close(self) -> None:
        """Let go of the database once all that was asked of it is done; blocks for a moment."""
        self.door.close()
        if self.inline:
            self.database.db.disconnect()
        self.database.release()


def open_node(url: str, tasks: Registry, clock: Clock, name: str | None = None, max_running: int | None = None) -> Node:
    """Open a database and make the journal over it; blocks. RefusedToStart says what is in the way."""
    database = open_database(url, clock.now())
    database.db.disconnect()  # this thread's connection: from here on the door's threads have their own
    door = ThreadDoor(readers=2 if database.dialect.name == "sqlite" else 3)
    return _node(database, door, tasks, clock, name, max_running)


def open_inline(
    url: str, tasks: Registry, clock: Clock, name: str | None = None, max_running: int | None = None
) -> Node:
    """Do the same without threads, for a clock that cannot see them, and for a database in memory."""
    now = clock.now()
    database = open_in_memory(now) if url == IN_MEMORY else open_database(url, now)
    return _node(database, InlineDoor(), tasks, clock, name, max_running)


def _node(
    database: Database,
    door: Door,
    tasks: Registry,
    clock: Clock,
    name: str | None,
    max_running: int | None,
) -> Node:
    ids = IdMaker()
    identity = this_node(name, ids.make(clock.now()))
    return Node(database, door, Journal(database, identity, tasks, clock, ids, max_running), tasks, clock, identity)


def report_block(bus: trio.MemorySendChannel[Order], instance: str | None, seconds: float, where: str) -> None:
    """Write down that the event loop was blocked, as the watchdog found."""
    data = msgspec.json.encode({"instance": instance, "seconds": round(seconds, 3), "where": where})
    blamed = None if instance is None else UUID(instance.split()[0])  # "ID of TASK"
    try:
        bus.send_nowait(Order(KeepEvent("loop.blocked", data, blamed)))
    except (trio.WouldBlock, trio.BrokenResourceError):
        log.warning("no room for the event loop.blocked", extra=told("event.dropped", instance=instance))
