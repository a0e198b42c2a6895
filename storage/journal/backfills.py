"""Backfill: running due times of the past that never ran, whatever the reason; the next due time does not move.

What had an omission loses it: the ledger holds each due time once, and now it ran.
"""

from typing import Any
from uuid import UUID

from attrs import frozen

from callsheet.errors import FieldError, Invalid, Refused, Unavailable, Unknown
from callsheet.firing import Omitted, between
from callsheet.timetable import After, Plan, count_due, trigger_of, upcoming
from storage.journal.commands import BackfillSchedule
from storage.journal.facts import ScheduleChanged
from storage.journal.firings import DUE_COLUMNS, Due, obstacle_of
from storage.journal.ledger import insert_omission
from storage.journal.starts import start_one
from storage.journal.work import Work

MOST = 1000  # due times at once

_SCHEDULE = f"SELECT {DUE_COLUMNS} FROM schedule s WHERE s.id = ? AND s.state <> 'deleted'"
_RAN = "SELECT DISTINCT due_at FROM instance WHERE schedule = ? AND due_at >= ? AND due_at <= ?"
_OMITTED = (
    "SELECT id, fate, reason, first_due, last_due, count, blocked_by FROM omission "
    "WHERE schedule = ? AND last_due >= ? AND first_due <= ?"
)
_HOLDS = "UPDATE schedule SET last_due = ? WHERE id = ? AND (last_due IS NULL OR last_due < ?)"


@frozen
class Filled:
    """One due time of a backfill: what it was before, and its instance, or why it was left out."""

    due_at: int
    before: str | None = None  # the fate of the omission that it had
    left_out: str | None = None
    instance: UUID | None = None


def backfill_schedule(work: Work, command: BackfillSchedule) -> list[Filled]:
    """Run what never ran of the due times from `start` to `end`; with `dry_run`, only tell what would be done."""
    work.flush()
    row = work.one(_SCHEDULE, command.id)
    if row is None:
        raise Unknown("schedule", command.id)
    due = Due(*row)
    plan = due.plan
    wanted = _wanted(work, due, plan, command)
    omissions = work.all(_OMITTED, due.id, wanted[0], wanted[-1]) if wanted else []
    filled = _looked_up(work, due, plan, wanted, omissions)
    todo = [one for one in filled if one.left_out is None]
    if command.dry_run or not todo:
        return filled
    in_turn = (command.overlap or due.overlap) != "allow"
    _check_runnable(work, due, in_turn)
    _uncover(work, due, plan, {one.due_at for one in todo}, omissions)
    return _started(work, due, filled, in_turn)


def _check_runnable(work: Work, due: Due, in_turn: bool) -> None:
    """Refuse what could not be started, before anything is written: what is refused has changed nothing."""
    if work.draining and not in_turn:
        raise Unavailable("The service is stopping.")
    obstacle = obstacle_of(work, due.task, due.input)
    if obstacle is not None:
        raise Refused(f"The schedule {due.id!r} cannot run: {obstacle.reason}.")


def _wanted(work: Work, due: Due, plan: Plan, command: BackfillSchedule) -> list[int]:
    """Return the due times in question: none that the ordinary course is going to claim."""
    if isinstance(trigger_of(plan), After):
        raise Refused(f"The schedule {due.id!r} has no due times of its own: it comes after another one.")
    if command.end < command.start:
        raise Invalid(FieldError("/to", "must not be before from"))
    if command.end > work.now:
        raise Invalid(FieldError("/to", "must have passed: only the past can be backfilled"))
    until = command.end if due.next_due is None else min(command.end, due.next_due - 1)
    wanted = upcoming(plan, command.start - 1, MOST + 1, until)
    if len(wanted) > MOST:
        raise Invalid(FieldError("/to", f"the range has more than {MOST:,} due times: choose a shorter one"))
    return wanted


def _looked_up(work: Work, due: Due, plan: Plan, wanted: list[int], omissions: list[Any]) -> list[Filled]:
    ran = {row[0] for row in work.all(_RAN, due.id, wanted[0], wanted[-1])} if wanted else set()
    filled = []
    for instant in wanted:
        row = next((row for row in omissions if row[3] <= instant <= row[4]), None)
        if instant in ran:
            filled.append(Filled(instant, left_out="ran"))
        elif row is not None and not _is_exact(plan, row):
            filled.append(Filled(instant, row[1], left_out="trigger_changed"))
        else:
            filled.append(Filled(instant, None if row is None else row[1]))
    return filled


def _is_exact(plan: Plan, row: Any) -> bool:
    """Tell whether an omission covers just what the plan names now: under another trigger it cannot be taken apart."""
    first, last, count = row[3:6]
    ends = count_due(plan, first - 1, first) and count_due(plan, last - 1, last)
    return bool(ends) and count_due(plan, first - 1, last) == count


def _uncover(work: Work, due: Due, plan: Plan, filled: set[int], omissions: list[Any]) -> None:
    """Take due times out of the omissions that cover them; what is left of a row is as many rows as it takes."""
    for number, fate, reason, first, last, _, blocker in omissions:
        within = sorted(one for one in filled if first <= one <= last)
        if not within:
            continue
        work.execute("DELETE FROM omission WHERE id = ?", number)
        for opening, final, count in between(plan, first - 1, within, last):
            rest = Omitted(fate, reason, opening, final, count)
            insert_omission(work, due.id, rest, work.dialect.uuid(blocker))


def _started(work: Work, due: Due, filled: list[Filled], in_turn: bool) -> list[Filled]:
    done = [_start(work, due, one, in_turn) if one.left_out is None else one for one in filled]
    latest = max(one.due_at for one in done if one.instance is not None)
    work.execute(_HOLDS, latest, due.id, latest)
    count = sum(one.instance is not None for one in done)
    work.facts.append(ScheduleChanged(due.id, "backfilled", due.version, f"{count} due times"))
    return done


def _start(work: Work, due: Due, one: Filled, in_turn: bool) -> Filled:
    made = start_one(work, due.start, cause="backfill", schedule=due.id, due_at=one.due_at, in_turn=in_turn)
    return Filled(one.due_at, one.before, None, made)
