"""Webhooks and what is on its way to them: each message is a row until it is delivered or given up."""

from typing import Any
from uuid import UUID

import msgspec

from callsheet.errors import Refused, Unknown
from storage.journal.facts import NodeSaid
from storage.journal.hook_commands import (
    AddWebhook,
    ChangeWebhook,
    EndDelivery,
    Plan,
    PlanDeliveries,
    PostponeDelivery,
    RemoveWebhook,
)
from storage.journal.work import Work
from storage.queries.webhooks import COLUMNS, webhook_of
from storage.records import WebhookRecord

MOST_WEBHOOKS = 100
MOST_PENDING = 10_000  # messages on their way to one webhook: more will hardly ever arrive
MOST_ERROR = 500  # characters

_PENDING = "SELECT count(*) FROM delivery WHERE webhook = ?"


def add_webhook(work: Work, command: AddWebhook) -> WebhookRecord:
    """Write down a webhook; it hears of what is committed from now on."""
    if work.one("SELECT count(*) FROM webhook")[0] >= MOST_WEBHOOKS:
        raise Refused(f"There are {MOST_WEBHOOKS} webhooks, which is as many as there may be.")
    made = work.ids.make(work.now)
    row = (
        made, command.url, _list(command.events), _list(command.schedules), command.secret, "active", None,
        _last_event(work), work.now, work.now, None, None, None,
    )  # fmt: skip
    work.dialect.insert(work.cursor, "webhook", COLUMNS, [row])
    work.untold += 1
    return _standing(work, made)


def change_webhook(work: Work, command: ChangeWebhook) -> WebhookRecord:
    """Change a webhook, enable or disable it."""
    before = _standing(work, command.id)
    for name in ("url", "events", "schedules", "secret"):
        value = getattr(command, name)
        if value is not None and value != getattr(before, name):
            text = _list(value) if isinstance(value, tuple) else value
            work.execute(f"UPDATE webhook SET {name} = ?, updated_at = ? WHERE id = ?", text, work.now, command.id)
            work.untold += 1
    if command.enabled is False and before.state == "active":
        _disable(work, command.id, "somebody disabled it")
    if command.enabled is True and before.state != "active":
        sql = "UPDATE webhook SET state = 'active', state_reason = NULL, position = ?, updated_at = ? WHERE id = ?"
        work.execute(sql, _last_event(work), work.now, command.id)
        work.untold += 1
    return _standing(work, command.id)


def remove_webhook(work: Work, command: RemoveWebhook) -> None:
    """Forget a webhook; its deliveries go with it."""
    if work.execute("DELETE FROM webhook WHERE id = ?", command.id).rowcount == 0:
        raise Unknown("webhook", command.id)
    work.untold += 1


def plan_deliveries(work: Work, command: PlanDeliveries) -> None:
    """Write down the messages of each plan that still fits."""
    for plan in command.plans:
        sql = "UPDATE webhook SET position = ? WHERE id = ? AND position = ? AND state = 'active'"
        if work.execute(sql, plan.upto, plan.webhook, plan.position).rowcount and plan.messages:
            _write(work, plan)


def _write(work: Work, plan: Plan) -> None:
    if work.one(_PENDING, plan.webhook)[0] + len(plan.messages) > MOST_PENDING:
        _disable(work, plan.webhook, f"more than {MOST_PENDING:,} messages are on their way")
        return
    rows: list[Any] = [
        (work.ids.make(work.now), plan.webhook, event, body.decode(), 0, work.now, work.now)
        for event, body in plan.messages
    ]
    columns = "id, webhook, event, body, attempts, created_at, next_at"
    work.dialect.insert(work.cursor, "delivery", columns, rows)


def end_delivery(work: Work, command: EndDelivery) -> None:
    """Forget a message that was delivered."""
    work.execute("DELETE FROM delivery WHERE id = ?", command.delivery)
    work.execute("UPDATE webhook SET delivered_at = ? WHERE id = ?", command.at, command.webhook)


def postpone_delivery(work: Work, command: PostponeDelivery) -> None:
    """Write down that an attempt failed, and what follows from it."""
    row = work.one("SELECT event, attempts, created_at FROM delivery WHERE id = ?", command.delivery)
    if row is None:  # the webhook was removed meanwhile
        return
    event, attempts, created_at = row
    error = command.error[:MOST_ERROR]
    work.execute("UPDATE webhook SET failed_at = ?, last_error = ? WHERE id = ?", command.at, error, command.webhook)
    if command.next_at is not None:
        sql = "UPDATE delivery SET attempts = attempts + 1, next_at = ? WHERE id = ?"
        work.execute(sql, command.next_at, command.delivery)
    else:
        work.execute("DELETE FROM delivery WHERE id = ?", command.delivery)
        told = {"webhook": str(command.webhook), "event": event, "attempts": attempts + 1, "error": error}
        work.facts.append(NodeSaid("webhook.gave_up", msgspec.json.encode(told)))
    if command.gone:
        _disable(work, command.webhook, "its server says that it is gone (410)")
    elif command.next_at is None and (_standing(work, command.webhook).delivered_at or 0) < created_at:
        _disable(work, command.webhook, "nothing could be delivered for as long as a message is tried")


def _disable(work: Work, webhook: UUID, reason: str) -> None:
    """Disable a webhook; what is on its way waits, should somebody enable it again."""
    sql = "UPDATE webhook SET state = 'disabled', state_reason = ?, updated_at = ? WHERE id = ? AND state = 'active'"
    if work.execute(sql, reason, work.now, webhook).rowcount:
        told = msgspec.json.encode({"webhook": str(webhook), "reason": reason})
        work.facts.append(NodeSaid("webhook.disabled", told))


def _standing(work: Work, webhook: UUID) -> WebhookRecord:
    row = work.one(f"SELECT {COLUMNS} FROM webhook WHERE id = ?", webhook)
    if row is None:
        raise Unknown("webhook", webhook)
    (pending,) = work.one(_PENDING, webhook)
    return webhook_of(work.dialect, row, pending)


def _last_event(work: Work) -> int:
    last: int = work.one("SELECT max(id) FROM event")[0] or 0
    return last


def _list(values: tuple[str, ...]) -> str:
    return msgspec.json.encode(values).decode()
