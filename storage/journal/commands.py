"""What the journal can be told to write down: each command is a whole, applied entirely or not at all.

`keep` marks the commands that report what has already happened: they are never refused for want of
storage, but tried again until they are committed. All others are answered with the error at once.
"""

from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

from msgspec import Struct

from callsheet.definition import Definition
from storage.journal.facts import InstanceStarted

ANY_VERSION = 0  # in `if_match`: whatever version stands, as long as one does


class Command(Struct, frozen=True):
    """Command: base of all that the journal takes; `weight` is about how many rows it writes."""

    keep: ClassVar[bool] = False

    @property
    def weight(self) -> int:
        """Return about how many rows this writes, to bound a batch."""
        return 1


class Start(Struct, frozen=True):
    """One instance to start now: the input is JSON that its task has checked."""

    task: str
    input: bytes
    timeout: int | None = None
    tags: tuple[str, ...] = ()


class StartInstances(Command, frozen=True):
    """Command: start all of these now; answered with their ids, in order."""

    starts: tuple[Start, ...]
    by: str = "api"

    @property
    def weight(self) -> int:
        """Return the number of instances."""
        return len(self.starts)


class TriggerSchedule(Command, frozen=True):
    """Command: run a schedule now, without moving its next due time; answered with the instance's id."""

    schedule: str
    input: bytes | None = None
    overlap: str | None = None


class RerunInstance(Command, frozen=True):
    """Command: start a new instance with the task and input of this one; answered with its id."""

    instance: UUID


class CancelInstance(Command, frozen=True):
    """Command: cancel an instance; answered True when the order was given, False when it was over already."""

    instance: UUID
    reason: str | None
    by: str


class CancelInstances(Command, frozen=True):
    """Command: cancel every unfinished instance that matches; answered with how many there are."""

    task: str | None
    schedule: str | None
    tag: str | None
    reason: str | None
    by: str


class EndInstance(Command, frozen=True):
    """Command: an instance has ended; `started_at` is when its body really began."""

    keep: ClassVar[bool] = True

    run: InstanceStarted
    outcome: str
    started_at: int
    finished_at: int
    error: bytes | None = None
    state: bytes | None = None
    may_retry: bool = True


class KeepOutput(Command, frozen=True):
    """Command: keep what a task sent; `value` is JSON."""

    keep: ClassVar[bool] = True

    instance: UUID
    seq: int
    at: int
    value: bytes


class KeepLog(Command, frozen=True):
    """Command: keep a line that a task logged; `fields` is a JSON object."""

    keep: ClassVar[bool] = True

    instance: UUID
    seq: int
    at: int
    level: str
    text: str
    fields: bytes | None = None


class MarkStuck(Command, frozen=True):
    """Command: this instance was cancelled and does not end; `where` tells where it stands."""

    keep: ClassVar[bool] = True

    instance: UUID
    where: str


class KeepEvent(Command, frozen=True):
    """Command: write an event that concerns the node itself, or an instance on it; `data` is a JSON object."""

    keep: ClassVar[bool] = True

    type: str
    data: bytes
    instance: UUID | None = None


class Claim(Command, frozen=True):
    """Command: fire what is due by `until` (None: by now); answered with Looked.

    Due times before `awake_since` came while nobody was up: the schedule's catch-up policy decides them. `until` is
    read from the same look at the clock, so that no jump of it comes between the two.
    """

    awake_since: int
    limit: int = 500
    until: int | None = None


class PutSchedule(Command, frozen=True):
    """Command: create or replace a schedule; answered with (created, record).

    `id` None makes one up; `create_only` refuses an id that exists; `if_match` holds the versions of which one must
    stand, ANY_VERSION for any.
    """

    id: str | None
    document: object
    if_match: tuple[int, ...] | None = None
    create_only: bool = False


class CreateSchedules(Command, frozen=True):
    """Command: create all of these, or none; answered with their ids, in order.

    Each is an id (None makes one up) and what is to stand under it; an id that exists refuses all.
    """

    schedules: tuple[tuple[str | None, Definition], ...]

    @property
    def weight(self) -> int:
        """Return the number of schedules."""
        return len(self.schedules)


class PatchSchedule(Command, frozen=True):
    """Command: change a schedule by a JSON merge patch (RFC 7396); answered with its record."""

    id: str
    patch: object
    if_match: tuple[int, ...] | None = None


class PauseSchedule(Command, frozen=True):
    """Command: plan nothing until resumed, or until an instant; answered with the schedule's record."""

    id: str
    reason: str | None = None
    until: int | None = None
    if_match: tuple[int, ...] | None = None


class ResumeSchedule(Command, frozen=True):
    """Command: plan again, strictly in the future; answered with the schedule's record."""

    id: str
    if_match: tuple[int, ...] | None = None


class DeleteSchedule(Command, frozen=True):
    """Command: fire it no more; history stays. Answered with the URIs of instances that still run."""

    id: str
    cancel_running: bool = False
    if_match: tuple[int, ...] | None = None


class SkipDue(Command, frozen=True):
    """Command: leave out the next `count` due times, or the one at `at`; answered with the schedule's record."""

    id: str
    count: int | None = None
    at: int | None = None
    if_match: tuple[int, ...] | None = None


class UnskipDue(Command, frozen=True):
    """Command: let the due time at `at` run after all (None: all of them); answered with the schedule's record."""

    id: str
    at: int | None = None
    if_match: tuple[int, ...] | None = None


class BackfillSchedule(Command, frozen=True):
    """Command: run what never ran of the due times from `start` to `end`; answered with what became of each."""

    id: str
    start: int
    end: int
    overlap: str | None = None
    dry_run: bool = False

    @property
    def weight(self) -> int:
        """Return about how many instances that may be."""
        return 1 if self.dry_run else 500


class PlanChange(Command, frozen=True):
    """Command: write nothing; answered with the record that stands (None: none) and the definition it would get."""

    change: PutSchedule | PatchSchedule


class Recover(Command, frozen=True):
    """Command: settle what an earlier boot left behind; answered with the number of instances lost."""


class Drain(Command, frozen=True):
    """Command: this node is going to stop: let nothing begin any more; what is queued stays so."""

    keep: ClassVar[bool] = True


class StopNode(Command, frozen=True):
    """Command: write down that this node stopped as told."""


class CreateToken(Command, frozen=True):
    """Command: let a new API key in, of which only the `hash` is kept; answered with its record."""

    name: str
    role: str
    hash: str
    expires_at: int | None = None


class RevokeToken(Command, frozen=True):
    """Command: let the API key of this name in no more; answered with its record."""

    name: str


class IdempotencyKey(Struct, frozen=True):
    """Under what the answer to a request is kept, so that the request is done once however often it comes.

    `id` stands for caller, address and key, `fingerprint` for what is asked; `encode` makes the answer into what is
    kept.
    """

    id: str
    fingerprint: str
    encode: Callable[[Any], str]


class Kept(Struct, frozen=True):
    """The answer to a command that came with an idempotency key: as it is kept, and whether it was there already."""

    text: str
    replayed: bool


class OnBehalf(Command, frozen=True):
    """Command: do this for `by`, whose name is written down with it; with a key it is answered with Kept."""

    command: Command
    by: str
    request: str | None = None
    key: IdempotencyKey | None = None
    trace: str | None = None  # the traceparent of the request, which what it starts refers to

    @property
    def weight(self) -> int:
        """Return the weight of what is to be done."""
        return self.command.weight


class Prune(Command, frozen=True):
    """Command: delete this history, as far as it may go; answered with Pruned.

    `omissions` are ids, `schedules` those of which nothing but the row is left, `nodes` boots, `events` the first and
    the last of a row of them, `audit` ids of entries, and `tokens` of revoked keys.
    """

    instances: tuple[UUID, ...] = ()
    omissions: tuple[int, ...] = ()
    schedules: tuple[str, ...] = ()
    nodes: tuple[UUID, ...] = ()
    events: tuple[int, int] | None = None
    audit: tuple[UUID, ...] = ()
    tokens: tuple[UUID, ...] = ()

    @property
    def weight(self) -> int:
        """Return about how many rows go, not counting what instances said."""
        events = 0 if self.events is None else self.events[1] - self.events[0] + 1
        named = (self.instances, self.omissions, self.schedules, self.nodes, self.audit, self.tokens)
        return sum(map(len, named)) + events
