"""What the API answers, as types: the names are those of docs/reference/rest.md.

Times are aware datetimes in UTC, lengths of time seconds. A field that a later version adds is passed over.
"""

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from msgspec import Meta, Struct, field

T = TypeVar("T")

Time = Annotated[datetime, Meta(tz=True)]


class Page(Struct, Generic[T]):
    """One page of a list; `next` is the cursor of the page after it."""

    items: list[T]
    next: str | None = None


class FieldProblem(Struct):
    """One wrong field of a request, by its JSON pointer."""

    pointer: str
    detail: str


class Problem(Struct):
    """An RFC 9457 problem: `kind` is what programs branch on, `detail` a sentence for people."""

    type: str = "about:blank"
    title: str = ""
    status: int = 0
    detail: str = ""
    instance: str | None = None
    request_id: str | None = None
    errors: list[FieldProblem] = field(default_factory=list)
    blocked_by: str | None = None

    @property
    def kind(self) -> str:
        """Return the last word of the type, such as `validation`."""
        return self.type.rsplit("/", 1)[-1]


class TaskModel(Struct):
    """A task in the code."""

    name: str
    doc: str | None
    origin: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    timeout: float | None
    retries: int
    idempotent: bool
    max_running: int | None
    state: str | None


class Schedule(Struct):
    """A schedule, whole; `trigger` as it was put, with its defaults."""

    id: str
    uri: str
    state: str
    version: int
    task: str
    input: Any
    trigger: dict[str, Any]
    description: str
    created_at: Time
    updated_at: Time
    state_reason: str | None = None
    state_errors: list[FieldProblem] | None = None
    paused_until: Time | None = None
    starts_at: Time | None = None
    ends_at: Time | None = None
    max_runs: int | None = None
    run_on_create: bool = False
    overlap: str = "skip"
    catch_up: str = "latest"
    catch_up_window: float = 3600
    jitter: float = 0
    timeout: float | None = None
    keep_for: float | None = None
    keep_last: int | None = None
    tags: list[str] = field(default_factory=list)
    next_due: Time | None = None
    next_due_local: str | None = None
    last_due: Time | None = None
    run_count: int = 0
    skips: list[Time] = field(default_factory=list)


class Cancellation(Struct):
    """Who wanted an instance to end, when and why."""

    requested_at: Time
    by: str | None = None
    reason: str | None = None


class RunError(Struct):
    """What went wrong in a run."""

    type: str
    message: str
    traceback: str | None = None


class Progress(Struct):
    """How far a run says that it is."""

    done: float
    total: float | None = None
    note: str = ""


class Instance(Struct):
    """One run of a task; `outputs` and `progress` only when it was read alone."""

    id: str
    uri: str
    task: str
    cause: str
    running: bool
    state: str
    attempt: int
    input: Any
    queued_at: Time
    schedule: str | None = None
    outcome: str | None = None
    retry_of: str | None = None
    rerun_of: str | None = None
    after: str | None = None
    node: str | None = None
    tags: list[str] = field(default_factory=list)
    timeout: float | None = None
    due_at: Time | None = None
    start_after: Time | None = None
    waits_for: str | None = None
    started_at: Time | None = None
    finished_at: Time | None = None
    late_by: float | None = None
    seconds: float | None = None
    cancel: Cancellation | None = None
    stuck: bool = False
    stuck_at: str | None = None
    error: RunError | None = None
    outputs: list[Any] = field(default_factory=list)
    progress: Progress | None = None


class Started(Struct):
    """An instance that was accepted."""

    id: str
    uri: str
    task: str | None = None
    schedule: str | None = None


class Batch(Struct):
    """The instances that a batch started, in its order."""

    items: list[Started]


class Count(Struct):
    """How many were meant."""

    count: int


class Output(Struct):
    """One value that an instance sent."""

    seq: int
    at: Time
    value: Any


class LogLine(Struct):
    """One line that an instance logged."""

    seq: int
    at: Time
    level: str
    text: str
    fields: dict[str, Any] = field(default_factory=dict)


class Stack(Struct):
    """Where an instance stands in its code, outermost first."""

    running: bool
    frames: list[str]


class LedgerRow(Struct):
    """What became of a due time, or of several in a row that started nothing."""

    fate: str
    due_at: Time | None = None
    instance: str | None = None
    outcome: str | None = None
    attempt: int | None = None
    reason: str | None = None
    first_due: Time | None = None
    last_due: Time | None = None
    count: int = 1
    blocked_by: str | None = None


class Coming(Struct):
    """A due time to come; `local` is the trigger's zone."""

    schedule: str
    uri: str
    task: str
    due_at: Time
    local: str
    skip: bool = False


class DueTime(Struct):
    """A due time, in UTC and in the trigger's zone."""

    due_at: Time
    local: str


class Preview(Struct):
    """The next due times of a trigger that nobody saved."""

    items: list[DueTime]
    description: str
    trigger: dict[str, Any]


class Comparison(Struct, rename={"from_": "from"}):
    """What a change of a schedule would do."""

    id: str
    would: str
    schedule: dict[str, Any]
    description: str
    from_: Time
    until: Time
    appear: list[DueTime]
    vanish: list[DueTime]
    appearing: int
    vanishing: int
    kept: int
    dry_run: bool = True


class Filled(Struct):
    """What a backfill makes of one due time."""

    due_at: Time
    before: str | None = None
    left_out: str | None = None
    instance: str | None = None


class Backfill(Struct):
    """What a backfill started, or would start."""

    dry_run: bool
    count: int
    left_out: int
    most: int
    items: list[Filled]


class Hindrance(Struct):
    """What could keep a due time from running."""

    reason: str
    detail: str | None = None
    instance: str | None = None


class Explanation(Struct):
    """What is known about one instant of a schedule."""

    explanation: str
    schedule: str
    state: str
    at: Time
    due: bool
    state_reason: str | None = None
    due_at: Time | None = None
    ledger: LedgerRow | None = None
    previous_due: Time | None = None
    next_due: Time | None = None
    next_due_local: str | None = None
    could_stop_it: list[Hindrance] = field(default_factory=list)


class Stats(Struct):
    """Counts over the history, and percentiles in seconds of the latest `sample` runs."""

    outcomes: dict[str, int]
    running: int
    queued: int
    omissions: dict[str, int]
    lateness: dict[str, float | None]
    durations: dict[str, float | None]
    sample: int = 0


class Node(Struct):
    """One boot of a node."""

    name: str
    boot: str
    host: str
    pid: int
    started_at: Time
    seen_at: Time
    stopped_at: Time | None = None


class Status(Struct):
    """What a probe answers."""

    status: str


class Event(Struct):
    """One committed fact; `data` is as docs/reference/events.md has it."""

    id: int | str
    type: str
    at: Time | None = None
    schedule: str | None = None
    instance: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
