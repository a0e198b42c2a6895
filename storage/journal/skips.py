"""Single due times that somebody asked to skip: the schedule keeps them until they have come."""

from typing import Any

import msgspec

from callsheet.errors import FieldError, Invalid, Refused
from callsheet.instants import format_instant
from callsheet.timetable import count_due, upcoming
from storage.journal.commands import SkipDue, UnskipDue
from storage.journal.schedules import check_version, standing_row, touched
from storage.journal.work import Work
from storage.queries.schedules import definition_of, read_skips, record_of
from storage.records import ScheduleRecord

MOST_SKIPS = 100  # of one schedule at a time


def skip_due(work: Work, command: SkipDue) -> ScheduleRecord:
    """Leave out the next `count` due times, or the one at `at`; to ask twice changes nothing more."""
    row = standing_row(work, command.id)
    check_version(row, command.if_match)
    if row.next_due is None:
        raise Refused(f"The schedule {row.id!r} plans no due time that could be skipped: it is {row.state}.")
    asked = _next_ones(row, command.count or 1) if command.at is None else [_due_time(row, command.at)]
    return _keep(work, row, {*read_skips(row.skips), *asked})


def unskip_due(work: Work, command: UnskipDue) -> ScheduleRecord:
    """Let the due time at `at` run after all, or every one that was to be skipped."""
    row = standing_row(work, command.id)
    check_version(row, command.if_match)
    kept = read_skips(row.skips)
    if command.at is not None and command.at not in kept:
        raise Invalid(FieldError("/at", f"{format_instant(command.at)} was not to be skipped"))
    return _keep(work, row, set() if command.at is None else {*kept} - {command.at})


def _next_ones(row: Any, count: int) -> list[int]:
    return upcoming(definition_of(row).plan, row.next_due - 1, count)


def _due_time(row: Any, at: int) -> int:
    plan = definition_of(row).plan
    if at < row.next_due or not count_due(plan, at - 1, at):
        following = upcoming(plan, max(at, row.next_due) - 1, 1)
        hint = f"; the next one is {format_instant(following[0])}" if following else ""
        raise Invalid(FieldError("/at", f"is no due time of this schedule that is still to come{hint}"))
    return at


def _keep(work: Work, row: Any, skips: set[int]) -> ScheduleRecord:
    ahead = sorted(one for one in skips if one > (row.last_due or 0))
    if len(ahead) > MOST_SKIPS:
        raise Invalid(FieldError("", f"would skip {len(ahead)} due times: {MOST_SKIPS} at most; a pause has no limit"))
    text = msgspec.json.encode(ahead).decode()
    if text == row.skips:
        return record_of(row)
    row.skips = text
    return touched(work, row, "skips")
