"""What many answers have in common: pages, problems, times.

Times are in UTC, lengths of time are seconds, and other instances and schedules are named by their URIs. A field that
is UNSET is not in the JSON. Texts of a closed set are plain texts to whoever decodes: a later server may know more.
"""

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from callsheet.lifecycle import OUTCOMES, SCHEDULE_STATES

T = TypeVar("T")

Time = Annotated[datetime, Meta(tz=True)]
Tags = Annotated[list[str], Meta(description="for filters")]
Outcome = Annotated[str, Meta(extra_json_schema={"enum": list(OUTCOMES)})]
ScheduleState = Annotated[str, Meta(extra_json_schema={"enum": list(SCHEDULE_STATES)})]
Json = Annotated[Any, Meta(description="any JSON")]


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
