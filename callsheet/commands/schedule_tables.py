"""How schedules and due times look in tables."""

from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

from callsheet.client.values import known
from callsheet.commands.output import Columns, compact, length, local, when
from callsheet.models import Comparison, DueTime, Explanation, Filled, LedgerRow, LocalTime, Schedule

T = TypeVar("T")

SHOWN = 5  # due times of each kind that a comparison names

LIST: Columns[Schedule] = (
    ("id", lambda one: one.id),
    ("task", lambda one: one.task),
    ("state", lambda one: one.state),
    ("when", lambda one: one.description),
    ("next due", lambda one: when(one.next_due)),
)
WHOLE: Columns[Schedule] = (
    ("id", lambda one: one.id),
    ("task", lambda one: one.task),
    ("state", lambda one: f"{one.state}: {one.state_reason}" if one.state_reason else one.state),
    ("paused until", lambda one: when(one.paused_until)),
    ("when", lambda one: one.description),
    ("next due", lambda one: when(one.next_due)),
    ("in its zone", lambda one: one.next_due_local or ""),
    ("last due", lambda one: when(one.last_due)),
    ("left out", lambda one: ", ".join(local(skip) for skip in one.skips)),
    ("input", lambda one: compact(one.input)),
    ("overlap", lambda one: one.overlap),
    ("catch up", lambda one: f"{one.catch_up} within {length(one.catch_up_window)}"),
    ("jitter", lambda one: length(one.jitter) if one.jitter else ""),
    ("timeout", lambda one: length(one.timeout)),
    ("runs", lambda one: f"{one.run_count} of {one.max_runs}" if one.max_runs else ""),
    ("tags", lambda one: ", ".join(one.tags)),
    ("wrong", lambda one: "; ".join(f"{error.pointer} {error.detail}" for error in one.state_errors or ())),
    ("version", lambda one: str(one.version)),
    ("created", lambda one: when(one.created_at)),
    ("updated", lambda one: when(one.updated_at)),
)
LEDGER: Columns[LedgerRow] = (
    ("due", lambda one: local(known(one.due_at or one.first_due))),
    ("until", lambda one: local(known(one.last_due)) if (one.count or 1) > 1 else ""),
    ("fate", lambda one: one.fate),
    ("outcome", lambda one: one.outcome or one.reason or ("running" if one.fate == "ran" else "")),
    ("count", lambda one: str(one.count or 1)),
    ("instance", lambda one: (one.instance or one.blocked_by or "").rsplit("/", 1)[-1]),
)
DUE: Columns[LocalTime] = (
    ("due", lambda one: when(one.due_at)),
    ("in its zone", lambda one: one.local),
)
COMING: Columns[DueTime] = (
    ("schedule", lambda one: one.schedule),
    ("task", lambda one: one.task),
    ("due", lambda one: when(one.due_at)),
    ("", lambda one: "to be skipped" if one.skip else ""),
)
EXPLAINED: Columns[Explanation] = (
    ("schedule", lambda one: one.schedule),
    ("state", lambda one: f"{one.state}: {one.state_reason}" if one.state_reason else one.state),
    ("why", lambda one: one.explanation),
    ("due before", lambda one: when(one.previous_due)),
    ("next due", lambda one: when(one.next_due)),
    ("could stop it", lambda one: "; ".join(each.detail or each.reason for each in one.could_stop_it)),
)
FILLED: Columns[Filled] = (
    ("due", lambda one: local(one.due_at)),
    ("was", lambda one: one.before or ""),
    ("left out", lambda one: one.left_out or ""),
    ("instance", lambda one: (one.instance or "").rsplit("/", 1)[-1]),
)
COMPARED: Columns[Comparison] = (
    ("id", lambda one: one.id),
    ("would", lambda one: one.would),
    ("when", lambda one: one.description),
    ("compared until", lambda one: when(one.until)),
    ("appear", lambda one: times(one.appear, one.appearing)),
    ("vanish", lambda one: times(one.vanish, one.vanishing)),
    ("kept", lambda one: str(one.kept)),
)


def next_due(one: Schedule) -> str:
    """Return when a schedule is due next, to go on with a sentence; nothing for one that waits for another."""
    if one.next_due is not None:
        return f"; next due {when(one.next_due)}"
    return "" if "after" in one.trigger and one.state == "active" else "; nothing more is due"


def times(dues: list[LocalTime], count: int) -> str:
    """Return the first of some due times in words, with how many there are; nothing for none."""
    if not count:
        return ""
    named = ", ".join(local(due.due_at) for due in dues[:SHOWN])
    return f"{count}: {named}{', …' if count > SHOWN else ''}"


def some(items: Iterable[T], limit: int) -> Iterable[T]:
    """Return the first items."""
    return islice(items, limit)
