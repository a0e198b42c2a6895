"""What the API answers, as types: the server encodes them, the OpenAPI document describes them, clients decode them.

Times are in UTC, lengths of time are seconds, and other instances and schedules are named by their URIs. A field that
is UNSET is not in the JSON. Texts of a closed set are plain texts to whoever decodes: a later server may know more.
"""

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from callsheet.lifecycle import CAUSES, FATES, INSTANCE_STATES, OUTCOMES, SCHEDULE_STATES
from callsheet.tokens import ROLES

T = TypeVar("T")

Time = Annotated[datetime, Meta(tz=True)]
Tags = Annotated[list[str], Meta(description="for filters")]
InstanceState = Annotated[str, Meta(extra_json_schema={"enum": list(INSTANCE_STATES)})]
Outcome = Annotated[str, Meta(extra_json_schema={"enum": list(OUTCOMES)})]
ScheduleState = Annotated[str, Meta(extra_json_schema={"enum": list(SCHEDULE_STATES)})]
Role = Annotated[str, Meta(extra_json_schema={"enum": list(ROLES)})]
Json = Annotated[Any, Meta(description="any JSON")]
TriggerDocument = Annotated[
    dict[str, Any],
    Meta(extra_json_schema={"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in
                                      ("EveryTrigger", "CronTrigger", "AtTrigger", "AfterTrigger")]}),
]  # fmt: skip


class Page(Struct, Generic[T], kw_only=True):
    """One page of a list; `next` is the cursor of the page after it, null at the end."""

    items: list[T]
    next: str | None = None


class WrongField(Struct):
    """One wrong field: `pointer` is a JSON pointer into the body, or `#/name` for a query."""

    pointer: str
    detail: str


class Problem(Struct, kw_only=True):
    """An error after RFC 9457: branch on `type` or `status`, show `detail`."""

    type: str
    title: str
    status: int
    detail: str
    instance: Annotated[str | None, Meta(description="the path of the request")]
    request_id: str | None
    errors: list[WrongField] | UnsetType = UNSET
    blocked_by: Annotated[str, Meta(description="the URI in the way")] | UnsetType = UNSET


class EveryTrigger(Struct):
    """Due at the anchor and every so many seconds from there."""

    every: float
    anchor: Time


class CronTrigger(Struct):
    """Due when the clocks of a zone show what a cron expression names."""

    cron: str
    timezone: str


class AtTrigger(Struct):
    """Due once."""

    at: Time


class AfterTrigger(Struct):
    """Due when a run of another schedule is over."""

    after: Annotated[str, Meta(description="the id of that schedule")]
    on: Annotated[str, Meta(extra_json_schema={"enum": ["success", "failure", "any"]})]


class Schedule(Struct, kw_only=True):
    """A schedule: what was put, with defaults filled in, and how it stands."""

    id: str
    uri: str
    state: ScheduleState
    state_reason: Annotated[str | None, Meta(description="why it is paused or blocked")]
    state_errors: Annotated[
        list[WrongField] | None, Meta(description="what is wrong with its input, if blocked for it")
    ]
    paused_until: Time | None
    version: Annotated[int, Meta(description="counts changes; the ETag")]
    task: str
    input: Json
    trigger: TriggerDocument
    starts_at: Time | None
    ends_at: Time | None
    max_runs: int | None
    run_on_create: bool
    overlap: str
    catch_up: str
    catch_up_window: float
    jitter: float
    timeout: float | None
    keep_for: float | None
    keep_last: int | None
    tags: Tags
    description: Annotated[str, Meta(description="the trigger in words")]
    next_due: Annotated[Time | None, Meta(description="null unless active")]
    next_due_local: Annotated[str | None, Meta(description="the same in the trigger's zone")]
    last_due: Annotated[Time | None, Meta(description="the latest due time that the ledger holds")]
    run_count: int
    skips: Annotated[list[Time], Meta(description="due times to come that somebody asked to skip")]
    created_at: Time
    updated_at: Time


class LocalTime(Struct):
    """A due time, also as the clocks of its zone show it."""

    due_at: Time
    local: str


class Preview(Struct):
    """The next due times of a trigger."""

    items: list[LocalTime]
    description: Annotated[str, Meta(description="the trigger in words")]
    trigger: TriggerDocument


class Comparison(Struct, kw_only=True, rename={"since": "from"}):
    """What a change would do to the due times from `from` to `until`."""

    dry_run: bool
    id: str
    would: Annotated[str, Meta(extra_json_schema={"enum": ["create", "update", "change nothing"]})]
    schedule: Annotated[dict[str, Any], Meta(description="the document that it would leave")]
    description: str
    since: Time
    until: Time
    appear: list[LocalTime]
    vanish: list[LocalTime]
    appearing: int
    vanishing: int
    kept: int


class Peak(Struct):
    """The most instances that ran at once, and when first."""

    running: int
    at: Time | None


class Left(Struct):
    """What had not ended at the end."""

    running: int
    queued: int


class BusyMinute(Struct):
    """One of the busiest minutes."""

    minute: Time
    running: int
    started: int


class OmissionCount(Struct):
    """How many due times were omitted for one reason."""

    fate: str
    reason: str
    count: int


class OmittedDueTimes(Struct):
    """Consecutive due times that were omitted."""

    schedule: str
    fate: str
    reason: str
    first_due: Time
    last_due: Time
    count: int


class Assumption(Struct):
    """How long the runs of a schedule were taken to last, and why."""

    source: str
    text: str
    runs: int
    median_seconds: float
    longest_seconds: float
    unlucky: Annotated[float, Meta(description="the share of runs that do not succeed")]


class SimulatedSchedule(Struct):
    """What would become of one schedule."""

    schedule: str
    task: str
    firings: int
    retries: int
    queued: int
    outcomes: dict[str, int]
    omissions: list[OmissionCount]
    peak_running: int
    busy_seconds: float
    latest_by: Annotated[float, Meta(description="how late the latest start was")]
    assumed: Assumption


class Simulation(Struct, kw_only=True, rename={"since": "from", "until": "to"}):
    """What would happen, with nothing changed."""

    since: Time
    until: Time
    seed: int
    resolution: float
    max_running: int | None
    firings: int
    retries: int
    queued: int
    outcomes: dict[str, int]
    omissions: list[OmissionCount]
    unfinished: Left
    peak: Peak
    busy_seconds: float
    busiest: list[BusyMinute]
    schedules: list[SimulatedSchedule]
    omitted: list[OmittedDueTimes]
    omitted_complete: bool
    assumptions: list[str]


class DueTime(Struct, kw_only=True):
    """A due time to come."""

    schedule: str
    uri: str
    task: str
    due_at: Time
    local: str
    skip: Annotated[bool, Meta(description="somebody asked to leave it out")]


class LedgerRow(Struct, kw_only=True):
    """One row of a ledger: a due time that ran, or consecutive ones that did not, for one reason."""

    fate: Annotated[str, Meta(extra_json_schema={"enum": ["ran", *FATES]})]
    due_at: Time | UnsetType = UNSET
    instance: str | UnsetType = UNSET
    outcome: Outcome | UnsetType | None = UNSET
    attempt: int | UnsetType = UNSET
    reason: str | UnsetType | None = UNSET
    first_due: Time | UnsetType = UNSET
    last_due: Time | UnsetType = UNSET
    count: int | UnsetType = UNSET
    blocked_by: str | UnsetType | None = UNSET


class Hindrance(Struct):
    """What could keep the next due time from running."""

    reason: str
    detail: str
    instance: str | None


class Explanation(Struct, kw_only=True):
    """What is known about one instant of a schedule."""

    explanation: Annotated[str, Meta(description="one sentence")]
    schedule: str
    state: ScheduleState
    state_reason: str | None
    at: Time
    due: bool
    due_at: Time | None
    ledger: LedgerRow | None
    previous_due: Time | None
    next_due: Time | None
    next_due_local: str | None
    could_stop_it: list[Hindrance]


class Filled(Struct):
    """What a backfill does with one due time."""

    due_at: Time
    before: Annotated[str | None, Meta(description="the fate it had")]
    left_out: Annotated[str | None, Meta(description="why it is left out")]
    instance: str | None


class Backfill(Struct, kw_only=True):
    """What a backfill started, or would start."""

    dry_run: bool
    count: int
    left_out: int
    most: int
    items: list[Filled]


class Cancel(Struct):
    """Who ordered that an instance be cancelled, and why."""

    requested_at: Time
    by: str | None
    reason: str | None


class TaskError(Struct, kw_only=True):
    """Why an instance did not succeed."""

    type: str
    message: str = ""
    traceback: str | UnsetType = UNSET


class Progress(Struct):
    """How far a running instance is, as it says."""

    done: float
    total: float | None
    note: str


class Instance(Struct, kw_only=True):
    """One run of a task."""

    id: str
    uri: str
    task: str
    schedule: str | None
    cause: Annotated[str, Meta(extra_json_schema={"enum": list(CAUSES)})]
    running: bool
    state: InstanceState
    outcome: Annotated[Outcome | None, Meta(description="null while it is not over")]
    attempt: int
    retry_of: Annotated[str | None, Meta(description="the first attempt")]
    rerun_of: str | None
    after: str | None
    node: str | None
    input: Json
    tags: Tags
    timeout: float | None
    due_at: Annotated[Time | None, Meta(description="the due time it answers to")]
    queued_at: Time
    start_after: Time | None
    waits_for: Annotated[str | None, Meta(description="the line that a queued one stands in")]
    started_at: Time | None
    finished_at: Time | None
    late_by: Annotated[float | None, Meta(description="seconds from due to started")]
    seconds: float | None
    cancel: Cancel | None
    stuck: Annotated[bool, Meta(description="it was told to end and does not")]
    stuck_at: str | None
    error: TaskError | None
    outputs: Annotated[list[Any], Meta(description="the first 50; only when read alone")] | UnsetType = UNSET
    progress: Progress | UnsetType | None = UNSET


class Started(Struct, kw_only=True):
    """A start that is written down."""

    id: str
    uri: str
    task: str | UnsetType = UNSET
    schedule: str | UnsetType = UNSET


class Created(Struct):
    """A schedule that is written down."""

    id: str
    uri: str


class BatchCreated(Struct):
    """New schedules, in the order of the request."""

    items: list[Created]


class BatchStarted(Struct):
    """Starts that are written down, in the order of the request."""

    items: list[Started]


class Count(Struct):
    """How many instances were told to end."""

    count: int


class Output(Struct):
    """One value that an instance sent."""

    seq: int
    at: Time
    value: Json


class LogLine(Struct):
    """One line that an instance logged."""

    seq: int
    at: Time
    level: str
    text: str
    fields: dict[str, Any]


class Stack(Struct):
    """Where a running instance stands in its code, outermost frame first."""

    running: bool
    frames: list[str]


class Task(Struct, kw_only=True):
    """A task in the code; its schemas are JSON Schema 2020-12."""

    name: str
    doc: str
    origin: Annotated[str, Meta(description="module and name in the code")]
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    timeout: float | None
    retries: int
    idempotent: bool
    max_running: int | None
    state: Annotated[str | None, Meta(description="what shares its state: null, schedule or task")]


class Node(Struct, kw_only=True):
    """One boot of a node."""

    name: str
    boot: str
    host: str
    pid: int
    started_at: Time
    seen_at: Annotated[Time, Meta(description="its latest write")]
    stopped_at: Annotated[Time | None, Meta(description="null: it runs, or it crashed")]


class Stats(Struct, kw_only=True):
    """Counts over the history, and percentiles in seconds over the latest `sample` ended instances."""

    outcomes: dict[str, int]
    running: int
    queued: int
    omissions: dict[str, int]
    lateness: dict[str, float]
    durations: dict[str, float]
    sample: int


class Token(Struct, kw_only=True):
    """An API key, without the key."""

    id: str
    name: str
    role: Role
    state: Annotated[str, Meta(extra_json_schema={"enum": ["active", "expired", "revoked"]})]
    created_at: Time
    created_by: Annotated[str, Meta(description="the name of who made it")]
    expires_at: Time | None
    revoked_at: Time | None
    token: Annotated[str, Meta(description="the key itself; only in the answer that made it")] | UnsetType = UNSET


class AuditEntry(Struct, kw_only=True):
    """Who changed what, when."""

    id: str
    at: Time
    by: Annotated[str, Meta(description="the name of who asked for it")]
    action: str
    schedule: Annotated[str | None, Meta(description="the id of the schedule it is about")]
    instance: Annotated[str | None, Meta(description="the URI of the instance it is about")]
    data: Annotated[dict[str, Any], Meta(description="the details that are not null")]


class Event(Struct, kw_only=True):
    """One committed fact; ids rise, and numbers may be missing."""

    id: int
    at: Time
    type: Annotated[str, Meta(examples=["instance.ended"])]
    schedule: Annotated[str | None, Meta(description="the id of the schedule it is about")]
    instance: Annotated[str | None, Meta(description="the URI of the instance it is about")]
    data: Annotated[dict[str, Any], Meta(description="the details that are not null")]


class Webhook(Struct, kw_only=True):
    """Another server that is told of events, and how that goes."""

    id: str
    uri: str
    url: str
    events: Annotated[list[str], Meta(description="types, families, outcomes or fates; `*`: all")]
    schedules: Annotated[list[str], Meta(description="of these schedules only; none: of all")]
    enabled: bool
    disabled_because: str | None
    pending: Annotated[int, Meta(description="messages on their way")]
    last_delivered_at: Time | None
    last_failed_at: Time | None
    last_error: str | None
    created_at: Time
    updated_at: Time
    secret: Annotated[str, Meta(description="signs the messages; only in the answer that made it")] | UnsetType = UNSET


class Tried(Struct):
    """How an attempt to deliver a message went."""

    delivered: bool
    status: Annotated[int | None, Meta(description="of the answer, if there was one")]
    seconds: float
    error: str | None


class Probe(Struct):
    """The answer of a probe when all is well."""

    status: str
