"""How what was decided about a schedule's due times is carried out: runs, omissions, and where the schedule stands."""

from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from callsheet.errors import Invalid
from callsheet.firing import Decision, Omitted, Planned, standing
from callsheet.lifecycle import UNFINISHED
from callsheet.timetable import Plan, bounded
from storage.dialect import Row
from storage.journal.cancels import cancel_unfinished
from storage.journal.commands import Start
from storage.journal.facts import ScheduleChanged
from storage.journal.ledger import record_omission
from storage.journal.starts import start_one
from storage.journal.turns import first_of, schedule_line
from storage.journal.work import Work
from storage.triggers import load_trigger

DUE_COLUMNS = (
    "s.id, s.task, s.input, s.trigger, s.overlap, s.catch_up, s.catch_up_window, s.jitter, s.timeout, s.tags, "
    "s.state, s.state_reason, s.state_errors, s.skips, s.last_due, s.next_due, s.version, s.starts_at, s.ends_at, "
    "s.max_runs, s.run_count, "
    "(SELECT i.id FROM instance i WHERE i.schedule = s.id AND i.state IN ('queued', 'running') LIMIT 1)"
)
# What is not named is not touched: `state` alone is in three indexes.
_MOVE_ON = "UPDATE schedule SET last_due = ?, next_due = ?, next_fire = ?, run_count = ? WHERE id = ?"
_MOVE = (
    "UPDATE schedule SET last_due = ?, next_due = ?, next_fire = ?, run_count = ?, state = ?, state_reason = ?, "
    "state_errors = ?, skips = ? WHERE id = ?"
)


class Due(Struct, frozen=True):
    """A schedule that may have something due: a row of DUE_COLUMNS."""

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
    state_errors: str | None
    skips: str
    last_due: int | None
    next_due: int | None
    version: int
    starts_at: int | None
    ends_at: int | None
    max_runs: int | None
    run_count: int
    blocker: Any

    @property
    def plan(self) -> Plan:
        """Return the trigger within its bounds."""
        return bounded(load_trigger(self.trigger), self.starts_at, self.ends_at)

    @property
    def runs_left(self) -> int | None:
        """Return how many runs `max_runs` still allows."""
        return None if self.max_runs is None else self.max_runs - self.run_count

    @property
    def start(self) -> Start:
        """Return what a run of it starts with."""
        tags = tuple(msgspec.json.decode(self.tags)) if self.tags != "[]" else ()
        return Start(self.task, self.input.encode(), self.timeout, tags)


class Stand(Struct, frozen=True):
    """Where a schedule stands once its due times were decided."""

    last_due: int | None
    next_due: int | None
    next_fire: int | None
    run_count: int
    state: str
    reason: str | None
    errors: str | None
    skips: str

    def moves_on(self, due: Due) -> bool:
        """Tell whether it only waits for the next due time now, as nearly always."""
        return (self.state, self.reason, self.errors, self.skips) == (
            due.state, due.state_reason, due.state_errors, due.skips
        )  # fmt: skip


class Obstacle(Struct, frozen=True):
    """Why a schedule cannot run at all: its reason, and what is wrong with the input as JSON."""

    reason: str
    errors: str | None = None


def planned_of(work: Work, due: Due, due_at: int, obstacle: Obstacle | None) -> Planned:
    """Return a schedule as the rules see it, from its due time `due_at` on."""
    busy = due.blocker is not None
    crowded = busy and due.overlap == "queue" and first_of(work, schedule_line(due.id)) is not None
    return Planned(
        id=due.id,
        trigger=due.plan,
        due=due_at,
        overlap=due.overlap,
        catch_up=due.catch_up,
        catch_up_window=due.catch_up_window,
        jitter=due.jitter,
        blocked=None if obstacle is None else obstacle.reason,
        busy=busy,
        crowded=crowded,
        skips=frozenset() if due.skips == "[]" else frozenset(msgspec.json.decode(due.skips)),
        runs_left=due.runs_left,
    )


def obstacle_of(work: Work, task_name: str, stored: str) -> Obstacle | None:
    """Return why a schedule of a task with this input cannot run, as things stand in the code now."""
    task = work.tasks.get(task_name)
    if task is None:
        return Obstacle("task_missing")
    try:
        task.decode_input(stored.encode())
    except Invalid as error:
        details = [{"pointer": one.pointer, "detail": one.detail} for one in error.errors]
        return Obstacle("input_invalid", msgspec.json.encode(details).decode())
    return None


def carry_out(work: Work, due: Due, decision: Decision, cause: str, **options: Any) -> None:
    """Start what is to run and write what is omitted, in order of time."""
    if decision.replace:
        reason = "replaced by the next due time"
        cancel_unfinished(work, due.id, "schedule", reason, UNFINISHED)
    steps: list[tuple[int, Omitted | None]] = [(run, None) for run in decision.runs]
    if decision.omitted:
        steps += [(one.first, one) for one in decision.omitted]
        steps.sort(key=lambda step: step[0])
    for instant, omitted in steps:
        if omitted is None:
            start_one(
                work, due.start, cause=cause, schedule=due.id, due_at=instant, in_turn=decision.in_turn, **options
            )
        else:
            blocker = work.dialect.uuid(due.blocker) if omitted.reason in ("overlap", "queue_full") else None
            record_omission(work, due.id, omitted, blocker)


def stand_of(work: Work, due: Due, decision: Decision, obstacle: Obstacle | None) -> Stand:
    """Return where a schedule stands after its due times were decided."""
    count = due.run_count + len(decision.runs)
    left = None if due.max_runs is None else due.max_runs - count
    state = standing(due.plan, decision.next, left)
    if obstacle is not None and state == "active":
        state = "blocked"
    reason, errors = (None, None) if obstacle is None else (obstacle.reason, obstacle.errors)
    if state != due.state:
        change = "unblocked" if state == "active" else state
        work.facts.append(ScheduleChanged(due.id, change, due.version, reason))
    skips = _left(due, decision)
    return Stand(decision.last, decision.next, decision.next_fire, count, state, reason, errors, skips)


def move(work: Work, stands: list[tuple[Due, Stand]]) -> None:
    """Write where schedules stand."""
    on: list[Row] = []
    anew: list[Row] = []
    for due, stand in stands:
        if stand.moves_on(due):
            on.append((stand.last_due, stand.next_due, stand.next_fire, stand.run_count, due.id))
        else:
            anew.append((*astuple(stand), due.id))
    for sql, rows in ((_MOVE_ON, on), (_MOVE, anew)):
        if rows:
            work.dialect.update(work.cursor, sql, rows)


def _left(due: Due, decision: Decision) -> str:
    """Return the due times that are still to be skipped."""
    if due.skips == "[]":
        return due.skips
    return msgspec.json.encode([one for one in msgspec.json.decode(due.skips) if one > decision.last]).decode()
