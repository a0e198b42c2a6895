"""Whose turn it is: the lines that queued instances stand in, and when the next of a line may begin.

| line | stands in it | room for |
|---|---|---|
| `schedule:ID` | who may not overlap what goes on of its schedule | one |
| `state:KEY` | who needs a state that is in use | one |
| `task:NAME` | who comes beyond `max_running` of its task | that many |
| `room` | who comes beyond `--max-running` of all tasks together | that many |
| `missing:NAME` | whose task is not in the code | nobody, until it is back |

An instance stands in one line at a time, the first one that holds it up; lines are first come, first served. Whatever
holds up a line is an unfinished instance, and its end looks at that line again (settling.py). It runs, or it was the
first of the line, moved on to a later one and keeps the place for which it was called: so no more of a line move on
than can begin, however long it is.
"""

from typing import Any
from uuid import UUID

from msgspec import Struct

from callsheet.tasks import Task
from storage.journal.work import Work

ROOM = "room"
_IN_ORDER = ("missing", "schedule", "state", "task", ROOM)
_ANYBODY = "SELECT 1 FROM instance WHERE waits_for = ? LIMIT 1"
_OLDEST = "SELECT id FROM instance WHERE waits_for = ? ORDER BY id LIMIT 1"
_HOLDER = "SELECT 1 FROM instance WHERE state_key = ? AND state = 'running' LIMIT 1"
_OF_TASK = "SELECT count(*) FROM (SELECT 1 FROM instance WHERE task = ? AND state = 'running' LIMIT ?) r"
_OF_ALL = "SELECT count(*) FROM (SELECT 1 FROM instance WHERE state = 'running' LIMIT ?) r"
# older ones, and retries of older ones: who comes later, where overlap is allowed, must not keep it waiting for ever
_BEFORE_IT = (
    "SELECT 1 FROM instance WHERE schedule = ? AND state IN ('queued', 'running') "
    "AND (waits_for IS NULL OR waits_for <> ?) AND CASE WHEN attempt > 1 THEN retry_of ELSE id END < ? LIMIT 1"
)


class Claimant(Struct, frozen=True):
    """Somebody who wants to begin: a run of `task` with its state, which may have to wait for its schedule, too."""

    task: Task[Any, Any]
    state_key: str | None

    def lines(self, work: Work) -> list[str]:
        """Return the lines that may hold it up, in the order in which it stands in them."""
        found = [] if self.state_key is None else [f"state:{self.state_key}"]
        if self.task.max_running is not None:
            found.append(f"task:{self.task.name}")
        return found if work.most_running is None else [*found, ROOM]


def schedule_line(schedule: str) -> str:
    """Return the line of those who wait for what goes on of a schedule."""
    return f"schedule:{schedule}"


def missing_line(task: str) -> str:
    """Return the line of those whose task is not in the code."""
    return f"missing:{task}"


def line_for(work: Work, claimant: Claimant, own: str = "") -> str | None:
    """Return the line in which somebody has to wait, None when it may begin: then it has taken its places.

    The first of the line `own` has been called; a newcomer has to stand behind all who wait.
    """
    lines = claimant.lines(work)
    passed = lines.index(own) if own in lines else -1
    for place, line in enumerate(lines):
        if _free(work, line) <= 0 or (place > passed and _somebody_waits(work, line)):
            work.lines[line] = True
            if place < passed:
                work.stirred.update(dict.fromkeys(lines[place + 1 : passed]))  # it gives back the places it kept there
            return line
    take_places(work, lines)
    return None


def moves_on(own: str, following: str | None) -> bool:
    """Tell whether the first of the line `own` now stands in a later one."""
    return following is not None and _order(following) > _order(own)


def _order(line: str) -> int:
    return _IN_ORDER.index(line.partition(":")[0])


def take_places(work: Work, lines: list[str]) -> None:
    """Count a run that begins."""
    for line in lines:
        work.free[line] -= 1


def is_open(work: Work, line: str, kept: int) -> bool:
    """Tell whether the first of a line may be called, when so many of it have moved on and keep their places."""
    kind, _, name = line.partition(":")
    if kind == "schedule":
        waiting = first_of(work, line)
        return waiting is not None and work.one(_BEFORE_IT, name, line, waiting) is None
    if kind == "missing":
        return name in work.tasks
    return _free(work, line) > kept


def first_of(work: Work, line: str) -> UUID | None:
    """Return who has waited longest in a line."""
    work.flush()
    row = work.one(_OLDEST, line)
    return None if row is None else work.dialect.uuid(row[0])


def _somebody_waits(work: Work, line: str) -> bool:
    """Tell whether a line has anybody in it; known for the whole transaction once it was asked."""
    if line not in work.lines:
        work.flush()
        work.lines[line] = work.one(_ANYBODY, line) is not None
    return work.lines[line]


def _free(work: Work, line: str) -> int:
    """Return how many more may begin; what ends meanwhile in this transaction counts when it is settled."""
    if line not in work.free:
        work.flush()
        work.free[line] = _count_free(work, line)
    return work.free[line]


def _count_free(work: Work, line: str) -> int:
    kind, _, name = line.partition(":")
    if kind == "state":
        return 0 if work.one(_HOLDER, name) is not None else 1
    if kind == "task":
        most = work.tasks[name].max_running if name in work.tasks else None
        return 1 << 30 if most is None else most - int(work.one(_OF_TASK, name, most)[0])
    if work.most_running is None:
        return 1 << 30
    return work.most_running - int(work.one(_OF_ALL, work.most_running)[0])
