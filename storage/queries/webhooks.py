"""Webhooks as they stand, and the messages that are due."""

from typing import Any
from uuid import UUID

import msgspec
from attrs import frozen

from callsheet.errors import Unknown
from storage.database import Database
from storage.dialect import Dialect
from storage.queries.reading import as_uuid, decode_cursor, encode_cursor, one, read, rows
from storage.records import DeliveryRecord, Page, WebhookRecord

COLUMNS = (
    "id, url, events, schedules, secret, state, state_reason, position, created_at, updated_at, delivered_at, "
    "failed_at, last_error"
)
_PENDING = "(SELECT count(*) FROM delivery d WHERE d.webhook = webhook.id)"
_FIRST_ID = UUID(int=0)


@frozen
class Due:
    """Messages to be sent now, oldest first, and when the next one is due (None: there is none)."""

    messages: list[DeliveryRecord]
    next_at: int | None


def webhook_of(dialect: Dialect, row: Any, pending: int = 0) -> WebhookRecord:
    """Return a row of COLUMNS as a frozen value."""
    values = [*row, pending]
    values[0] = dialect.uuid(values[0])
    for index in (2, 3):
        values[index] = tuple(msgspec.json.decode(values[index]))
    return WebhookRecord(*values)


def get_webhook(database: Database, webhook: UUID) -> WebhookRecord:
    """Return a webhook; Unknown when there is none."""
    sql = f"SELECT {COLUMNS}, {_PENDING} FROM webhook WHERE id = ?"
    row = read(database, lambda db: one(db, sql, webhook))
    if row is None:
        raise Unknown("webhook", webhook)
    return webhook_of(database.dialect, row[:-1], row[-1])


def list_webhooks(database: Database, limit: int, cursor: str | None) -> Page[WebhookRecord]:
    """Return a page of webhooks, oldest first."""
    after = decode_cursor(cursor, UUID)[0] if cursor else _FIRST_ID
    sql = f"SELECT {COLUMNS}, {_PENDING} FROM webhook WHERE id > ? ORDER BY id LIMIT ?"
    found = read(database, lambda db: rows(db, sql, after, limit + 1))
    hooks = [webhook_of(database.dialect, row[:-1], row[-1]) for row in found]
    more = len(hooks) > limit
    return Page(hooks[:limit], encode_cursor(hooks[limit - 1].id) if more else None)


def count_messages(database: Database) -> int:
    """Return how many messages are on their way to any webhook."""
    return int(read(database, lambda db: rows(db, "SELECT count(*) FROM delivery"))[0][0])


def active_webhooks(database: Database) -> list[WebhookRecord]:
    """Return the webhooks that are to be told of events; there are few."""
    sql = f"SELECT {COLUMNS} FROM webhook WHERE state = 'active' ORDER BY id"
    return [webhook_of(database.dialect, row) for row in read(database, lambda db: rows(db, sql))]


def active_webhook(database: Database, webhook: UUID) -> WebhookRecord | None:
    """Return a webhook as it stands, None when it is to be told of nothing any more."""
    sql = f"SELECT {COLUMNS} FROM webhook WHERE id = ? AND state = 'active'"
    row = read(database, lambda db: one(db, sql, webhook))
    return None if row is None else webhook_of(database.dialect, row)


def due_messages(database: Database, webhook: UUID, now: int, limit: int) -> Due:
    """Return what is due to one webhook."""
    sql = (
        "SELECT id, webhook, event, body, attempts, created_at, next_at FROM delivery "
        "WHERE webhook = ? AND next_at <= ? ORDER BY next_at, id LIMIT ?"
    )
    following = "SELECT next_at FROM delivery WHERE webhook = ? AND next_at > ? ORDER BY next_at LIMIT 1"

    def look(db: Database) -> Due:
        found = [
            DeliveryRecord(as_uuid(db, row[0]), as_uuid(db, row[1]), *row[2:])
            for row in rows(db, sql, webhook, now, limit)
        ]
        later = one(db, following, webhook, now)
        return Due(found, later[0] if later else None)

    return read(database, look)
