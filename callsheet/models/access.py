"""Who may call, and who changed what."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from callsheet.models.common import Time
from callsheet.tokens import ROLES

Role = Annotated[str, Meta(extra_json_schema={"enum": list(ROLES)})]


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
