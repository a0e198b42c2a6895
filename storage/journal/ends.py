"""How instances end: outcome, state of the task and a retry, all in one transaction.

What else follows from an end, for those who wait and for schedules that come `after` it, is settled in settling.py.
"""

import random
from typing import Any

import msgspec

from callsheet.instants import SECOND
from callsheet.lifecycle import RETRIED
from callsheet.tasks import Task
from callsheet.tasks.text import safe_text
from storage.journal.commands import (
    EndInstance,
    KeepEvent,
    KeepLog,
    KeepOutput,
    MarkStuck,
    Start,
)
from storage.journal.facts import (
    InstanceEnded,
    InstanceStarted,
    InstanceStuck,
    NodeSaid,
)
from storage.journal.starts import start_one
from storage.journal.work import Over, Work

NOT_WRITABLE = msgspec.json.encode({"type": "InternalError", "message": "the end could not be written as it was"})

_SAVE = (
    "INSERT INTO task_state (key, value, version, instance, updated_at) VALUES (?, ?, 1, ?, ?) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = task_state.version + 1, "
    "instance = excluded.instance, updated_at = excluded.updated_at"
)
# of a schedule that was deleted and created again since, which has a state of its own
_OUTLIVED = "SELECT 1 FROM instance WHERE id = ? AND state_key IS NULL"
_DELETED = "SELECT 1 FROM schedule WHERE id = ? AND state = 'deleted'"


def end_instance(work: Work, command: EndInstance) -> None:
    """Write the outcome, the task's state and the retry."""
    run = command.run
    work.end_instance(run.id, command.outcome, command.started_at, command.finished_at, command.error)
    seconds = max(command.finished_at - command.started_at, 0) / SECOND
    work.facts.append(InstanceEnded(run.id, run.task, run.schedule, command.outcome, seconds, command.error))
    if command.outcome == "succeeded" and run.state_key is not None and command.state is not None:
        _save(work, run, run.state_key, command.state)
    tried_again = command.outcome in RETRIED and command.may_retry and _retry(work, run, work.tasks.get(run.task))
    work.over.append(Over(run.id, run.task, run.schedule, run.state_key, None if tried_again else command.outcome))


def _save(work: Work, run: InstanceStarted, key: str, state: bytes) -> None:
    if run.schedule is None or key == run.task or work.one(_OUTLIVED, run.id) is None:
        work.execute(_SAVE, key, state.decode(), run.id, work.now)


def told_elsewhere(command: EndInstance, outcome: str) -> InstanceEnded:
    """Return the fact that takes an instance out of memory whose end, with `outcome`, was written before."""
    return InstanceEnded(command.run.id, command.run.task, command.run.schedule, outcome, 0.0)


def _retry(work: Work, run: InstanceStarted, task: Task[Any, Any] | None) -> bool:
    if task is None or task.retries is None or run.attempt > task.retries.count:
        return False
    chance = random.Random(run.id.int).random()  # noqa: S311 - ids are random enough, and a seeded simulation repeats
    return start_retry(work, run, work.now + task.retries.delay(run.attempt, chance))


def start_retry(work: Work, run: InstanceStarted, start_after: int) -> bool:
    """Queue the next attempt of a run, not to begin before `start_after`; none for a schedule that is deleted."""
    if run.schedule is not None and work.one(_DELETED, run.schedule) is not None:
        return False
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
        trace=run.trace,
    )
    return True


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
    work.facts.append(NodeSaid(command.type, msgspec.json.encode(msgspec.Raw(command.data)), command.instance))
