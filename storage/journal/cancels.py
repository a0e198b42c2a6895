"""How instances are told to end: what runs gets the order, what is queued ends at once."""

from typing import Any

from callsheet.errors import Unknown
from callsheet.lifecycle import OUTCOMES
from storage.journal.commands import CancelInstance, CancelInstances
from storage.journal.facts import CancelRequested, InstanceEnded
from storage.journal.work import Over, Work

_COLUMNS = "id, state, task, schedule, state_key"
_ORDER = "UPDATE instance SET cancel_at = ?, cancel_by = ?, cancel_reason = ? WHERE id = ? AND cancel_at IS NULL"
_CANCEL_QUEUED = (
    "UPDATE instance SET state = 'cancelled', finished_at = ?, start_after = NULL, waits_for = NULL "
    "WHERE id = ? AND state = 'queued'"
)


def cancel_instance(work: Work, command: CancelInstance) -> bool:
    """Order a running instance to be cancelled, or end a queued one; False when it was over."""
    work.flush()
    row = work.one(f"SELECT {_COLUMNS} FROM instance WHERE id = ?", command.instance)
    if row is None:
        raise Unknown("instance", command.instance)
    if row[1] in OUTCOMES:
        return False
    _cancel(work, [row], command.by, command.reason)
    return True


def cancel_instances(work: Work, command: CancelInstances) -> int:
    """Cancel every unfinished instance that matches all that is given; return how many."""
    work.flush()
    rows = work.all(*_matching(command))
    _cancel(work, rows, command.by, command.reason)
    return len(rows)


def cancel_unfinished(work: Work, schedule: str, by: str, reason: str, states: tuple[str, ...]) -> None:
    """Cancel what is in one of these states of a schedule."""
    work.flush()
    marks = ", ".join("?" * len(states))
    sql = f"SELECT {_COLUMNS} FROM instance WHERE schedule = ? AND state IN ({marks})"
    _cancel(work, work.all(sql, schedule, *states), by, reason)


def _matching(command: CancelInstances) -> tuple[Any, ...]:
    given = [("task = ?", command.task), ("schedule = ?", command.schedule)]
    given.append(("id IN (SELECT instance FROM instance_tag WHERE tag = ?)", command.tag))
    terms = ["state IN ('queued', 'running')"] + [term for term, value in given if value is not None]
    sql = f"SELECT {_COLUMNS} FROM instance WHERE " + " AND ".join(terms)
    return sql, *(value for _, value in given if value is not None)


def _cancel(work: Work, rows: list[Any], by: str, reason: str | None) -> None:
    """Order the instances of `rows` (_COLUMNS) to be cancelled; what is queued ends at once."""
    found = [(work.dialect.uuid(row[0]), *row[1:]) for row in rows]
    work.dialect.update(work.cursor, _ORDER, [(work.now, by, reason, instance) for instance, *_ in found])
    queued = [instance for instance, state, *_ in found if state == "queued"]
    work.dialect.update(work.cursor, _CANCEL_QUEUED, [(work.now, instance) for instance in queued])
    for instance, state, task, schedule, key in found:
        assert instance is not None
        work.facts.append(CancelRequested(instance, schedule, by, reason))
        if state == "queued":
            work.facts.append(InstanceEnded(instance, task, schedule, "cancelled", 0.0))
            work.over.append(Over(instance, task, schedule, key, "cancelled"))
