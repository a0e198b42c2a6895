"""What follows from the ends of a transaction, before its commit: schedules that come after, and whose turn it is."""

from storage.journal.followers import fire_followers
from storage.journal.starts import release
from storage.journal.turns import ROOM, first_of, is_open, moves_on, schedule_line
from storage.journal.work import Over, Work

_FOLLOWS_AND_WAITS = (
    "SELECT (SELECT 1 FROM schedule WHERE follows IS NOT NULL LIMIT 1), "
    "(SELECT 1 FROM instance WHERE waits_for IS NOT NULL LIMIT 1)"
)
_LINES = "SELECT DISTINCT waits_for FROM instance WHERE waits_for >= ? AND waits_for < ?"


def settle(work: Work) -> None:
    """Do all that follows; what ends meanwhile, such as what is replaced, has its own consequences."""
    while work.over or work.stirred:
        over, work.over = work.over, []
        work.flush()
        follows, waits = work.one(_FOLLOWS_AND_WAITS)
        if follows:
            fire_followers(work, over)
        stirred, work.stirred = work.stirred, {}
        if (follows or waits) and not work.draining:
            call_next(work, list(dict.fromkeys([*stirred, *_lines_of(work, over)])))


def call_next(work: Work, lines: list[str]) -> None:
    """Let those begin who are first in these lines, as far as there is room."""
    work.flush()
    for line in lines:
        work.free.pop(line, None)
        work.lines.pop(line, None)
    for line in lines:
        _call_next_of(work, line)


def _call_next_of(work: Work, line: str) -> None:
    kept = 0
    while is_open(work, line, kept):
        waiting = first_of(work, line)
        if waiting is None:
            break
        kept += moves_on(line, release(work, waiting, line))
    work.lines.pop(line, None)


def schedule_lines(work: Work) -> list[str]:
    """Return the lines of schedules in which somebody stands."""
    return [row[0] for row in work.all(_LINES, schedule_line(""), "schedule;")]


def _lines_of(work: Work, over: list[Over]) -> list[str]:
    """Return the lines that the ends of these instances may move."""
    lines: dict[str, None] = {}
    for one in over:
        if one.schedule is not None:
            lines[schedule_line(one.schedule)] = None
        if one.state_key is not None:
            lines[f"state:{one.state_key}"] = None
        task = work.tasks.get(one.task)
        if task is not None and task.max_running is not None:
            lines[f"task:{one.task}"] = None
    if work.most_running is not None:
        lines[ROOM] = None
    return list(lines)
