"""Everything the actors say to each other: commands order, events tell, questions ask.

What is to be written down is a command of the journal (storage/journal/commands.py) in an Order; what was written
down comes back as facts (storage/journal/facts.py) in Told.
"""

from collections.abc import Mapping
from uuid import UUID

import trio
from msgspec import Struct

from storage.journal.commands import Command
from storage.journal.facts import Fact
from storage.journal.journal import Verdict
from storage.records import EventRecord, WebhookRecord


class Order(Struct, frozen=True):
    """Command: write this down; the verdict goes to `reply_to` once it is committed or refused."""

    command: Command
    reply_to: trio.MemorySendChannel[Verdict] | None = None


class Told(Struct, frozen=True):
    """Event: these facts were committed, in this order."""

    facts: tuple[Fact, ...]


class Sighting(Struct, frozen=True):
    """An instance in the directory: since when its body runs (instant), and its latest progress."""

    started_at: int | None
    stuck: str | None = None
    progress: tuple[float, float | None, str] | None = None


class WhereAre(Struct, frozen=True):
    """Question: are these instances running here? None for one that is not."""

    instances: tuple[UUID, ...]
    reply_to: trio.MemorySendChannel[tuple[Sighting | None, ...]]


class StackOf(Struct, frozen=True):
    """Question: where does this instance stand in its code? None: it is not running here."""

    instance: UUID
    reply_to: trio.MemorySendChannel[list[str] | None]


class Census(Struct, frozen=True):
    """Question: which instances are in the directory, and which of those are stuck?"""

    reply_to: trio.MemorySendChannel["Present"]


class Present(Struct, frozen=True):
    """The answer to Census."""

    running: tuple[UUID, ...]
    stuck: tuple[UUID, ...]


class RollCall(Struct, frozen=True):
    """Question: how many instances of each task are in the directory, and how many of all are stuck?"""

    reply_to: trio.MemorySendChannel["Attendance"]


class Attendance(Struct, frozen=True):
    """The answer to RollCall."""

    running: Mapping[str, int]
    stuck: int


class WhenIdle(Struct, frozen=True):
    """Question: answered True as soon as nothing runs here any more."""

    reply_to: trio.MemorySendChannel[bool]


class InterruptAll(Struct, frozen=True):
    """Command: the service stops; cancel whatever runs, its outcome is `interrupted`."""

    reason: str


TipmanMessage = Told | WhereAre | StackOf | Census | RollCall | WhenIdle | InterruptAll


class Nudge(Struct, frozen=True):
    """Event: something may be due earlier than you think."""


class Frame(Struct, frozen=True):
    """One event, encoded once for all who read."""

    event: EventRecord
    sse: bytes


class Chunk(Struct, frozen=True):
    """Event: these came after `after`, in order, up to `upto`; `pieces` are all their frames, in sendable sizes.

    After the `last` one nothing comes: the service stops.
    """

    after: int
    upto: int
    frames: tuple[Frame, ...]
    pieces: tuple[bytes, ...]
    last: bool = False


class Follow(Struct, frozen=True):
    """Question: send me all events from here on; answered with the id that they come after.

    Whoever does not take them in time is hung up on, and may ask again.
    """

    chunks: trio.MemorySendChannel[Chunk]
    reply_to: trio.MemorySendChannel[int]


class FollowInstance(Struct, frozen=True):
    """Question: nudge me whenever this instance has said something or ended; answered True once that holds."""

    instance: UUID
    nudges: trio.MemorySendChannel[Nudge]
    reply_to: trio.MemorySendChannel[bool]


class LastCall(Struct, frozen=True):
    """Question: the service stops; answered True once all followers have what there is, and were hung up on."""

    reply_to: trio.MemorySendChannel[bool]


FeedMessage = Follow | FollowInstance | LastCall


class Tried(Struct, frozen=True):
    """How one attempt to deliver a message went: a status if there was an answer, an error if it was no success."""

    status: int | None
    seconds: float
    error: str | None


class TryWebhook(Struct, frozen=True):
    """Question: send a test message to this webhook now; how did it go?"""

    webhook: WebhookRecord
    reply_to: trio.MemorySendChannel[Tried]


WebhookMessage = TryWebhook
