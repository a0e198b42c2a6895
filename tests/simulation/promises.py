"""What must hold after a simulated month, read from the database and from what the bodies saw."""

from collections import Counter as Count
from collections import defaultdict
from itertools import pairwise
from typing import Any
from uuid import UUID

import msgspec
from world import MOST_WORK, Body, World

from callsheet.timetable import ENDS, count_due
from storage.database import Database
from storage.queries.instances import Filter, list_instances, list_outputs
from storage.queries.invariants import check_all
from storage.queries.ledger import ledger
from storage.queries.reading import as_uuid, one, read, rows
from storage.records import InstanceRecord, LedgerEntry

_ALL = 1_000_000  # more rows than a month has


def unfinished(database: Database) -> bool:
    """Tell whether anything runs or waits."""
    sql = "SELECT 1 FROM instance WHERE state IN ('queued', 'running') LIMIT 1"
    return read(database, lambda db: one(db, sql)) is not None


def last_due_of(database: Database, slug: str) -> int | None:
    """Return the latest due time that a ledger holds, of a deleted schedule too."""
    row = read(database, lambda db: one(db, "SELECT last_due FROM schedule WHERE id = ?", slug))
    return None if row is None else row[0]


def latest_instance(database: Database, slug: str) -> UUID | None:
    """Return the newest instance of a schedule."""
    page = list_instances(database, Filter(schedule=slug), 1, None)
    return page.items[0].id if page.items else None


def check(world: World, database: Database, most_running: int) -> None:
    """Check everything; AssertionError says what does not hold."""
    runs = list_instances(database, Filter(), _ALL, None).items
    by_id = {run.id: run for run in runs}
    for slug in world.slugs:
        world.courses[slug][-1].last = last_due_of(database, slug)
        check_ledger(world, slug, ledger(database, slug, _ALL, None).items[::-1])
        check_instances(slug, [run for run in runs if run.schedule == slug])
    check_ends(world, database, by_id)
    check_overlap(world, by_id)
    check_crowds(world, most_running)
    check_states(world, database, runs)
    check_followers(by_id)
    assert check_all(database) == []


def check_ledger(world: World, slug: str, entries: list[LedgerEntry]) -> None:
    """Each due time is accounted for once, and none is left out."""
    for entry, following in pairwise(entries):
        assert entry.first_due <= entry.last_due < following.first_due, (slug, entry, following)
    assert all(entry.count >= 1 for entry in entries), slug
    extras = world.extras.get(slug, ())
    if slug in world.uncounted or (extras and slug in world.limited):
        return  # what was backfilled behind the last run that is allowed was never planned
    expected = len(extras)
    for course in world.courses[slug]:
        if course.first is not None and course.last is not None:
            expected += count_due(course.plan, course.first - 1, course.last)
    assert sum(entry.count for entry in entries) == expected, (slug, expected, entries, world.courses[slug])


def check_instances(slug: str, runs: list[InstanceRecord]) -> None:
    """No due time was claimed twice."""
    dues = [(run.due_at, run.attempt) for run in runs if run.due_at is not None]
    assert len(dues) == len(set(dues)), slug


def check_ends(world: World, database: Database, by_id: dict[UUID, InstanceRecord]) -> None:
    """Whatever began has one outcome, told once, and no body was performed twice."""
    assert all(run.outcome is not None for run in by_id.values())
    assert all(run.waits_for is None and run.start_after is None for run in by_id.values())
    sql = "SELECT instance FROM event WHERE type = 'instance.ended'"
    ends = Count(as_uuid(database, row[0]) for row in read(database, lambda db: rows(db, sql)))
    assert ends == Count(list(by_id))
    bodies = Count(body.instance for body in world.bodies)
    assert set(bodies.values()) <= {1}
    began = [run for run in by_id.values() if run.outcome in ("succeeded", "failed", "timed_out")]
    assert all(run.id in bodies for run in began if run.task != "odd")  # that one may fail for its input


def check_overlap(world: World, by_id: dict[UUID, InstanceRecord]) -> None:
    """No run began before the one before it of its schedule had ended, retries included, unless that is allowed."""
    by_schedule: dict[str, list[Body]] = defaultdict(list)
    for body in world.bodies:
        slug = by_id[body.instance].schedule
        if slug is not None and world.overlap(slug) != "allow":
            by_schedule[slug].append(body)
    for slug, bodies in by_schedule.items():
        bodies.sort(key=lambda body: body.began)
        for body, following in pairwise(bodies):
            assert body.ended is not None, slug
            assert body.ended <= following.began, (slug, by_id[body.instance], by_id[following.instance])


def check_crowds(world: World, most_running: int) -> None:
    """Never were there more runs at once than a task, and than all tasks together, may have."""
    assert _most_at_once([body for body in world.bodies if body.task == "work"]) <= MOST_WORK
    assert _most_at_once(world.bodies) <= most_running


def _most_at_once(bodies: list[Body]) -> int:
    moments = sorted([(body.began, 1) for body in bodies] + [(body.ended or 0.0, -1) for body in bodies])
    going = most = 0
    for _, change in moments:
        going += change
        most = max(most, going)
    return most


def check_states(world: World, database: Database, runs: list[InstanceRecord]) -> None:
    """A counter counts the runs that succeeded, no more and no less."""
    turn = {body.instance: number for number, body in enumerate(world.bodies)}
    by_schedule: dict[str | None, list[Any]] = defaultdict(list)
    for run in runs:
        if run.task == "tally" and run.outcome == "succeeded" and run.schedule not in world.deleted:
            by_schedule[run.schedule].append(run.id)
    for slug, ids in by_schedule.items():
        ids.sort(key=lambda one: turn[one])
        values = [msgspec.json.decode(list_outputs(database, one, 9, None).items[-1].value) for one in ids]
        assert values == list(range(1, len(ids) + 1)), slug


def check_followers(by_id: dict[UUID, InstanceRecord]) -> None:
    """What came after a run came once, and that run had ended."""
    after = [run for run in by_id.values() if run.cause == "after"]
    pairs = [(run.schedule, run.retry_of) for run in after]
    assert len(pairs) == len(set(pairs))
    assert all(by_id[run.retry_of].outcome in ENDS["any"] for run in after if run.retry_of is not None)
