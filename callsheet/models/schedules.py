"""Schedules, their triggers, their due times and their ledgers."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from callsheet.lifecycle import FATES
from callsheet.models.common import Json, Outcome, ScheduleState, Tags, Time, WrongField

TriggerDocument = Annotated[
    dict[str, Any],
    Meta(extra_json_schema={"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in
                                      ("EveryTrigger", "CronTrigger", "AtTrigger", "AfterTrigger")]}),
]  # fmt: skip


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


class Created(Struct):
    """A schedule that is written down."""

    id: str
    uri: str


class BatchCreated(Struct):
    """New schedules, in the order of the request."""

    items: list[Created]
