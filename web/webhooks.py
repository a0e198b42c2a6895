"""/v1/webhooks: other servers that are told of events, each message signed, and tried again until it arrives."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from quart import Blueprint, Response

from actors.inbox import ask
from actors.messages import TryWebhook
from callsheet import bodies, models
from callsheet.builtin.addresses import AddressRefused
from callsheet.builtin.posting import check_target
from callsheet.definition import check_slug
from callsheet.errors import Unknown
from callsheet.signing import check_secret, new_secret
from callsheet.subscriptions import OWN, check_name
from storage.journal.facts import EVENTS
from storage.journal.hook_commands import AddWebhook, ChangeWebhook, RemoveWebhook
from storage.queries import webhooks as queries
from storage.records import WebhookRecord
from web import representations as show
from web.asking import Fields, Query, body_object, flag, instance_id, no_query
from web.documented import PAGED, documented
from web.events import check_event, with_families
from web.replies import Reply, reply
from web.site import site

webhooks = Blueprint("webhooks", __name__)

MOST_NAMES = 50
_TOLD = with_families(kind for kind in EVENTS if not kind.startswith(OWN))  # what a webhook can be told of
MOST_SCHEDULES = 100


@webhooks.get("/v1/webhooks")
@documented({200: models.Page[models.Webhook]}, query=PAGED)
async def index() -> Response:
    """List the webhooks, oldest first."""
    query = Query()
    limit, cursor = query.limit(), query.cursor()
    query.close()
    page = await site().read(queries.list_webhooks, limit, cursor)
    return show.respond(show.page([show.webhook(item) for item in page.items], page.next))


@webhooks.post("/v1/webhooks")
@documented({201: models.Webhook}, body=bodies.NewWebhook, headers={"Location": (201,)})
async def add() -> Response:
    """Make a webhook; its secret is in this answer and in no other, nor in the one kept for an idempotency key."""
    no_query()
    fields = Fields(await body_object())
    url = fields.read("url", _target, required=True)
    events = fields.read("events", _names, required=True)
    schedules, secret = fields.read("schedules", _slugs), fields.read("secret", check_secret)
    fields.close()
    assert url is not None
    assert events is not None
    secret = secret or new_secret()
    made = await site().change(AddWebhook(url, events, schedules or (), secret), _made)
    return (made if made.replayed else made.with_fields(secret=secret)).response()


@webhooks.get("/v1/webhooks/<name>")
@documented({200: models.Webhook})
async def get(name: str) -> Response:
    """Return one webhook, and how it does."""
    no_query()
    return show.respond(show.webhook(await _find(name)))


@webhooks.patch("/v1/webhooks/<name>")
@documented({200: models.Webhook}, body=bodies.WebhookPatch, merge_patch=True)
async def change(name: str) -> Response:
    """Change some of its fields, disable it, or enable it again."""
    no_query()
    wanted = _id(name)
    fields = Fields(await body_object(merge_patch=True))
    url, events = fields.read("url", _target), fields.read("events", _names)
    schedules = fields.read("schedules", lambda value: () if value is None else _slugs(value))
    secret, enabled = fields.read("secret", check_secret), fields.read("enabled", flag)
    fields.close()
    command = ChangeWebhook(wanted, url, events, schedules, secret, enabled)
    return (await site().change(command, lambda changed: reply(show.webhook(changed)))).response()


@webhooks.delete("/v1/webhooks/<name>")
@documented({204: None})
async def remove(name: str) -> Response:
    """Forget a webhook and what is on its way to it."""
    no_query()
    return (await site().change(RemoveWebhook(_id(name)), lambda _: Reply(204))).response()


@webhooks.post("/v1/webhooks/<name>/test")
@documented({200: models.Tried}, body=bodies.Nothing, optional=True, changes=False)
async def test(name: str) -> Response:
    """Send a test message now and tell how that went; it is not tried again."""
    no_query()
    Fields(await body_object(optional=True)).close()
    found = await _find(name)
    return show.respond(show.tried(await ask(site().engine.webhooks, partial(TryWebhook, found))))


def _made(record: WebhookRecord) -> Reply:
    made = show.webhook(record)
    return reply(made, 201, Location=made.uri)


async def _find(name: str) -> WebhookRecord:
    return await site().read(queries.get_webhook, _id(name))


def _id(name: str) -> UUID:
    try:
        return instance_id(name)
    except Unknown:
        raise Unknown("webhook", name) from None


def _target(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError("must be an http or https URL")
    try:
        return check_target(value)
    except AddressRefused as error:
        raise ValueError(str(error)) from None


def _list(value: Any, most: int, check: Callable[[Any], str]) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"must be a list of at most {most}")
    return tuple(dict.fromkeys(check(one) for one in value))


def _names(value: Any) -> tuple[str, ...]:
    names = _list(value, MOST_NAMES, _name)
    if not names:
        raise ValueError('must name at least one event; ["*"] is all of them')
    return names


def _name(value: Any) -> str:
    name = check_name(value)
    return check_event(name, _TOLD) if "." in name else name


def _slugs(value: Any) -> tuple[str, ...]:
    return _list(value, MOST_SCHEDULES, _slug)


def _slug(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must hold ids of schedules")  # noqa: TRY004 - a wrong field, not a fault of ours
    return check_slug(value, "")
