"""What happens at the start of a boot, before any firing, and at its end."""

from typing import Any

import msgspec
from attrs import evolve

from callsheet.instants import SECOND
from storage.journal.commands import Drain, Recover, StopNode
from storage.journal.ends import start_retry
from storage.journal.facts import InstanceEnded, InstanceStarted, NodeSaid, ScheduleChanged
from storage.journal.starts import RUN_COLUMNS, release_next, run_of
from storage.journal.work import Work

_UNFINISHED = f"SELECT {RUN_COLUMNS}, started_at FROM instance WHERE state = 'running' AND boot <> ?"
_LOST = (
    "UPDATE instance SET state = 'lost', finished_at = ?, error = ?, stuck = NULL WHERE state = 'running' AND id = ?"
)
# what waits for nothing but the return of its task: the next claim looks whether it is back
_RIPEN = "UPDATE instance SET start_after = ? WHERE state = 'queued' AND start_after IS NULL AND state_key IS NULL"
MOST_LOST = 5  # attempts of an idempotent run: one that takes its node down must not do so at every start
LOST_PAUSE = SECOND  # before the second attempt after a loss nothing, then 1, 3, 7, 15 s
_WHY = msgspec.json.encode({"type": "Lost", "message": "its node stopped without writing how it ended"}).decode()


def recover(work: Work, _: Recover) -> int:
    """Declare lost what an earlier boot left running, and block or free the schedules of tasks gone or come back."""
    runs = [_run(work, row) for row in work.all(_UNFINISHED, work.boot)]
    work.dialect.update(work.cursor, _LOST, [(work.now, _WHY, run.id) for run in runs])
    for run in runs:
        work.facts.append(InstanceEnded(run.id, run.task, run.schedule, "lost", 0.0))
        task = work.tasks.get(run.task)
        if task is not None and task.idempotent and run.attempt <= MOST_LOST:
            start_retry(work, run, work.now + LOST_PAUSE * (2 ** (run.attempt - 1) - 1))
    for (key,) in work.all("SELECT DISTINCT state_key FROM instance WHERE state = 'queued' AND state_key IS NOT NULL"):
        release_next(work, None, key)
    work.execute(_RIPEN, work.now)
    _match_tasks(work)
    work.execute("UPDATE node SET stopped_at = seen_at WHERE stopped_at IS NULL AND boot <> ?", work.boot)
    work.facts.append(NodeSaid("node.started", msgspec.json.encode({"node": work.node, "lost": len(runs)})))
    return len(runs)


def drain(work: Work, _: Drain) -> None:
    """Let nothing begin from here on: what is queued waits for the next boot."""
    work.draining = True
    work.facts.append(NodeSaid("node.draining", msgspec.json.encode({"node": work.node})))


def stop_node(work: Work, _: StopNode) -> None:
    """Write that this boot ended as told."""
    work.execute("UPDATE node SET stopped_at = ? WHERE boot = ?", work.now, work.boot)
    work.facts.append(NodeSaid("node.stopped", msgspec.json.encode({"node": work.node})))


def _match_tasks(work: Work) -> None:
    for name in _tasks_in_use(work):
        if name in work.tasks:
            _turn(work, name, "blocked", "active", "unblocked", None)
        else:
            _turn(work, name, "active", "blocked", "blocked", "task_missing")


def _tasks_in_use(work: Work) -> list[str]:
    """Return the tasks that schedules name, one index seek each however many schedules there are."""
    names: list[str] = []
    row = work.one("SELECT min(task) FROM schedule")
    while row is not None and row[0] is not None:
        names.append(row[0])
        row = work.one("SELECT min(task) FROM schedule WHERE task > ?", row[0])
    return names


def _turn(work: Work, task: str, old: str, new: str, change: str, reason: str | None) -> None:
    where = "task = ? AND state = ?" + (" AND state_reason = 'task_missing'" if old == "blocked" else "")
    rows = work.all(f"SELECT id, version FROM schedule WHERE {where}", task, old)
    work.execute(f"UPDATE schedule SET state = ?, state_reason = ? WHERE {where}", new, reason, task, old)
    work.facts.extend(ScheduleChanged(row[0], change, row[1], reason) for row in rows)


def _run(work: Work, row: Any) -> InstanceStarted:
    return evolve(run_of(work, row), started_at=row[11] or work.now)
