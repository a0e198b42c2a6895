"""Where a due time is claimed: read what is due, write the instance or the omission, advance the schedule.

It is one transaction, and `(schedule, due_at, attempt)` is unique in the database, so that no crash, restart or second
node can fire a due time twice, and none can be lost between the reading and the writing.
"""

import logging
from typing import Any
from uuid import UUID

import msgspec
from attrs import frozen

from callsheet.errors import Invalid, Unavailable
from callsheet.firing import Decision, Omitted, Planned, advance, decide, fire_time
from storage.dialect import Row
from storage.journal.commands import Claim, Start
from storage.journal.facts import DueOmitted, Looked, ScheduleChanged
from storage.journal.starts import release, start_one
from storage.journal.work import Work
from storage.triggers import load_trigger

log = logging.getLogger("callsheet.journal")

_DUE = (
    "SELECT s.id, s.task, s.input, s.trigger, s.overlap, s.catch_up, s.catch_up_window, s.jitter, s.timeout, s.tags, "
    "s.state, s.state_reason, s.next_due, s.version, "
    "(SELECT i.id FROM instance i WHERE i.schedule = s.id AND i.state IN ('queued', 'running') LIMIT 1) "
    "FROM schedule s WHERE s.next_fire <= ? ORDER BY s.next_fire LIMIT ?"
)
_MOVE = "UPDATE schedule SET last_due = ?, next_due = ?, next_fire = ?, state = ?, state_reason = ? WHERE id = ?"
_RIPE = "SELECT id FROM instance WHERE start_after <= ? AND start_after IS NOT NULL ORDER BY start_after LIMIT ?"
_NEXT_FIRE = "SELECT min(next_fire) FROM schedule WHERE next_fire IS NOT NULL"
_NEXT_RETRY = "SELECT min(start_after) FROM instance WHERE start_after IS NOT NULL"
_LATEST_OMISSION = (
    "SELECT id, fate, reason, last_due, blocked_by FROM omission WHERE schedule = ? ORDER BY last_due DESC LIMIT 1"
)


@frozen
class _Due:
    """A row of _DUE."""

    id: str
    task: str
    input: str
    trigger: str
    overlap: str
    catch_up: str
    catch_up_window: int
    jitter: int
    timeout: int | None
    tags: str
    state: str
    state_reason: str | None
    next_due: int
    version: int
    blocker: Any


def claim(work: Work, command: Claim) -> Looked:
    """Fire what is due by now; the answer says when to look again."""
    if work.draining:
        raise Unavailable("The service is stopping.")
    work.flush()
    omitted = 0
    now = work.now if command.until is None else min(work.now, command.until)
    moves: list[Row] = []
    due = [_Due(*row) for row in work.all(_DUE + work.dialect.claim_lock, now, command.limit)]
    for schedule in due:
        omitted += _settle(work, schedule, now, command.awake_since, moves)
    if moves:
        work.dialect.update(work.cursor, _MOVE, moves)
    ripe = _release_ripe(work, command.limit)
    return Looked(_next_look(work), len(due) + ripe, omitted)


def _settle(work: Work, due: _Due, now: int, awake_since: int, moves: list[Row]) -> int:
    """Decide one schedule's due times; whatever goes wrong with it blocks it alone."""
    try:
        if due.state == "paused":
            moves.append(_resume(work, due))
            return 0
        decision = decide(_planned(work, due), now, awake_since)
    except Exception as error:
        log.exception("schedule %s blocked: its trigger failed", due.id)
        if due.next_due is not None:
            record_omission(work, due.id, Omitted("rejected", "trigger_failed", due.next_due, due.next_due, 1), None)
        moves.append(_block(work, due, f"trigger_failed: {type(error).__name__}: {error}"))
        return 0
    blocker = work.dialect.uuid(due.blocker)
    for omission in decision.omitted:
        record_omission(work, due.id, omission, blocker if omission.fate == "skipped" else None)
    if decision.run is not None:
        _start(work, due, decision.run)
    moves.append(_move(work, due, decision))
    return sum(omission.count for omission in decision.omitted)


def _planned(work: Work, due: _Due) -> Planned:
    return Planned(
        id=due.id,
        trigger=load_trigger(due.trigger),
        due=due.next_due,
        overlap=due.overlap,
        catch_up=due.catch_up,
        catch_up_window=due.catch_up_window,
        jitter=due.jitter,
        blocked=_obstacle(work, due),
        busy=due.blocker is not None,
    )


def _obstacle(work: Work, due: _Due) -> str | None:
    """Return why the schedule cannot run at all, as things stand in the code now."""
    task = work.tasks.get(due.task)
    if task is None:
        return "task_missing"
    try:
        task.decode_input(due.input.encode())
    except Invalid:
        return "input_invalid"
    return None


def _start(work: Work, due: _Due, due_at: int) -> None:
    tags = tuple(msgspec.json.decode(due.tags)) if due.tags != "[]" else ()
    start = Start(due.task, due.input.encode(), due.timeout, tags)
    start_one(work, start, cause="schedule", schedule=due.id, due_at=due_at)


def _move(work: Work, due: _Due, decision: Decision) -> tuple[Any, ...]:
    """Return where the schedule stands after its due times were decided."""
    obstacle = next((omitted.reason for omitted in decision.omitted if omitted.fate == "rejected"), None)
    state = "finished" if decision.next is None else "blocked" if obstacle else "active"
    if state != due.state:
        change = "unblocked" if state == "active" else state
        work.facts.append(ScheduleChanged(due.id, change, due.version, obstacle))
    return decision.last, decision.next, decision.next_fire, state, obstacle, due.id


def _resume(work: Work, due: _Due) -> tuple[Any, ...]:
    """Return where a schedule stands whose pause has run out: active, strictly in the future."""
    trigger = load_trigger(due.trigger)
    last = work.one("SELECT last_due FROM schedule WHERE id = ?", due.id)[0]
    following = advance(trigger, max(work.now, last or 0))  # the ledger may be ahead of a clock that was set back
    state = "active" if following is not None else "finished"
    work.facts.append(ScheduleChanged(due.id, "resumed", due.version, "the pause has run out"))
    fire = fire_time(due.id, trigger, following, due.jitter)
    return last, following, fire, state, None, due.id


def _block(work: Work, due: _Due, reason: str) -> tuple[Any, ...]:
    work.facts.append(ScheduleChanged(due.id, "blocked", due.version, reason))
    last = work.one("SELECT last_due FROM schedule WHERE id = ?", due.id)[0] if due.next_due is None else due.next_due
    return last, None, None, "blocked", reason, due.id


def record_omission(work: Work, schedule: str, omitted: Omitted, blocked_by: UUID | None) -> None:
    """Write due times that started nothing; they lengthen the row before them if their fate is the same."""
    fact = DueOmitted(schedule, omitted.fate, omitted.reason, omitted.first, omitted.last, omitted.count, blocked_by)
    work.facts.append(fact)
    row = work.one(_LATEST_OMISSION, schedule)
    if row is not None and _continues(work, fact, row):
        sql = "UPDATE omission SET last_due = ?, count = count + ? WHERE id = ?"
        work.execute(sql, omitted.last, omitted.count, row[0])
        return
    work.execute(
        "INSERT INTO omission (schedule, fate, reason, first_due, last_due, count, blocked_by) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        schedule, omitted.fate, omitted.reason, omitted.first, omitted.last, omitted.count, blocked_by,
    )  # fmt: skip


def _continues(work: Work, fact: DueOmitted, row: Any) -> bool:
    _, fate, reason, last_due, blocker = row
    if (fate, reason, work.dialect.uuid(blocker)) != (fact.fate, fact.reason, fact.blocked_by):
        return False
    work.flush()
    ran = "SELECT 1 FROM instance WHERE schedule = ? AND due_at > ? LIMIT 1"
    return work.one(ran, fact.schedule, last_due) is None


def _release_ripe(work: Work, limit: int) -> int:
    """Let the queued instances begin whose time has come, such as retries."""
    rows = work.all(_RIPE, work.now, limit)
    for row in rows:
        instance = work.dialect.uuid(row[0])
        assert instance is not None
        release(work, instance)
    return len(rows)


def _next_look(work: Work) -> int | None:
    """Return the instant of the next firing or retry, whichever is first."""
    work.flush()
    times = [work.one(_NEXT_FIRE)[0], work.one(_NEXT_RETRY)[0]]
    return min((time for time in times if time is not None), default=None)
