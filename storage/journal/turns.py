"""Whose turn it is: an instance waits while its task runs as often as it may, or its state is in use.

What must wait is `queued` with no time set; the oldest that can begin does so in the transaction that makes room.
"""

from typing import Any
from uuid import UUID

from callsheet.tasks import Task
from storage.journal.work import Work

_HOLDER = "SELECT 1 FROM instance WHERE state_key = ? AND state = 'running' LIMIT 1"
_RUNNING = "SELECT count(*) FROM (SELECT 1 FROM instance WHERE task = ? AND state = 'running' LIMIT ?) r"
_OLDEST_OF_STATE = (
    "SELECT id FROM instance WHERE state_key = ? AND state = 'queued' AND start_after IS NULL ORDER BY id LIMIT 1"
)
_OLDEST_OF_TASK = (
    "SELECT id FROM instance WHERE task = ? AND state = 'queued' AND start_after IS NULL ORDER BY id LIMIT 20"
)


def must_wait(work: Work, task: Task[Any, Any], state_key: str | None) -> bool:
    """Tell whether a run of `task` has to wait for another one to end."""
    if state_key is None and task.max_running is None:
        return False
    work.flush()
    if state_key is not None and work.one(_HOLDER, state_key) is not None:
        return True
    return task.max_running is not None and work.one(_RUNNING, task.name, task.max_running)[0] >= task.max_running


def oldest_waiting(work: Work, task: str | None, state_key: str | None) -> list[UUID]:
    """Return who has waited longest for a state or for a task: several for a task, as some may lack their state."""
    work.flush()
    rows = [] if state_key is None else work.all(_OLDEST_OF_STATE, state_key)
    definition = work.tasks.get(task) if task else None
    if definition is not None and definition.max_running is not None:
        rows += work.all(_OLDEST_OF_TASK, task)
    found = (work.dialect.uuid(row[0]) for row in rows)
    return list(dict.fromkeys(one for one in found if one is not None))
