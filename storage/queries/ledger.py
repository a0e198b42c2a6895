"""The ledger of a schedule: its due times, each with its fate, read from instances and omissions together."""

from heapq import merge
from typing import Any

from callsheet.errors import Unknown
from storage.database import Database
from storage.queries.reading import decode_cursor, encode_cursor, read, rows
from storage.queries.schedules import has_schedule
from storage.records import LedgerEntry, Page

_LAST = (1 << 63) - 1
# The newest attempt of each due time; more than `limit` rows are read since one due time may have several.
_RAN = (
    "SELECT id, due_at, attempt, state FROM instance WHERE schedule = ? AND due_at IS NOT NULL AND due_at < ? "
    "ORDER BY due_at DESC, attempt DESC LIMIT ?"
)
_OMITTED = (
    "SELECT fate, reason, first_due, last_due, count, blocked_by FROM omission WHERE schedule = ? AND last_due < ? "
    "ORDER BY last_due DESC LIMIT ?"
)


def ledger(database: Database, slug: str, limit: int, cursor: str | None) -> Page[LedgerEntry]:
    """Return a page of a ledger, newest due time first; that of a deleted schedule can be read, too."""
    before = decode_cursor(cursor, int)[0] if cursor else _LAST
    ran = _ran(database, slug, before, limit + 1)
    omitted = _omitted(database, slug, before, limit + 1)
    entries = list(merge(ran, omitted, key=lambda entry: -entry.last_due))
    if not entries and not has_schedule(database, slug):
        raise Unknown("schedule", slug)
    more = len(entries) > limit
    return Page(entries[:limit], encode_cursor(entries[limit - 1].last_due) if more else None)


def _ran(database: Database, slug: str, before: int, limit: int) -> list[LedgerEntry]:
    entries: list[LedgerEntry] = []
    while len(entries) < limit:
        found = _attempts(database, slug, before, limit)
        for row in found:
            if not entries or entries[-1].last_due != row[1]:
                entries.append(_entry(database, row))
        if len(found) < limit:
            break
        before = found[-1][1]  # attempts of that due time that were cut off add nothing
    return entries


def _attempts(database: Database, slug: str, before: int, limit: int) -> list[Any]:
    return read(database, lambda db: rows(db, _RAN, slug, before, limit))


def _entry(database: Database, row: Any) -> LedgerEntry:
    instance, due, attempt, state = row
    return LedgerEntry("ran", due, due, 1, instance=database.dialect.uuid(instance), state=state, attempt=attempt)


def _omitted(database: Database, slug: str, before: int, limit: int) -> list[LedgerEntry]:
    return [
        LedgerEntry(fate, first, last, count, reason, blocked_by=database.dialect.uuid(blocker))
        for fate, reason, first, last, count, blocker in read(
            database, lambda db: rows(db, _OMITTED, slug, before, limit)
        )
    ]
