"""Schedules that come after another one: each end of a run of that one is a due time of theirs."""

from collections.abc import Mapping
from types import MappingProxyType

from pony import orm

from callsheet.errors import FieldError, Invalid
from callsheet.firing import decide_at_once, jitter_of
from callsheet.timetable import ENDS, After, trigger_of
from storage.journal.facts import ScheduleChanged
from storage.journal.firings import DUE_COLUMNS, Due, carry_out, move, obstacle_of, planned_of, stand_of
from storage.journal.work import Over, Work

MOST_LINKS = 100  # of schedules, each after the one before it

_OF = f"SELECT {DUE_COLUMNS} FROM schedule s WHERE s.follows = ? AND s.state IN ('active', 'blocked') ORDER BY s.id"
_FOLLOWED = "SELECT follows, state FROM schedule WHERE id = ?"


def fire_followers(work: Work, over: list[Over]) -> None:
    """Make due what comes after the runs that are over now."""
    for one in over:
        if one.schedule is None or one.outcome is None:
            continue
        work.flush()  # what the end before this one has started is in the way of the next
        for row in work.all(_OF, one.schedule):
            _follow(work, Due(*row), one)


def _follow(work: Work, due: Due, over: Over) -> None:
    """Fire one follower."""
    trigger = trigger_of(due.plan)
    if not isinstance(trigger, After) or over.outcome not in ENDS[trigger.on] or due.state_reason == "upstream_deleted":
        return
    due_at = max(work.now, (due.last_due or 0) + 1)  # two ends in one transaction are two due times
    if not _within_bounds(due, due_at):
        return
    obstacle = obstacle_of(work, due.task, due.input)
    planned = planned_of(work, due, due_at, obstacle)
    decision = decide_at_once(planned)
    delay = jitter_of(due.id, due_at, due.jitter)
    start_after = work.now + delay if delay or work.draining else None  # the due time may be ahead of a clock set back
    carry_out(work, due, decision, "after", retry_of=over.instance, start_after=start_after)
    move(work, [(due, stand_of(work, due, decision, obstacle))])


def _within_bounds(due: Due, instant: int) -> bool:
    early = due.starts_at is not None and instant < due.starts_at
    return not early and (due.ends_at is None or instant <= due.ends_at)


def check_chain(
    work: Work, slug: str, trigger: object, beside: Mapping[str, str | None] = MappingProxyType({})
) -> None:
    """Refuse a schedule that comes after one that does not exist, or in the end after itself.

    `beside` tells of those that are created together with it after which schedule each of them comes.
    """
    if not isinstance(trigger, After):
        return
    chain, name = [slug], trigger.schedule
    while name not in chain and len(chain) < MOST_LINKS:
        row = (beside[name], "new") if name in beside else work.one(_FOLLOWED, name)
        if row is None or row[1] == "deleted":
            if len(chain) == 1:
                raise Invalid(FieldError("/trigger/after", f"there is no schedule {name!r}"))
            return
        chain.append(name)
        if row[0] is None:
            return
        name = row[0]
    ring = " after ".join([*chain, name])
    raise Invalid(FieldError("/trigger/after", f"would go round in a circle, or on for too long: {ring}"))


def lacks_upstream(work: Work, trigger: object) -> bool:
    """Tell whether a trigger comes after a schedule that is deleted."""
    if not isinstance(trigger, After):
        return False
    orm.flush()
    row = work.one(_FOLLOWED, trigger.schedule)
    return row is not None and row[1] == "deleted"


def upstream_deleted(work: Work, slug: str) -> None:
    """Block what comes after a schedule that is deleted."""
    _turn(work, slug, "active", "blocked", "upstream_deleted")


def upstream_created(work: Work, slug: str) -> None:
    """Free what comes after a schedule that is there again."""
    _turn(work, slug, "blocked", "active", None)


def _turn(work: Work, slug: str, old: str, new: str, reason: str | None) -> None:
    found = work.entities.Schedule.select(lambda row: row.follows == slug and row.state == old)
    for row in list(found):
        if old == "active" or row.state_reason == "upstream_deleted":
            row.set(state=new, state_reason=reason)
            work.facts.append(ScheduleChanged(row.id, "unblocked" if new == "active" else new, row.version, reason))
