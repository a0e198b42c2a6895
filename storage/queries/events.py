"""The event table as a log that is read forward: what came after an id, and how far it reaches."""

from typing import Any
from uuid import UUID

from attrs import frozen

from callsheet.errors import CallsheetError
from storage.database import Database
from storage.queries.reading import as_uuid, one, read, rows
from storage.records import EventRecord

WINDOW = 20_000  # ids that one reading looks through: a filter that nothing passes must not scan a long history

_HIGHEST = {
    "sqlite": "SELECT seq FROM sqlite_sequence WHERE name = 'event'",
    "postgres": "SELECT pg_sequence_last_value(pg_get_serial_sequence('event', 'id')::regclass)",
}


class EventsGone(CallsheetError):
    """The events after an id cannot be told without a gap any more."""

    status = 410
    kind = "events-gone"
    title = "Those events are not kept any more"


@frozen
class Wanted:
    """Which events to tell; `types` holds names, and families like `instance.*`. Nothing set: all."""

    types: tuple[str, ...] = ()
    schedule: str | None = None
    instance: UUID | None = None

    @property
    def everything(self) -> bool:
        """Tell whether nothing is left out."""
        return not self.types and self.schedule is None and self.instance is None

    def takes(self, event: EventRecord) -> bool:
        """Tell whether an event is wanted."""
        return (
            (not self.types or any(in_family(event.type, one) for one in self.types))
            and (self.schedule is None or self.schedule == event.schedule)
            and (self.instance is None or self.instance == event.instance)
        )


def in_family(kind: str, name: str) -> bool:
    """Tell whether a type is the one named, or of the family named: `instance.*`."""
    return kind == name or (name.endswith(".*") and kind.startswith(name[:-1]))


@frozen
class Extent:
    """How far the table reaches: its first and last ids (None: it is empty), and the highest id ever given."""

    first: int | None
    last: int | None
    highest: int

    def check(self, after: int) -> None:
        """Raise EventsGone unless all that came after an id is still here; 0 asks for whatever is kept.

        Ids may have gaps where a transaction was rolled back, so an id just below the first may be refused though
        nothing is missing; the other way round it never errs.
        """
        if after > self.highest:
            raise EventsGone(f"No event has had an id as high as {after}: was the database restored from a backup?")
        if 0 < after < (self.highest if self.first is None else self.first - 1):
            kept = "none is kept" if self.first is None else f"the oldest that is kept is {self.first}"
            raise EventsGone(f"Events after {after} have been removed by age; {kept}. after=0 begins there.")


@frozen
class EventPage:
    """Events in order; `upto` is the id that was looked through, `more` tells whether there is more behind it."""

    items: list[EventRecord]
    upto: int
    more: bool


def extent(database: Database) -> Extent:
    """Return how far the event table reaches."""
    return read(database, _extent)


def last_event(database: Database) -> int:
    """Return the id that new events come after."""
    return read(database, lambda db: one(db, "SELECT max(id) FROM event")[0] or 0)


def read_events(database: Database, wanted: Wanted, after: int, limit: int, *, checked: bool = False) -> EventPage:
    """Return the wanted events after an id, oldest first; with `checked`, EventsGone if some are missing.

    A page may hold fewer than `limit`, even none, and yet not be the last.
    """
    return read(database, lambda db: _read(db, wanted, after, limit, checked))


def _extent(database: Database) -> Extent:
    highest = f"coalesce(({_HIGHEST[database.dialect.name]}), 0)"
    sql = f"SELECT (SELECT min(id) FROM event), (SELECT max(id) FROM event), {highest}"
    first, last, given = one(database, sql)
    return Extent(first, last, max(given, last or 0))


def _read(database: Database, wanted: Wanted, after: int, limit: int, checked: bool) -> EventPage:
    reach = _extent(database)
    page = _look_through(database, wanted, after, limit, reach)
    if checked:  # after the look: what was removed meanwhile is missing in the page
        _extent(database).check(after)
    return page


def _look_through(database: Database, wanted: Wanted, after: int, limit: int, reach: Extent) -> EventPage:
    if reach.first is None or reach.last is None or after >= reach.last:
        return EventPage([], after, False)
    top = min(max(after, reach.first - 1) + WINDOW, reach.last)
    terms, values = _terms(wanted)
    where = " AND ".join(["id > ?", "id <= ?", *terms])
    sql = f"SELECT id, at, type, schedule, instance, data FROM event WHERE {where} ORDER BY id LIMIT ?"
    found = [_record(database, row) for row in rows(database, sql, after, top, *values, limit)]
    upto = found[-1].id if len(found) == limit else top
    return EventPage(found, upto, upto < reach.last)


def _terms(wanted: Wanted) -> tuple[list[str], list[Any]]:
    terms: list[str] = []
    values: list[Any] = []
    if wanted.types:
        likes = [f"{one[:-1]}%" for one in wanted.types if one.endswith(".*")]
        names = [one for one in wanted.types if not one.endswith(".*")]
        parts = [f"type IN ({', '.join('?' * len(names))})"] if names else []
        terms.append("(" + " OR ".join(parts + ["type LIKE ?"] * len(likes)) + ")")
        values += [*names, *likes]
    for name, value in (("schedule", wanted.schedule), ("instance", wanted.instance)):
        if value is not None:
            terms.append(f"{name} = ?")
            values.append(value)
    return terms, values


def _record(database: Database, row: Any) -> EventRecord:
    number, at, kind, schedule, instance, data = row
    return EventRecord(number, at, kind, schedule, None if instance is None else as_uuid(database, instance), data)
