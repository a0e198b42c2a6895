"""What happens at the start of a boot, before any firing, and at its end."""

from typing import Any

import msgspec
from msgspec.structs import replace

from callsheet.instants import SECOND
from storage.journal.commands import Drain, Recover, StopNode
from storage.journal.ends import start_retry
from storage.journal.facts import InstanceEnded, InstanceStarted, NodeSaid
from storage.journal.matching import match_tasks
from storage.journal.settling import call_next, schedule_lines
from storage.journal.starts import RUN_COLUMNS, run_of
from storage.journal.work import Over, Work

_UNFINISHED = f"SELECT {RUN_COLUMNS}, started_at FROM instance WHERE state = 'running' AND boot <> ?"
_LOST = (
    "UPDATE instance SET state = 'lost', finished_at = ?, error = ?, stuck = NULL WHERE state = 'running' AND id = ?"
)
# a place in a line is found anew, as this boot may have other limits and other tasks; only turns of a schedule stay
_RIPEN = (
    "UPDATE instance SET start_after = ?, waits_for = NULL WHERE state = 'queued' AND start_after IS NULL "
    "AND (waits_for IS NULL OR waits_for < 'schedule:' OR waits_for >= 'schedule;')"
)
MOST_LOST = 5  # attempts of an idempotent run: one that takes its node down must not do so at every start
LOST_PAUSE = SECOND  # before the second attempt after a loss nothing, then 1, 3, 7, 15 s
_WHY = msgspec.json.encode({"type": "Lost", "message": "its node stopped without writing how it ended"}).decode()


def recover(work: Work, _: Recover) -> int:
    """Declare lost what an earlier boot left running, and block or free the schedules of tasks gone or come back."""
    runs = [_run(work, row) for row in work.all(_UNFINISHED, work.boot)]
    work.dialect.update(work.cursor, _LOST, [(work.now, _WHY, run.id) for run in runs])
    for run in runs:
        work.facts.append(InstanceEnded(run.id, run.task, run.schedule, "lost", 0.0))
        outcome = None if _runs_again(work, run) else "lost"
        work.over.append(Over(run.id, run.task, run.schedule, run.state_key, outcome))
    work.execute(_RIPEN, work.now)
    call_next(work, schedule_lines(work))
    match_tasks(work)
    work.execute("UPDATE node SET stopped_at = seen_at WHERE stopped_at IS NULL AND boot <> ?", work.boot)
    work.facts.append(NodeSaid("node.started", msgspec.json.encode({"node": work.node, "lost": len(runs)})))
    return len(runs)


def _runs_again(work: Work, run: InstanceStarted) -> bool:
    """Queue another attempt of what was lost, if its task may be run twice."""
    task = work.tasks.get(run.task)
    if task is None or not task.idempotent or run.attempt > MOST_LOST:
        return False
    return start_retry(work, run, work.now + LOST_PAUSE * (2 ** (run.attempt - 1) - 1))


def drain(work: Work, _: Drain) -> None:
    """Let nothing begin from here on: what is queued waits for the next boot."""
    work.draining = True
    work.facts.append(NodeSaid("node.draining", msgspec.json.encode({"node": work.node})))


def stop_node(work: Work, _: StopNode) -> None:
    """Write that this boot ended as told."""
    work.execute("UPDATE node SET stopped_at = ? WHERE boot = ?", work.now, work.boot)
    work.facts.append(NodeSaid("node.stopped", msgspec.json.encode({"node": work.node})))


def _run(work: Work, row: Any) -> InstanceStarted:
    return replace(run_of(work, row), started_at=row[-1] or work.now)
