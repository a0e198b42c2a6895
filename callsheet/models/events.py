"""Committed facts, and who is told of them."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from callsheet.models.common import Time


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
