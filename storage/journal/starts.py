"""How instances come to be: started by hand, by a trigger, by a claim, as a retry, or let out of a queue.

Everything that may begin to run goes through `start_one` or `release`; who has to wait, and in which line, is decided
in turns.py.
"""

from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from callsheet.errors import Invalid, Refused, Unavailable, Unknown
from callsheet.lifecycle import UNFINISHED
from callsheet.tasks import Task
from storage.journal.cancels import cancel_unfinished
from storage.journal.commands import RerunInstance, Start, StartInstances, TriggerSchedule
from storage.journal.facts import InstanceQueued, InstanceStarted, instance_uri
from storage.journal.turns import Claimant, first_of, line_for, missing_line, schedule_line
from storage.journal.work import Work

_BUSY = "SELECT id FROM instance WHERE schedule = ? AND state IN ('queued', 'running') LIMIT 1"
_STAND = "UPDATE instance SET start_after = NULL, waits_for = ? WHERE id = ? AND state = 'queued'"
_RELEASE = (
    "UPDATE instance SET state = 'running', start_after = NULL, waits_for = NULL, node = ?, boot = ?, started_at = ? "
    "WHERE id = ? AND state = 'queued'"
)
RUN_COLUMNS = "id, task, input, cause, schedule, due_at, attempt, timeout, tags, state_key, retry_of, queued_at, trace"
_QUEUED = f"SELECT {RUN_COLUMNS} FROM instance WHERE id = ?"


def start_instances(work: Work, command: StartInstances) -> list[UUID]:
    """Start all, or none: an unknown task refuses the whole command."""
    for start in command.starts:
        _known(work, start.task)
    return [start_one(work, start, cause="manual") for start in command.starts]


def trigger_schedule(work: Work, command: TriggerSchedule) -> UUID:
    """Run a schedule now; what becomes of it while an instance goes on is for the overlap policy, its own or given."""
    work.flush()
    row = work.one(
        "SELECT task, input, timeout, tags, overlap FROM schedule WHERE id = ? AND state <> 'deleted'", command.schedule
    )
    if row is None:
        raise Unknown("schedule", command.schedule)
    name, stored, timeout, tags, overlap = row
    task = _still_there(work, name)
    given = _own_input(task, command.input) if command.input is not None else _stored_input(task, stored)
    in_turn = _by_overlap(work, command.schedule, command.overlap or overlap)  # last, as it may cancel what goes on
    start = Start(name, given, timeout, tuple(msgspec.json.decode(tags)))
    return start_one(work, start, cause="manual", schedule=command.schedule, in_turn=in_turn)


def rerun_instance(work: Work, command: RerunInstance) -> UUID:
    """Start a new instance with the same task and input, free of its schedule's due times."""
    work.flush()
    row = work.one("SELECT task, input, timeout, tags FROM instance WHERE id = ?", command.instance)
    if row is None:
        raise Unknown("instance", command.instance)
    name, stored, timeout, tags = row
    checked = _stored_input(_still_there(work, name), stored)
    start = Start(name, checked, timeout, tuple(msgspec.json.decode(tags)))
    return start_one(work, start, cause="rerun", retry_of=command.instance)


def start_one(
    work: Work,
    start: Start,
    *,
    cause: str,
    schedule: str | None = None,
    due_at: int | None = None,
    attempt: int = 1,
    retry_of: UUID | None = None,
    start_after: int | None = None,
    in_turn: bool = False,
    trace: str | None = None,
) -> UUID:
    """Write an instance: running if it may begin now, else queued; return its id.

    `in_turn`: it waits until nothing else of its schedule is unfinished, whatever its `start_after`. While the node
    stops, only what waits is taken.
    """
    if work.draining and start_after is None and not in_turn:
        raise Unavailable("The service is stopping.")
    start_after = None if in_turn else start_after
    task = work.tasks[start.task]
    fact = InstanceStarted(
        id=work.ids.make(work.now),
        task=start.task,
        input=start.input,
        started_at=work.now,
        cause=cause,
        schedule=schedule,
        due_at=due_at,
        attempt=attempt,
        timeout=shorter(start.timeout, task.timeout),
        tags=start.tags,
        state_key=state_key(task, schedule),
        retry_of=retry_of,
        queued_at=work.now,
        trace=trace or work.trace,
    )
    line = _line(work, Claimant(task, fact.state_key), schedule if in_turn else None, start_after)
    waits = start_after is not None or line is not None
    _insert(work, fact, start_after, line, waits)
    if waits:
        work.facts.append(InstanceQueued(fact.id, fact.task, schedule, start_after, line))
    else:
        work.facts.append(_with_state(work, fact))
    return fact.id


def _line(work: Work, claimant: Claimant, schedule: str | None, start_after: int | None) -> str | None:
    """Return where a new instance has to wait; who waits for a time stands in no line before it has come."""
    if schedule is not None:
        work.stirred[schedule_line(schedule)] = None
        return schedule_line(schedule)
    return None if start_after is not None else line_for(work, claimant)


def release(work: Work, instance: UUID, line: str = "") -> str | None:
    """Let a queued instance begin, the first of `line`; return the line where it stands now if it has to wait on."""
    row = work.one(_QUEUED, instance)
    task_name, key = row[1], row[9]
    task = work.tasks.get(task_name)
    following = missing_line(task_name) if task is None else line_for(work, Claimant(task, key), line)
    if following is not None:
        work.execute(_STAND, following, instance)
        return following
    work.execute(_RELEASE, work.node, work.boot, work.now, instance)
    work.facts.append(_with_state(work, run_of(work, row)))
    return None


def state_key(task: Task[Any, Any], schedule: str | None) -> str | None:
    """Return the key of the state that a run of `task` uses: its schedule's own, or the task's."""
    if not task.stateful:
        return None
    return f"{schedule}\n{task.name}" if schedule and task.state_scope == "schedule" else task.name


def shorter(one: int | None, other: int | None) -> int | None:
    """Return the shorter of two time-outs, either of which may be none."""
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)


def _known(work: Work, name: str) -> Task[Any, Any]:
    task = work.tasks.get(name)
    if task is None:
        raise Unknown("task", name)
    return task


def _still_there(work: Work, name: str) -> Task[Any, Any]:
    task = work.tasks.get(name)
    if task is None:
        raise Refused(f"The task {name!r} is not in the code any more; it comes back when the code has it again.")
    return task


def _own_input(task: Task[Any, Any], given: bytes) -> bytes:
    try:
        return task.check_input(msgspec.json.decode(given))
    except Invalid as error:
        raise error.under("/input") from None


def _stored_input(task: Task[Any, Any], stored: str) -> bytes:
    try:
        return task.check_input(msgspec.json.decode(stored))
    except Invalid as error:
        raise Refused(f"The stored input does not fit the task {task.name!r} any more: {error}") from None


def _by_overlap(work: Work, schedule: str, overlap: str) -> bool:
    """Tell whether a run by hand has to wait for its turn; Refused when the policy is to leave it out."""
    row = None if overlap == "allow" else work.one(_BUSY, schedule)
    if row is None:
        return False
    uri = instance_uri(work.dialect.uuid(row[0]))
    if overlap == "skip":
        raise Refused(f"An instance of {schedule!r} still goes on: {uri}.", blocked_by=uri)
    if overlap == "replace":
        cancel_unfinished(work, schedule, work.by, "replaced by a run by hand", UNFINISHED)
        return True
    waiting = first_of(work, schedule_line(schedule))
    if waiting is not None:
        uri = instance_uri(waiting)
        raise Refused(f"An instance of {schedule!r} waits for its turn already: {uri}.", blocked_by=uri)
    return True


def _insert(work: Work, fact: InstanceStarted, start_after: int | None, line: str | None, waits: bool) -> None:
    tags = msgspec.json.encode(fact.tags).decode() if fact.tags else "[]"
    row = (
        work.dialect.key(fact.id), fact.task, fact.schedule, fact.due_at, fact.attempt, fact.cause,
        "queued" if waits else "running", fact.input.decode(), fact.timeout, tags, None if waits else work.node,
        None if waits else work.boot_key, fact.retry_of, start_after, fact.state_key, work.now,
        None if waits else work.now, line, fact.trace,
    )  # fmt: skip
    work.insert_instance(row, fact.tags)


def _with_state(work: Work, fact: InstanceStarted) -> InstanceStarted:
    if fact.state_key is None:
        return fact
    row = work.one("SELECT value FROM task_state WHERE key = ?", fact.state_key)
    return replace(fact, state=None if row is None else row[0].encode())


def run_of(work: Work, row: Any) -> InstanceStarted:
    """Return the run that a row of RUN_COLUMNS tells of."""
    instance = work.dialect.uuid(row[0])
    assert instance is not None
    return InstanceStarted(
        id=instance,
        task=row[1],
        input=row[2].encode(),
        started_at=work.now,
        cause=row[3],
        schedule=row[4],
        due_at=row[5],
        attempt=row[6],
        timeout=row[7],
        tags=tuple(msgspec.json.decode(row[8])),
        state_key=row[9],
        retry_of=work.dialect.uuid(row[10]),
        queued_at=row[11],
        trace=row[12],
    )
