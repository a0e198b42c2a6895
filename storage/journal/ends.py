"""How instances end: outcome, state of the task and what follows from it, all in one transaction."""

import random
from typing import Any

import msgspec

from callsheet.errors import Unknown
from callsheet.instants import SECOND
from callsheet.lifecycle import OUTCOMES, RETRIED
from callsheet.tasks import Task
from callsheet.tasks.text import safe_text
from storage.journal.commands import (
    CancelInstance,
    CancelInstances,
    EndInstance,
    KeepEvent,
    KeepLog,
    KeepOutput,
    MarkStuck,
    Start,
)
from storage.journal.facts import (
    CancelRequested,
    InstanceEnded,
    InstanceStarted,
    InstanceStuck,
    NodeSaid,
)
from storage.journal.starts import release_next, start_one
from storage.journal.work import Work

NOT_WRITABLE = msgspec.json.encode({"type": "InternalError", "message": "the end could not be written as it was"})

_SAVE = (
    "INSERT INTO task_state (key, value, version, instance, updated_at) VALUES (?, ?, 1, ?, ?) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = task_state.version + 1, "
    "instance = excluded.instance, updated_at = excluded.updated_at"
)
# of a schedule that was deleted and created again since, which has a state of its own
_OUTLIVED = "SELECT 1 FROM instance WHERE id = ? AND state_key IS NULL"
_DELETED = "SELECT 1 FROM schedule WHERE id = ? AND state = 'deleted'"
_ORDER = "UPDATE instance SET cancel_at = ?, cancel_by = ?, cancel_reason = ? WHERE id = ? AND cancel_at IS NULL"
_CANCEL_QUEUED = (
    "UPDATE instance SET state = 'cancelled', finished_at = ?, start_after = NULL WHERE id = ? AND state = 'queued'"
)


def end_instance(work: Work, command: EndInstance) -> None:
    """Write the outcome, the task's state, the retry and whoever waited for that state."""
    run = command.run
    work.end_instance(run.id, command.outcome, command.started_at, command.finished_at, command.error)
    seconds = max(command.finished_at - command.started_at, 0) / SECOND
    work.facts.append(InstanceEnded(run.id, run.task, run.schedule, command.outcome, seconds, command.error))
    if command.outcome == "succeeded" and run.state_key is not None and command.state is not None:
        _save(work, run, run.state_key, command.state)
    if command.outcome in RETRIED and command.may_retry:
        _retry(work, run, work.tasks.get(run.task))
    if run.state_key is not None or _counted(work, run.task):
        release_next(work, run.task, run.state_key)


def _counted(work: Work, task: str) -> bool:
    return task in work.tasks and work.tasks[task].max_running is not None


def _save(work: Work, run: InstanceStarted, key: str, state: bytes) -> None:
    if run.schedule is None or key == run.task or work.one(_OUTLIVED, run.id) is None:
        work.execute(_SAVE, key, state.decode(), run.id, work.now)


def told_elsewhere(command: EndInstance, outcome: str) -> InstanceEnded:
    """Return the fact that takes an instance out of memory whose end, with `outcome`, was written before."""
    return InstanceEnded(command.run.id, command.run.task, command.run.schedule, outcome, 0.0)


def _retry(work: Work, run: InstanceStarted, task: Task[Any, Any] | None) -> None:
    if task is None or task.retries is None or run.attempt > task.retries.count:
        return
    chance = random.Random(run.id.int).random()  # noqa: S311 - ids are random enough, and a seeded simulation repeats
    delay = task.retries.delay(run.attempt, chance)
    start_retry(work, run, work.now + delay)


def start_retry(work: Work, run: InstanceStarted, start_after: int) -> None:
    """Queue the next attempt of a run, not to begin before `start_after`; none for a schedule that is deleted."""
    if run.schedule is not None and work.one(_DELETED, run.schedule) is not None:
        return
    start = Start(run.task, run.input, run.timeout, run.tags)
    start_one(
        work,
        start,
        cause="retry",
        schedule=run.schedule,
        due_at=run.due_at,
        attempt=run.attempt + 1,
        retry_of=run.retry_of if run.attempt > 1 and run.retry_of else run.id,
        start_after=start_after,
    )


def cancel_instance(work: Work, command: CancelInstance) -> bool:
    """Order a running instance to be cancelled, or end a queued one; False when it was over."""
    work.flush()
    row = work.one("SELECT id, state, task, schedule FROM instance WHERE id = ?", command.instance)
    if row is None:
        raise Unknown("instance", command.instance)
    if row[1] in OUTCOMES:
        return False
    _cancel_rows(work, [row], command.by, command.reason)
    return True


def cancel_instances(work: Work, command: CancelInstances) -> int:
    """Cancel every unfinished instance that matches all that is given; return how many."""
    work.flush()
    rows = work.all(*_matching(command))
    _cancel_rows(work, rows, command.by, command.reason)
    return len(rows)


def _matching(command: CancelInstances) -> tuple[Any, ...]:
    given = [("task = ?", command.task), ("schedule = ?", command.schedule)]
    given.append(("id IN (SELECT instance FROM instance_tag WHERE tag = ?)", command.tag))
    terms = ["state IN ('queued', 'running')"] + [term for term, value in given if value is not None]
    sql = "SELECT id, state, task, schedule FROM instance WHERE " + " AND ".join(terms)
    return sql, *(value for _, value in given if value is not None)


def _cancel_rows(work: Work, rows: list[Any], by: str, reason: str | None) -> None:
    """Order the instances of `rows` (id, state, task, schedule) to be cancelled; what is queued ends at once."""
    found = [(work.dialect.uuid(row[0]), *row[1:]) for row in rows]
    work.dialect.update(work.cursor, _ORDER, [(work.now, by, reason, instance) for instance, *_ in found])
    queued = [instance for instance, state, *_ in found if state == "queued"]
    work.dialect.update(work.cursor, _CANCEL_QUEUED, [(work.now, instance) for instance in queued])
    for instance, state, task, schedule in found:
        work.facts.append(CancelRequested(instance, schedule, by, reason))
        if state == "queued":
            work.facts.append(InstanceEnded(instance, task, schedule, "cancelled", 0.0))


def keep_output(work: Work, command: KeepOutput) -> None:
    """Keep a value that a task sent."""
    work.insert_output((command.instance, command.seq, command.at, command.value.decode()))


def keep_log(work: Work, command: KeepLog) -> None:
    """Keep a line that a task logged."""
    fields = None if command.fields is None else command.fields.decode()
    work.insert_log((command.instance, command.seq, command.at, command.level, safe_text(command.text), fields))


def mark_stuck(work: Work, command: MarkStuck) -> None:
    """Write that a cancelled instance does not end: it stays running."""
    work.flush()
    changed = work.execute(
        "UPDATE instance SET stuck = ? WHERE id = ? AND boot = ? AND state = 'running'",
        command.where, command.instance, work.boot,
    ).rowcount  # fmt: skip
    if changed:
        work.facts.append(InstanceStuck(command.instance, command.where))


def keep_event(work: Work, command: KeepEvent) -> None:
    """Write an event of the node itself."""
    work.facts.append(NodeSaid(command.type, msgspec.json.encode(msgspec.Raw(command.data))))
