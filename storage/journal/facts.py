"""What the journal tells once it is committed: facts, in the past tense, each with its row in the event table."""

from functools import lru_cache
from typing import ClassVar
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from callsheet.instants import format_instant


def instance_uri(instance: UUID | None) -> str | None:
    """Return the URI of an instance."""
    return None if instance is None else f"/v1/instances/{instance}"


class Fact(Struct, frozen=True):
    """Event: base of all facts."""

    type: ClassVar[str]

    @property
    def about(self) -> tuple[str | None, UUID | None]:
        """Return the schedule and the instance that the fact is about."""
        return None, None

    def data(self) -> bytes:
        """Return the rest of the fact as a JSON object."""
        return b"{}"


class InstanceStarted(Fact, frozen=True):
    """Event: an instance was written down as running: it may begin now, on this node and nowhere else.

    `timeout` is a duration, `state` the JSON of a class task's state (None: none yet), `started_at` the claim's time.
    """

    type: ClassVar[str] = "instance.started"

    id: UUID
    task: str
    input: bytes
    started_at: int
    cause: str = "manual"
    schedule: str | None = None
    due_at: int | None = None
    attempt: int = 1
    timeout: int | None = None
    tags: tuple[str, ...] = ()
    state_key: str | None = None
    state: bytes | None = None
    retry_of: UUID | None = None
    queued_at: int | None = None
    trace: str | None = None  # the traceparent of the request that started it, if that is known

    @property
    def about(self) -> tuple[str | None, UUID | None]:
        """Return the schedule and the instance."""
        return self.schedule, self.id

    def data(self) -> bytes:
        """Return task, cause, attempt and due time."""
        if self.due_at is None:
            return _begun(self.task, self.cause, self.attempt)
        return _begun_for(task=self.task, cause=self.cause, attempt=self.attempt, due_at=self.due_at)


class InstanceQueued(Fact, frozen=True):
    """Event: an instance was written down but may not begin yet: its time has not come, or it stands in a line."""

    type: ClassVar[str] = "instance.queued"

    id: UUID
    task: str
    schedule: str | None
    start_after: int | None
    waits_for: str | None = None

    @property
    def about(self) -> tuple[str | None, UUID | None]:
        """Return the schedule and the instance."""
        return self.schedule, self.id

    def data(self) -> bytes:
        """Return the task, the time before which it does not start, and the line that it stands in."""
        after = None if self.start_after is None else format_instant(self.start_after)
        return _json(task=self.task, start_after=after, waits_for=self.waits_for)


class InstanceEnded(Fact, frozen=True):
    """Event: an instance is over; `seconds` is how long its body ran."""

    type: ClassVar[str] = "instance.ended"

    id: UUID
    task: str
    schedule: str | None
    outcome: str
    seconds: float
    error: bytes | None = None

    @property
    def about(self) -> tuple[str | None, UUID | None]:
        """Return the schedule and the instance."""
        return self.schedule, self.id

    def data(self) -> bytes:
        """Return task, outcome and seconds."""
        return _ended(task=self.task, outcome=self.outcome, seconds=self.seconds)


class CancelRequested(Fact, frozen=True):
    """Event: somebody ordered that an instance be cancelled."""

    type: ClassVar[str] = "instance.cancel_requested"

    id: UUID
    schedule: str | None
    by: str
    reason: str | None

    @property
    def about(self) -> tuple[str | None, UUID | None]:
        """Return the schedule and the instance."""
        return self.schedule, self.id

    def data(self) -> bytes:
        """Return who and why."""
        return _json(by=self.by, reason=self.reason)


class InstanceStuck(Fact, frozen=True):
    """Event: an instance was cancelled and did not end within its clean-up time."""

    type: ClassVar[str] = "instance.stuck"

    id: UUID
    where: str

    @property
    def about(self) -> tuple[str | None, UUID | None]:
        """Return the instance."""
        return None, self.id

    def data(self) -> bytes:
        """Return where it stands."""
        return _json(where=self.where)


class DueOmitted(Fact, frozen=True):
    """Event: due times of a schedule started nothing; the ledger row holds them from first to last."""

    type: ClassVar[str] = "due.omitted"

    schedule: str
    fate: str
    reason: str
    first_due: int
    last_due: int
    count: int
    blocked_by: UUID | None = None

    @property
    def about(self) -> tuple[str | None, UUID | None]:
        """Return the schedule."""
        return self.schedule, None

    def data(self) -> bytes:
        """Return fate, reason and range."""
        return _json(
            fate=self.fate,
            reason=self.reason,
            first_due=format_instant(self.first_due),
            last_due=format_instant(self.last_due),
            count=self.count,
            blocked_by=instance_uri(self.blocked_by),
        )


class ScheduleChanged(Fact, frozen=True):
    """Event: a schedule was created, updated, paused, resumed, blocked, finished or deleted."""

    type: ClassVar[str] = "schedule.changed"

    schedule: str
    change: str
    version: int
    reason: str | None = None

    @property
    def about(self) -> tuple[str | None, UUID | None]:
        """Return the schedule."""
        return self.schedule, None

    def data(self) -> bytes:
        """Return what changed."""
        return _json(change=self.change, version=self.version, reason=self.reason)


class TokenCreated(Fact, frozen=True):
    """Event: an API key was made; its hash is for those who let callers in, and is not in the event's row."""

    type: ClassVar[str] = "token.created"

    id: UUID
    name: str
    role: str
    hash: str
    expires_at: int | None

    def data(self) -> bytes:
        """Return name, role and end."""
        expires = None if self.expires_at is None else format_instant(self.expires_at)
        return _json(name=self.name, role=self.role, expires_at=expires)


class TokenRevoked(Fact, frozen=True):
    """Event: an API key is not let in any more."""

    type: ClassVar[str] = "token.revoked"

    id: UUID
    name: str

    def data(self) -> bytes:
        """Return the name."""
        return _json(name=self.name)


NODE_SAYS = (
    "node.started", "node.draining", "node.stopped", "clock.jumped", "loop.blocked", "history.pruned",
    "invariant.broken", "webhook.gave_up", "webhook.disabled",
)  # fmt: skip


class NodeSaid(Fact, frozen=True):
    """Event: something about the node itself, such as `clock.jumped`."""

    type: str  # type: ignore[misc]
    payload: bytes = b"{}"
    instance: UUID | None = None

    @property
    def about(self) -> tuple[str | None, UUID | None]:
        """Return the instance, where there is one."""
        return None, self.instance

    def data(self) -> bytes:
        """Return the payload."""
        return self.payload


_KINDS = (
    InstanceStarted, InstanceQueued, InstanceEnded, CancelRequested, InstanceStuck, DueOmitted, ScheduleChanged,
    TokenCreated, TokenRevoked,
)  # fmt: skip
EVENTS = (*(kind.type for kind in _KINDS), *NODE_SAYS)
"""The types of all events."""


class Looked(Struct, frozen=True):
    """The answer to Claim: when to look next (an instant, None: nothing is planned), and what was done."""

    next_fire: int | None
    fired: int
    omitted: int


class Pruned(Struct, frozen=True):
    """The answer to Prune: how many rows of each kind are gone."""

    instances: int = 0
    omissions: int = 0
    schedules: int = 0
    nodes: int = 0
    events: int = 0
    audit: int = 0
    tokens: int = 0

    def __add__(self, other: "Pruned") -> "Pruned":
        """Add up two answers."""
        return Pruned(*(mine + others for mine, others in zip(astuple(self), astuple(other), strict=True)))


_encoder = msgspec.json.Encoder()
_KNOWN = 1024  # texts that are made once: those of a task are few


@lru_cache(_KNOWN)
def _begun(task: str, cause: str, attempt: int) -> bytes:
    return _json(task=task, cause=cause, attempt=attempt)


def _begun_for(task: str, cause: str, attempt: int, due_at: int) -> bytes:
    return b'%b,"due_at":"%b"}' % (_begun(task, cause, attempt).removesuffix(b"}"), _shown(due_at))


@lru_cache(_KNOWN)
def _shown(instant: int) -> bytes:
    return format_instant(instant).encode()


def _ended(task: str, outcome: str, seconds: float) -> bytes:
    return b'%b,"seconds":%b}' % (_end_of(task, outcome), _encoder.encode(seconds))


@lru_cache(_KNOWN)
def _end_of(task: str, outcome: str) -> bytes:
    """Return the beginning of an object, without its end."""
    return _json(task=task, outcome=outcome).removesuffix(b"}")


def _json(**fields: object) -> bytes:
    return _encoder.encode({name: value for name, value in fields.items() if value is not None})
