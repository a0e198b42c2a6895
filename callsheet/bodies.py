"""What requests to the API hold, as types: the OpenAPI document describes them, clients encode them.

The server reads bodies by hand, to name all wrong fields at once; the tests hold every body it takes against these.
"""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

from callsheet.definition import CATCH_UPS, OVERLAPS
from callsheet.models import Role, Time
from callsheet.timetable import SLUG

MOST_STARTS = 10_000  # in one request

_COMPOUND = (
    r"^ *([0-9]{1,4}[dD])?([0-9]{1,5}[hH])?([0-9]{1,6}[mM])?([0-9]{1,8}(\.[0-9]{1,6})?[sS])?([0-9]{1,9}[mM][sS])? *$"
)
Duration = (
    Annotated[float, Meta(ge=0, le=3_155_760_000, description="seconds")]
    | Annotated[str, Meta(min_length=2, pattern=_COMPOUND, examples=["30s", "1h30m", "250ms"])]
)
Slug = Annotated[str, Meta(pattern=f"^{SLUG.pattern}$")]
Tag = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$")]
Tags = Annotated[list[Tag], Meta(max_length=20)]
Text = Annotated[str, Meta(max_length=512)]
Reason = Annotated[str, Meta(max_length=500)]
Positive = Annotated[int, Meta(ge=1, le=2**53)]
Overlap = Annotated[str, Meta(extra_json_schema={"enum": list(OVERLAPS)})]
CatchUp = Annotated[str, Meta(extra_json_schema={"enum": list(CATCH_UPS)})]
Input = Annotated[Any, Meta(description="what the task takes; `GET /v1/tasks/{name}` has its schema")]
Trigger = Annotated[
    dict[str, Any],
    Meta(extra_json_schema={"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in
                                      ("Every", "Cron", "At", "After")]}),
]  # fmt: skip


class Every(Struct, forbid_unknown_fields=True):
    """Due at the anchor (the creation unless given) and at each interval from there; at least 1 s."""

    every: Duration
    anchor: Time | UnsetType = UNSET


class Cron(Struct, forbid_unknown_fields=True):
    """Due by a cron expression of 5 fields, or 6 with seconds first, in an IANA zone (UTC unless given)."""

    cron: Annotated[str, Meta(examples=["0 2 * * *", "@daily"])]
    timezone: Annotated[str, Meta(examples=["Europe/Berlin"])] | UnsetType = UNSET


class At(Struct, forbid_unknown_fields=True):
    """Due once, at a time to come."""

    at: Time


class After(Struct, forbid_unknown_fields=True):
    """Due when a run of another schedule is over."""

    after: Slug
    on: Annotated[str, Meta(extra_json_schema={"enum": ["success", "failure", "any"]})] | UnsetType = UNSET


class ScheduleDocument(Struct, kw_only=True, forbid_unknown_fields=True):
    """A schedule as its user writes it."""

    task: str
    trigger: Trigger
    id: Slug | UnsetType = UNSET
    input: Input | UnsetType = UNSET
    starts_at: Time | UnsetType | None = UNSET
    ends_at: Time | UnsetType | None = UNSET
    max_runs: Positive | UnsetType | None = UNSET
    run_on_create: bool | UnsetType = UNSET
    overlap: Overlap | UnsetType = UNSET
    catch_up: CatchUp | UnsetType = UNSET
    catch_up_window: Duration | UnsetType = UNSET
    jitter: Duration | UnsetType = UNSET
    timeout: Duration | UnsetType | None = UNSET
    keep_for: Duration | UnsetType | None = UNSET
    keep_last: Positive | UnsetType | None = UNSET
    tags: Tags | UnsetType = UNSET


class ScheduleBatch(Struct, forbid_unknown_fields=True):
    """Schedules to create, all or none."""

    items: Annotated[list[ScheduleDocument], Meta(min_length=1, max_length=MOST_STARTS)]


class SchedulePatch(Struct, kw_only=True, forbid_unknown_fields=True):
    """A JSON merge patch of a schedule: null takes a field back to its default."""

    id: Slug | UnsetType = UNSET
    task: str | UnsetType = UNSET
    trigger: Annotated[dict[str, Any], Meta(description="a trigger, or a part of one")] | UnsetType = UNSET
    input: Input | UnsetType = UNSET
    starts_at: Time | UnsetType | None = UNSET
    ends_at: Time | UnsetType | None = UNSET
    max_runs: Positive | UnsetType | None = UNSET
    run_on_create: bool | UnsetType | None = UNSET
    overlap: Overlap | UnsetType | None = UNSET
    catch_up: CatchUp | UnsetType | None = UNSET
    catch_up_window: Duration | UnsetType | None = UNSET
    jitter: Duration | UnsetType | None = UNSET
    timeout: Duration | UnsetType | None = UNSET
    keep_for: Duration | UnsetType | None = UNSET
    keep_last: Positive | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET


class Pause(Struct, kw_only=True, forbid_unknown_fields=True):
    """Why a schedule pauses, and until when."""

    reason: Reason | UnsetType | None = UNSET
    until: Time | UnsetType | None = UNSET


class Nothing(Struct, forbid_unknown_fields=True):
    """An empty object."""


class TriggerNow(Struct, kw_only=True, forbid_unknown_fields=True):
    """What to run a schedule with, in place of its own."""

    input: Input | UnsetType = UNSET
    overlap: Overlap | UnsetType = UNSET


class Skip(Struct, kw_only=True, forbid_unknown_fields=True):
    """How many of the next due times to leave out, or which one."""

    count: Annotated[int, Meta(ge=1, le=100)] | UnsetType = UNSET
    at: Time | UnsetType = UNSET


class BackfillRange(Struct, kw_only=True, forbid_unknown_fields=True):
    """The range of the past to make up for; both ends belong to it."""

    since: Time = field(name="from")
    until: Time = field(name="to")
    overlap: Overlap | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class PreviewAsked(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which due times to tell."""

    trigger: Trigger
    after: Time | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=200)] | UnsetType = UNSET


class Simulate(Struct, kw_only=True, forbid_unknown_fields=True):
    """What to simulate: `to` is a time, or how long after `from`."""

    until: Annotated[float | str, Meta(description="a time, or a duration")] = field(name="to")
    since: Time | UnsetType = field(name="from", default=UNSET)
    seed: Annotated[int, Meta(ge=0, le=2**53)] | UnsetType = UNSET
    resolution: Duration | UnsetType = UNSET
    max_running: Annotated[int, Meta(ge=1)] | UnsetType | None = UNSET
    durations: dict[str, Any] | UnsetType = UNSET
    schedules: dict[str, ScheduleDocument] | UnsetType = UNSET


class Start(Struct, kw_only=True, forbid_unknown_fields=True):
    """A task to start now."""

    task: str
    input: Input | UnsetType = UNSET
    timeout: Duration | UnsetType | None = UNSET
    tags: Tags | UnsetType = UNSET


class StartBatch(Struct, forbid_unknown_fields=True):
    """Tasks to start now, all or none."""

    items: Annotated[list[Start], Meta(min_length=1, max_length=MOST_STARTS)]


class CancelReason(Struct, forbid_unknown_fields=True):
    """Why an instance is cancelled."""

    reason: Reason | UnsetType | None = UNSET


class CancelMatching(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which instances to cancel: at least one of the three, all of which must fit."""

    task: Text | UnsetType = UNSET
    schedule: Text | UnsetType = UNSET
    tag: Text | UnsetType = UNSET
    reason: Reason | UnsetType | None = UNSET


Url = Annotated[str, Meta(max_length=2048, description="http or https")]
EventNames = Annotated[
    list[str],
    Meta(min_length=1, max_length=50, description="types, families, outcomes or fates; `*`: all"),
]
OfSchedules = Annotated[list[Slug], Meta(max_length=100, description="of these schedules only; none: of all")]
Secret = Annotated[str, Meta(pattern=r"^whsec_", description="`whsec_` and 24 to 64 random bytes in base64")]


class NewWebhook(Struct, kw_only=True, forbid_unknown_fields=True):
    """A webhook to make; a secret is made up unless given."""

    url: Url
    events: EventNames
    schedules: OfSchedules | UnsetType = UNSET
    secret: Secret | UnsetType = UNSET


class WebhookPatch(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which fields of a webhook to change."""

    url: Url | UnsetType = UNSET
    events: EventNames | UnsetType = UNSET
    schedules: OfSchedules | UnsetType | None = UNSET
    secret: Secret | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class NewToken(Struct, kw_only=True, forbid_unknown_fields=True):
    """An API key to make; without an end it is good until it is revoked."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    role: Role
    expires_at: Time | UnsetType = UNSET
    expires_in: Duration | UnsetType = UNSET
