"""The half of the ledger that has rows of its own: due times that started nothing."""

from typing import Any
from uuid import UUID

from callsheet.firing import Omitted
from storage.journal.facts import DueOmitted
from storage.journal.work import Work

_LATEST = (
    "SELECT id, fate, reason, last_due, blocked_by FROM omission WHERE schedule = ? ORDER BY last_due DESC LIMIT 1"
)
_LENGTHEN = "UPDATE omission SET last_due = ?, count = count + ? WHERE id = ?"
_INSERT = (
    "INSERT INTO omission (schedule, fate, reason, first_due, last_due, count, blocked_by) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_RAN_SINCE = "SELECT 1 FROM instance WHERE schedule = ? AND due_at > ? LIMIT 1"


def record_omission(work: Work, schedule: str, omitted: Omitted, blocked_by: UUID | None) -> None:
    """Write due times that started nothing; they lengthen the row before them if their fate is the same."""
    fact = DueOmitted(schedule, omitted.fate, omitted.reason, omitted.first, omitted.last, omitted.count, blocked_by)
    work.facts.append(fact)
    row = work.one(_LATEST, schedule)
    if row is not None and _continues(work, fact, row):
        work.execute(_LENGTHEN, omitted.last, omitted.count, row[0])
        return
    insert_omission(work, schedule, omitted, blocked_by)


def insert_omission(work: Work, schedule: str, omitted: Omitted, blocked_by: UUID | None) -> None:
    """Write a row of its own."""
    work.execute(
        _INSERT, schedule, omitted.fate, omitted.reason, omitted.first, omitted.last, omitted.count, blocked_by
    )


def _continues(work: Work, fact: DueOmitted, row: Any) -> bool:
    _, fate, reason, last_due, blocker = row
    if (fate, reason, work.dialect.uuid(blocker)) != (fact.fate, fact.reason, fact.blocked_by):
        return False
    work.flush()
    return work.one(_RAN_SINCE, fact.schedule, last_due) is None
