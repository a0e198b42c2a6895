"""Everything the actors say to each other: commands order, events tell, questions ask.

What is to be written down is a command of the journal (storage/journal/commands.py) in an Order; what was written
down comes back as facts (storage/journal/facts.py) in Told.
"""

from collections.abc import Mapping
from uuid import UUID

import trio
from attrs import frozen

from storage.journal.commands import Command
from storage.journal.facts import Fact
from storage.journal.journal import Verdict


@frozen
class Order:
    """Command: write this down; the verdict goes to `reply_to` once it is committed or refused."""

    command: Command
    reply_to: trio.MemorySendChannel[Verdict] | None = None


@frozen
class Told:
    """Event: these facts were committed, in this order."""

    facts: tuple[Fact, ...]


@frozen
class Sighting:
    """An instance in the directory: since when its body runs (instant), and its latest progress."""

    started_at: int | None
    stuck: str | None = None
    progress: tuple[float, float | None, str] | None = None


@frozen
class WhereIs:
    """Question: is this instance running here? None: it is not."""

    instance: UUID
    reply_to: trio.MemorySendChannel[Sighting | None]


@frozen
class StackOf:
    """Question: where does this instance stand in its code? None: it is not running here."""

    instance: UUID
    reply_to: trio.MemorySendChannel[list[str] | None]


@frozen
class Census:
    """Question: which instances are in the directory, and which of those are stuck?"""

    reply_to: trio.MemorySendChannel["Present"]


@frozen
class Present:
    """The answer to Census."""

    running: tuple[UUID, ...]
    stuck: tuple[UUID, ...]


@frozen
class RollCall:
    """Question: how many instances of each task are in the directory, and how many of all are stuck?"""

    reply_to: trio.MemorySendChannel["Attendance"]


@frozen
class Attendance:
    """The answer to RollCall."""

    running: Mapping[str, int]
    stuck: int


@frozen
class WhenIdle:
    """Question: answered True as soon as nothing runs here any more."""

    reply_to: trio.MemorySendChannel[bool]


@frozen
class InterruptAll:
    """Command: the service stops; cancel whatever runs, its outcome is `interrupted`."""

    reason: str


TipmanMessage = Told | WhereIs | StackOf | Census | RollCall | WhenIdle | InterruptAll


@frozen
class Nudge:
    """Event: something may be due earlier than you think."""
