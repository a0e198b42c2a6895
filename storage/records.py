"""What storage gives back: frozen values, complete, with no tie to the database they were read from."""

from typing import Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from callsheet.definition import Definition
from callsheet.lifecycle import outcome_of

T = TypeVar("T")


class ScheduleRecord(Struct, frozen=True):
    """A schedule as it stands: its definition and where it is (times are instants)."""

    id: str
    definition: Definition
    state: str
    state_reason: str | None
    version: int
    created_at: int
    updated_at: int
    last_due: int | None
    next_due: int | None
    next_fire: int | None
    run_count: int = 0  # runs of due times so far
    skips: tuple[int, ...] = ()  # due times that somebody asked to skip
    state_errors: str | None = None  # what is wrong with the input, as JSON: a list of pointer and detail

    @property
    def runs_left(self) -> int | None:
        """Return how many runs `max_runs` still allows."""
        most = self.definition.max_runs
        return None if most is None else max(0, most - self.run_count)

    @property
    def paused_until(self) -> int | None:
        """Return when a pause ends by itself."""
        return self.next_fire if self.state == "paused" else None


class InstanceRecord(Struct, frozen=True):
    """An instance as it stands (times are instants, `timeout` a duration, JSON as text)."""

    id: UUID
    task: str
    schedule: str | None
    due_at: int | None
    attempt: int
    cause: str
    state: str
    input: str
    timeout: int | None
    tags: str
    node: str | None
    boot: UUID | None
    retry_of: UUID | None
    start_after: int | None
    queued_at: int
    started_at: int | None
    finished_at: int | None
    cancel_at: int | None
    cancel_by: str | None
    cancel_reason: str | None
    stuck: str | None
    error: str | None
    waits_for: str | None = None  # the line that it stands in while it is queued

    @property
    def outcome(self) -> str | None:
        """Return how it ended, None while it has not."""
        return outcome_of(self.state)

    @property
    def tag_list(self) -> list[str]:
        """Return its tags."""
        tags: list[str] = msgspec.json.decode(self.tags, type=list[str])
        return tags

    @property
    def late(self) -> int | None:
        """Return how long after its due time it began (duration), None for what has none and for further attempts."""
        if self.due_at is None or self.started_at is None or self.attempt > 1:
            return None
        return max(self.started_at - self.due_at, 0)

    @property
    def took(self) -> int | None:
        """Return how long it ran (duration), None while it runs; of what is lost only the discovery is known."""
        if self.started_at is None or self.finished_at is None or self.state == "lost":
            return None
        return max(self.finished_at - self.started_at, 0)


class OutputRecord(Struct, frozen=True):
    """One value that an instance sent: `value` is JSON text."""

    seq: int
    at: int
    value: str


class LogRecord(Struct, frozen=True):
    """One line that an instance logged: `fields` is a JSON object as text, or None."""

    seq: int
    at: int
    level: str
    text: str
    fields: str | None


class EventRecord(Struct, frozen=True):
    """One committed fact: `data` is a JSON object as text."""

    id: int
    at: int
    type: str
    schedule: str | None
    instance: UUID | None
    data: str


class WebhookRecord(Struct, frozen=True):
    """A webhook as it stands: events up to `position` have become deliveries, of which `pending` are on their way."""

    id: UUID
    url: str
    events: tuple[str, ...]
    schedules: tuple[str, ...]  # none: all
    secret: str
    state: str
    state_reason: str | None
    position: int
    created_at: int
    updated_at: int
    delivered_at: int | None
    failed_at: int | None
    last_error: str | None
    pending: int = 0


class DeliveryRecord(Struct, frozen=True):
    """A message on its way: `attempts` have been made, the next is due at `next_at`."""

    id: UUID
    webhook: UUID
    event: int
    body: str
    attempts: int
    created_at: int
    next_at: int


class LedgerEntry(Struct, frozen=True):
    """One row of a ledger: due times `first` to `last`, `count` of them, with one fate."""

    fate: str
    first_due: int
    last_due: int
    count: int
    reason: str | None = None
    instance: UUID | None = None
    state: str | None = None
    attempt: int = 1
    blocked_by: UUID | None = None


class NodeRecord(Struct, frozen=True):
    """One boot of one node."""

    name: str
    boot: UUID
    host: str
    pid: int
    started_at: int
    seen_at: int
    stopped_at: int | None


class TokenRecord(Struct, frozen=True):
    """An API key, without the key (times are instants)."""

    id: UUID
    name: str
    role: str
    created_at: int
    created_by: str
    expires_at: int | None
    revoked_at: int | None

    def state(self, now: int) -> str:
        """Return `active`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


class AuditRecord(Struct, frozen=True):
    """Who changed what, when: `data` is a JSON object as text."""

    id: UUID
    at: int
    by: str
    action: str
    schedule: str | None
    instance: UUID | None
    data: str


class Stats(Struct, frozen=True):
    """Counts by outcome and omission, and percentiles in seconds over the latest ended runs."""

    outcomes: dict[str, int]
    running: int
    queued: int
    omissions: dict[str, int]
    lateness: dict[str, float]
    durations: dict[str, float]
    sample: int


class Page(Struct, Generic[T], frozen=True):
    """One page of a list and the cursor of the next, None at the end."""

    items: list[T]
    next: str | None
