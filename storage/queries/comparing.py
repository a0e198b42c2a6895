"""A schedule as it stands against what it would become: which due times appear and vanish."""

from callsheet.changes import Course, Difference, difference
from callsheet.definition import Definition
from callsheet.firing import plan_on
from storage.records import ScheduleRecord


def compare(before: ScheduleRecord | None, definition: Definition, now: int, until: int) -> Difference:
    """Return what a new definition does to the due times after `now`, by the rules that a real change goes by."""
    course = _course_now(before, now)
    same = before is not None and definition == before.definition  # such a change does nothing, not even plan again
    return difference(course, course if same else course_then(before, definition, now), until)


def _course_now(before: ScheduleRecord | None, now: int) -> Course | None:
    if before is None or before.next_due is None or before.state == "paused":
        return None
    return Course(before.definition.plan, max(now, before.next_due - 1), before.runs_left, before.skips)


def course_then(before: ScheduleRecord | None, definition: Definition, now: int) -> Course | None:
    """Return the due times that the schedule would have; None while it is paused, or when it is over."""
    if before is not None and before.state == "paused":
        return None
    run_count = int(definition.run_on_create) if before is None else before.run_count
    left = None if definition.max_runs is None else max(0, definition.max_runs - run_count)
    after = now if before is None else max(now, before.last_due or 0)
    if plan_on("", definition.plan, after, 0, left).state == "finished":
        return None
    return Course(definition.plan, after, left, () if before is None else before.skips)
