"""Instances, what they sent and logged, and how they are started and ended."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from callsheet.lifecycle import CAUSES, INSTANCE_STATES
from callsheet.models.common import Json, Outcome, Tags, Time

InstanceState = Annotated[str, Meta(extra_json_schema={"enum": list(INSTANCE_STATES)})]


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
