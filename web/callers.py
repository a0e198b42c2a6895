"""/v1/tokens and /v1/audit: who may call, and who changed what."""

from functools import partial
from typing import Annotated, Any

from msgspec import Meta
from quart import Blueprint, Response

from callsheet import bodies, models
from callsheet.errors import FieldError, Refused
from callsheet.instants import parse_duration
from callsheet.tokens import KEYLESS, ROLES, check_name, hash_of, new_token
from storage.journal.audit import ACTIONS
from storage.journal.commands import CreateToken, RevokeToken
from storage.queries.audit import AuditFilter, list_audit
from storage.queries.tokens import list_tokens
from storage.records import TokenRecord
from web import representations as show
from web.asking import Fields, Query, body_object, choice_of, instant, no_query
from web.documented import PAGED, documented
from web.gate import caller_at_hand
from web.replies import Reply, reply
from web.site import site

callers = Blueprint("callers", __name__)


Action = Annotated[str, Meta(extra_json_schema={"enum": list(ACTIONS)})]


@callers.get("/v1/tokens")
@documented({200: models.Page[models.Token]}, query=PAGED)
async def tokens() -> Response:
    """List all API keys without the keys, the newest first."""
    query = Query()
    limit, cursor = query.limit(), query.cursor()
    query.close()
    page = await site().read(list_tokens, limit, cursor)
    now = site().clock.now()
    return show.respond(show.page([show.token(item, now) for item in page.items], page.next))


@callers.post("/v1/tokens")
@documented({201: models.Token}, body=bodies.NewToken, problems=(409,))
async def create() -> Response:
    """Make an API key; it is in this answer and nowhere else, not even in the answer kept for an idempotency key."""
    no_query()
    now = site().clock.now()
    fields = Fields(await body_object())
    name = fields.read("name", check_name, required=True)
    role = fields.read("role", choice_of(ROLES), required=True)
    expires_at, expires_in = fields.read("expires_at", instant), fields.read("expires_in", partial(_end, now=now))
    if fields.document.keys() >= {"expires_at", "expires_in"}:
        fields.errors.append(FieldError("/expires_in", "cannot be given together with expires_at"))
    fields.close()
    assert name is not None
    assert role is not None
    if role != "admin" and caller_at_hand() is KEYLESS:
        raise Refused("The first key must be an admin's: once there is one, nobody else could make another.")
    secret = new_token()
    made = await site().change(
        CreateToken(name, role, hash_of(secret), expires_at or expires_in), partial(_made, now=now)
    )
    return (made if made.replayed else made.with_fields(token=secret)).response()


@callers.delete("/v1/tokens/<name>")
@documented({204: None})
async def revoke(name: str) -> Response:
    """Let an API key in no more, from this moment on."""
    no_query()
    return (await site().change(RevokeToken(name), lambda _: Reply(204))).response()


@callers.get("/v1/audit")
@documented(
    {200: models.Page[models.AuditEntry]},
    query={
        "by": (bodies.Text, "the name of who asked for it"),
        "action": Action,
        "schedule": bodies.Text,
        "since": (models.Time, "then or later"),
        "until": (models.Time, "before"),
        **PAGED,
    },
)
async def audit() -> Response:
    """Return who changed what, the newest first."""
    query = Query()
    by, action, schedule = query.text("by"), query.choice("action", ACTIONS), query.text("schedule")
    since, until = query.instant("since"), query.instant("until")
    limit, cursor = query.limit(), query.cursor()
    query.close()
    page = await site().read(list_audit, AuditFilter(by, action, schedule, since, until), limit, cursor)
    return show.respond(show.page([show.audit(item) for item in page.items], page.next))


def _made(record: TokenRecord, *, now: int) -> Reply:
    return reply(show.token(record, now), 201)


def _end(value: Any, now: int) -> int:
    lifetime = parse_duration(value)
    if lifetime <= 0:
        raise ValueError("must be longer than nothing")
    return now + lifetime
