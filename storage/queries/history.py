"""What of the history may go: walks that look at a bounded part at a time and give it as Prune commands.

Each walk begins where the page before it ended. What must stay, stays whatever its age: a run that is not over with all
its attempts, and of a schedule that stands its latest run and its latest omission. The next omission may lengthen that
row, unless a run came after it, so both have to be known (storage/journal/claims.py).
"""

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar
from uuid import UUID

from attrs import define, field, frozen

from callsheet.ids import lowest_id
from callsheet.lifecycle import OUTCOMES
from callsheet.retention import Keep
from storage.database import Database
from storage.journal.commands import Prune
from storage.queries.reading import as_uuid, one, read, rows

K = TypeVar("K")

PAGE = 500  # rows of a table that one step looks at
EVENTS = 1000  # short rows
HEAVY = 400  # rows that one Prune deletes, all tables together; a single instance may have more
_FIRST_ID, _LAST_ID = UUID(int=0), UUID(int=(1 << 128) - 1)
_NEVER = -1

# Scalar subqueries throughout: PostgreSQL would turn EXISTS into joins over whole tables.
# of an instance `i`: it is over, no attempt of its run is still to end, and it is not the latest run of its schedule
MAY_GO = (
    "i.state NOT IN ('queued', 'running') AND (SELECT 1 FROM instance r WHERE r.retry_of = "
    "CASE WHEN i.cause = 'retry' THEN i.retry_of ELSE i.id END AND r.state IN ('queued', 'running') LIMIT 1) IS NULL "
    "AND (i.due_at IS NULL OR (SELECT s.state FROM schedule s WHERE s.id = i.schedule) = 'deleted' OR i.due_at < "
    "(SELECT max(n.due_at) FROM instance n WHERE n.schedule = i.schedule AND n.due_at IS NOT NULL))"
)
# of an omission `o`: something came after it in the ledger
OMISSION_MAY_GO = (
    "((SELECT s.state FROM schedule s WHERE s.id = o.schedule) = 'deleted' "
    "OR (SELECT 1 FROM omission n WHERE n.schedule = o.schedule AND n.last_due > o.last_due LIMIT 1) = 1 "
    "OR (SELECT 1 FROM instance n WHERE n.schedule = o.schedule AND n.due_at > o.last_due LIMIT 1) = 1)"
)
# of a schedule `s`: it is deleted, without any history, and nothing follows it
IS_BARE = (
    "s.state = 'deleted' AND (SELECT 1 FROM instance i WHERE i.schedule = s.id LIMIT 1) IS NULL "
    "AND (SELECT 1 FROM omission o WHERE o.schedule = s.id LIMIT 1) IS NULL "
    "AND (SELECT 1 FROM schedule f WHERE f.follows = s.id LIMIT 1) IS NULL"
)
# of a key `t`: it was revoked, and the audit holds nothing any more of the time when it was good
KEY_MAY_GO = (
    "t.revoked_at IS NOT NULL AND coalesce((SELECT a.at FROM audit a ORDER BY a.id LIMIT 1) > t.revoked_at, 1 = 1)"
)
_WEIGHED = (
    "SELECT i.id, coalesce((SELECT max(o.seq) FROM output o WHERE o.instance = i.id), -1), "
    "coalesce((SELECT max(l.seq) FROM log l WHERE l.instance = i.id), -1) "
    "FROM instance i WHERE i.id IN ({marks}) AND " + MAY_GO
)
_BY_BIRTH = (
    "SELECT i.id, i.state, i.finished_at, (SELECT s.keep_for FROM schedule s WHERE s.id = i.schedule) "
    "FROM instance i WHERE i.id > ? AND i.id < ? ORDER BY i.id LIMIT ?"
)
_BY_NUMBER = (
    "SELECT o.id, o.first_due, o.last_due, (SELECT s.keep_for FROM schedule s WHERE s.id = o.schedule), "
    f"CASE WHEN {OMISSION_MAY_GO} THEN 1 END FROM omission o WHERE o.id > ? ORDER BY o.id LIMIT ?"
)
_SCHEDULES = (
    "SELECT id, state, keep_for, keep_last, updated_at, last_due FROM schedule WHERE id > ? ORDER BY id LIMIT ?"
)
LOOKED_AT = "SELECT min(position) FROM webhook WHERE state = 'active'"  # up to there all of them have seen the events
_MORE_THAN = "SELECT 1 FROM instance WHERE schedule = ? LIMIT 1 OFFSET ?"
_NEWEST = (
    "SELECT * FROM (SELECT id, coalesce(due_at, queued_at) FROM instance "
    "WHERE schedule = ? AND state = ? AND attempt = 1 ORDER BY id DESC LIMIT ?) b"
)
_OLDEST = (
    "SELECT * FROM (SELECT id FROM instance "
    "WHERE schedule = ? AND state = ? AND id < ? AND (id < ? OR finished_at <= ?) ORDER BY id LIMIT ?) b"
)
_OMITTED = (
    "SELECT o.id FROM omission o WHERE o.schedule = ? AND o.last_due < ? "
    f"AND {OMISSION_MAY_GO} ORDER BY o.last_due LIMIT ?"
)


@frozen
class Found(Generic[K]):
    """What may go of one page, and after what the next page begins; None: this was the last."""

    prunes: tuple[Prune, ...]
    next: K | None


Walk = Callable[[Database, Keep, int, Any], Found[Any]]


def old_instances(database: Database, keep: Keep, now: int, after: UUID | None) -> Found[UUID]:
    """Walk the instances by birth, for what ended longer ago than its schedule, or else the service, keeps it."""
    if keep.age is None:
        return Found((), None)
    born_before = _past(now - keep.age)

    def query(db: Database) -> Found[UUID]:
        page = rows(db, _BY_BIRTH, after or _FIRST_ID, born_before, PAGE)
        old = [row[0] for row in page if row[1] in OUTCOMES and _is_old(keep, now, row[2], row[3])]
        return Found(_packed(_weighed(db, old)), as_uuid(db, page[-1][0]) if len(page) == PAGE else None)

    return read(database, query)


def old_omissions(database: Database, keep: Keep, now: int, after: int | None) -> Found[int]:
    """Walk the omissions in the order in which they began, as far as some can be old, though others still grow."""
    age = keep.age
    if age is None:
        return Found((), None)

    def query(db: Database) -> Found[int]:
        page = rows(db, _BY_NUMBER, after or 0, PAGE)
        old = [row[0] for row in page if row[4] and _is_old(keep, now, row[2], row[3])]
        ends = len(page) < PAGE or page[-1][1] > now - age
        return Found((Prune(omissions=tuple(old)),) if old else (), None if ends else page[-1][0])

    return read(database, query)


def _is_old(keep: Keep, now: int, since: int, keep_for: int | None) -> bool:
    age = keep.of(keep_for, None).age
    return age is not None and since <= now - age


@frozen
class _Schedule:
    """A row of _SCHEDULES."""

    id: str
    state: str
    keep_for: int | None
    keep_last: int | None
    updated_at: int
    last_due: int | None


@define
class _Excess:
    """What schedules have too much of."""

    instances: list[tuple[UUID, int]] = field(factory=list)
    omissions: list[int] = field(factory=list)
    schedules: list[str] = field(factory=list)

    @property
    def many(self) -> bool:
        """Tell whether this is enough for one step."""
        return len(self.instances) >= PAGE or len(self.omissions) >= PAGE

    def prunes(self) -> tuple[Prune, ...]:
        """Return the commands that delete all this."""
        rest = Prune(omissions=tuple(self.omissions), schedules=tuple(self.schedules))
        return _packed(self.instances) + ((rest,) if rest.weight else ())


def of_schedules(database: Database, keep: Keep, now: int, after: str | None) -> Found[str]:
    """Walk the schedules by id: for what they say themselves, for too many runs, and for ids without any history."""

    def query(db: Database) -> Found[str]:
        excess, done = _Excess(), after or ""
        page = [_Schedule(*row) for row in rows(db, _SCHEDULES, done, PAGE)]
        for schedule in page:
            _look_at(db, schedule, keep, now, excess)
            if excess.many:
                return Found(excess.prunes(), done)  # there may be more of this one
            done = schedule.id
        return Found(excess.prunes(), done if len(page) == PAGE else None)

    return read(database, query)


def _look_at(db: Database, schedule: _Schedule, keep: Keep, now: int, excess: _Excess) -> None:
    own = keep.of(schedule.keep_for, schedule.keep_last)
    ended_by = _NEVER if own.age is None or schedule.keep_for is None else now - own.age
    before, first_due = (_FIRST_ID, _NEVER) if own.last is None else _oldest_kept(db, schedule.id, own.last)
    if before > _FIRST_ID or ended_by > _NEVER:
        excess.instances += _weighed(db, _runs(db, schedule.id, before, ended_by))
        omitted = rows(db, _OMITTED, schedule.id, max(first_due, ended_by), PAGE)
        excess.omissions += [row[0] for row in omitted]
    if schedule.state == "deleted" and own.age is not None and _left_before(schedule, now - own.age):
        excess.schedules += [row[0] for row in rows(db, f"SELECT s.id FROM schedule s WHERE s.id = ? AND {IS_BARE}",
                                                    schedule.id)]  # fmt: skip


def _oldest_kept(db: Database, schedule: str, last: int) -> tuple[UUID, int]:
    """Return the oldest of the `last` newest ended runs, and when it was due (a run by hand: when it came)."""
    if one(db, _MORE_THAN, schedule, last) is None:
        return _FIRST_ID, _NEVER
    sql = " UNION ALL ".join([_NEWEST] * len(OUTCOMES)) + " ORDER BY 1 DESC LIMIT 1 OFFSET ?"
    values = [value for state in OUTCOMES for value in (schedule, state, last)]
    oldest = one(db, sql, *values, last - 1)
    return (_FIRST_ID, _NEVER) if oldest is None else (as_uuid(db, oldest[0]), oldest[1])


def _runs(db: Database, schedule: str, before: UUID, ended_by: int) -> list[Any]:
    """Return the oldest runs that ended and were born before one, or ended by an instant."""
    born_before = max(before, _past(ended_by))
    sql = " UNION ALL ".join([_OLDEST] * len(OUTCOMES))
    values = [value for state in OUTCOMES for value in (schedule, state, born_before, before, ended_by, PAGE)]
    return [row[0] for row in rows(db, sql, *values)]


def _past(instant: int) -> UUID:
    """Return an id above all that were born by an instant, which they know to the millisecond."""
    return lowest_id(instant + 1000)


def _left_before(schedule: _Schedule, instant: int) -> bool:
    """Tell whether a deleted schedule is so old that its due times cannot come again, were its id taken anew."""
    return max(schedule.updated_at, schedule.last_due or 0) <= instant


def old_events(database: Database, keep: Keep, now: int, after: int | None) -> Found[int]:
    """Look at the oldest events; what came before an old one is old, whatever the clock said then.

    They go in the order of their ids, so that what is left has no hole, and none before all webhooks have seen it.
    """
    if keep.events is None:
        return Found((), None)
    oldest = now - keep.events
    sql = "SELECT id, at FROM event WHERE id > ? ORDER BY id LIMIT ?"
    page, looked_at = read(database, lambda db: (rows(db, sql, after or 0, EVENTS), one(db, LOOKED_AT)[0]))
    old = [row[0] for row in page if row[1] <= oldest and (looked_at is None or row[0] <= looked_at)]
    if not old:
        return Found((), None)
    return Found((Prune(events=(page[0][0], old[-1])),), old[-1] if len(page) == EVENTS else None)


def old_nodes(database: Database, keep: Keep, now: int, _: int | None) -> Found[int]:
    """Look for boots that are long over."""
    if keep.age is None:
        return Found((), None)
    before = now - keep.age
    sql = "SELECT boot FROM node WHERE started_at < ? AND stopped_at < ? ORDER BY started_at LIMIT ?"
    found = read(database, lambda db: [as_uuid(db, row[0]) for row in rows(db, sql, before, before, PAGE)])
    return Found((Prune(nodes=tuple(found)),) if found else (), None)


def old_audit(database: Database, keep: Keep, now: int, after: UUID | None) -> Found[UUID]:
    """Look at the oldest entries of the audit, which are kept for as long as instances are."""
    if keep.age is None:
        return Found((), None)
    values = after or _FIRST_ID, lowest_id(now - keep.age), HEAVY
    sql = "SELECT id FROM audit WHERE id > ? AND id < ? ORDER BY id LIMIT ?"
    found = read(database, lambda db: [as_uuid(db, row[0]) for row in rows(db, sql, *values)])
    return Found((Prune(audit=tuple(found)),) if found else (), found[-1] if len(found) == HEAVY else None)


def old_tokens(database: Database, keep: Keep, now: int, after: UUID | None) -> Found[UUID]:
    """Walk the keys by birth, for what was revoked long ago: an entry of the audit can always be told to its key.

    One that has merely expired stays, for it is what keeps the door shut (web/keyring.py).
    """
    if keep.age is None:
        return Found((), None)
    revoked_by = now - keep.age
    sql = (
        f"SELECT t.id, t.revoked_at, CASE WHEN {KEY_MAY_GO} THEN 1 END FROM token t "
        "WHERE t.id > ? AND t.id < ? ORDER BY t.id LIMIT ?"
    )
    page = read(database, lambda db: rows(db, sql, after or _FIRST_ID, _past(revoked_by), HEAVY))
    old = tuple(as_uuid(database, row[0]) for row in page if row[2] and row[1] <= revoked_by)
    return Found((Prune(tokens=old),) if old else (), as_uuid(database, page[-1][0]) if len(page) == HEAVY else None)


WALKS: tuple[Walk, ...] = (old_instances, of_schedules, old_omissions, old_events, old_nodes, old_audit, old_tokens)


def _weighed(db: Database, instances: list[Any]) -> list[tuple[UUID, int]]:
    """Return those of the instances that may go, each with the number of rows that go with it."""
    found: list[tuple[UUID, int]] = []
    for part in _parts(instances, PAGE):
        sql = _WEIGHED.format(marks=", ".join("?" * len(part)))
        found += [(as_uuid(db, row[0]), 3 + row[1] + row[2]) for row in rows(db, sql, *part)]
    return found


def _parts(whole: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(whole), size):
        yield whole[start : start + size]


def _packed(instances: list[tuple[UUID, int]]) -> tuple[Prune, ...]:
    """Return commands of at most HEAVY rows, but of one instance at least."""
    packs: list[list[UUID]] = []
    room = 0
    for instance, weight in instances:
        if weight > room:
            packs.append([])
            room = HEAVY
        packs[-1].append(instance)
        room -= weight
    return tuple(Prune(instances=tuple(pack)) for pack in packs)
