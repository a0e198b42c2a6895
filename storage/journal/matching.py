"""At the start of a boot: the schedules against the code as it is now, its tasks and the types of their inputs."""

from storage.journal.facts import ScheduleChanged
from storage.journal.firings import Obstacle, obstacle_of
from storage.journal.work import Work

_PAGE = 1000  # schedules read at a time
_INPUTS = (
    "SELECT id, input, version, state_reason FROM schedule WHERE task = ? AND state = ? AND id > ? ORDER BY id LIMIT ?"
)
_TURN = "UPDATE schedule SET state = ?, state_reason = ?, state_errors = ? WHERE id = ?"
_KNOW = (
    "INSERT INTO known_task (name, fingerprint, seen_at) VALUES (?, ?, ?) "
    "ON CONFLICT (name) DO UPDATE SET fingerprint = excluded.fingerprint, seen_at = excluded.seen_at"
)


def match_tasks(work: Work) -> None:
    """Block the schedules whose task is gone, or whose input its type takes no longer; free those that fit again.

    Inputs are read again only where the type has changed since the last boot, however many schedules there are.
    """
    known = dict(work.all("SELECT name, fingerprint FROM known_task"))
    for name in _tasks_in_use(work):
        if name not in work.tasks:
            _turn_all(work, name, "active", "blocked", "task_missing")
            continue
        _turn_all(work, name, "blocked", "active", None)
        if known.get(name) != work.tasks[name].fingerprint:
            _check_inputs(work, name)
    for name, task in work.tasks.items():
        if known.get(name) != task.fingerprint:
            work.execute(_KNOW, name, task.fingerprint, work.now)


def _tasks_in_use(work: Work) -> list[str]:
    """Return the tasks that schedules name, one index seek each however many schedules there are."""
    names: list[str] = []
    row = work.one("SELECT min(task) FROM schedule")
    while row is not None and row[0] is not None:
        names.append(row[0])
        row = work.one("SELECT min(task) FROM schedule WHERE task > ?", row[0])
    return names


def _turn_all(work: Work, task: str, old: str, new: str, reason: str | None) -> None:
    where = "task = ? AND state = ?" + (" AND state_reason = 'task_missing'" if old == "blocked" else "")
    rows = work.all(f"SELECT id, version FROM schedule WHERE {where}", task, old)
    work.execute(f"UPDATE schedule SET state = ?, state_reason = ? WHERE {where}", new, reason, task, old)
    change = "unblocked" if new == "active" else new
    work.facts.extend(ScheduleChanged(row[0], change, row[1], reason) for row in rows)


def _check_inputs(work: Work, task: str) -> None:
    for state in ("blocked", "active"):  # in this order, or what is blocked now would be looked at twice
        after = ""
        while rows := work.all(_INPUTS, task, state, after, _PAGE):
            after = rows[-1][0]
            for slug, stored, version, reason in rows:
                _match(work, slug, version, reason, obstacle_of(work, task, stored))


def _match(work: Work, slug: str, version: int, reason: str | None, obstacle: Obstacle | None) -> None:
    """Bring one schedule into line with what was found about its input; what is blocked for another reason stays so."""
    if reason not in (None, "input_invalid"):
        return
    if obstacle is not None:
        work.execute(_TURN, "blocked", obstacle.reason, obstacle.errors, slug)
        if reason != obstacle.reason:
            work.facts.append(ScheduleChanged(slug, "blocked", version, obstacle.reason))
    elif reason == "input_invalid":
        work.execute(_TURN, "active", None, None, slug)
        work.facts.append(ScheduleChanged(slug, "unblocked", version))
