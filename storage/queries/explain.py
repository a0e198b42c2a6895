"""Why did it run, or why not: one due time of a schedule, what became of it, and what could stop the next one."""

from typing import Any
from uuid import UUID

from attrs import frozen

from callsheet.errors import Unknown
from callsheet.instants import SECOND, format_instant
from callsheet.lifecycle import UNFINISHED
from callsheet.timetable import After, count_due, last_due, local_time, next_due, trigger_of
from storage.database import Database
from storage.journal.facts import instance_uri
from storage.queries.reading import as_uuid, one, read
from storage.queries.schedules import record_of
from storage.records import LedgerEntry, ScheduleRecord

_RAN = (
    "SELECT id, due_at, attempt, state FROM instance WHERE schedule = ? AND due_at >= ? AND due_at < ? "
    "ORDER BY due_at DESC, attempt DESC LIMIT 1"
)
_OMITTED = (
    "SELECT fate, reason, first_due, last_due, count, blocked_by FROM omission WHERE schedule = ? AND last_due >= ? "
    "ORDER BY last_due LIMIT 1"
)
_GOES_ON = "SELECT id, state FROM instance WHERE schedule = ? AND state IN ('queued', 'running') LIMIT 1"


@frozen
class Hindrance:
    """Something that could keep the next due time from running."""

    reason: str
    detail: str
    instance: UUID | None = None


@frozen
class Explanation:
    """What is known about one instant of a schedule (times are instants).

    `due_at` is the due time meant, None when none falls there; `entry` its row of the ledger.
    """

    sentence: str
    at: int
    due_at: int | None
    entry: LedgerEntry | None
    previous: int | None
    following: int | None
    schedule: ScheduleRecord
    hindrances: list[Hindrance]


def explain(database: Database, slug: str, at: int | None, now: int) -> Explanation:
    """Explain the instant `at` of a schedule, None: its latest due time. A whole second means any moment of it."""
    return read(database, lambda db: _explain(db, slug, at, now))


def _explain(database: Database, slug: str, at: int | None, now: int) -> Explanation:
    row = database.entities.Schedule.get(id=slug)
    if row is None or row.state == "deleted":
        raise Unknown("schedule", slug)
    record = record_of(row)
    at = (record.last_due or record.next_due or now) if at is None else at
    end = at + (SECOND if at % SECOND == 0 else 1)
    entry = _entry(database, slug, at, end)
    due_at = _due_time(record, entry, at, end)
    if entry is not None and due_at is None and _is_exact(record, entry):
        entry = None  # at lies between two due times of one row
    hindrances = _hindrances(database, record)
    return Explanation(
        _sentence(record, at, due_at, entry, now), at, due_at, entry, last_due(_plan(record), -1, at - 1),
        record.next_due if record.state != "paused" else None, record, hindrances,
    )  # fmt: skip


def _due_time(record: ScheduleRecord, entry: LedgerEntry | None, at: int, end: int) -> int | None:
    """Return the due time in [at, end): as the ledger knows it, else as the present trigger names it."""
    known = [] if entry is None else [due for due in (entry.first_due, entry.last_due) if at <= due < end]
    return known[-1] if known else last_due(_plan(record), at - 1, end - 1)


def _is_exact(record: ScheduleRecord, entry: LedgerEntry) -> bool:
    """Tell whether a row of the ledger covers just what the trigger names now."""
    return count_due(_plan(record), entry.first_due - 1, entry.last_due) == entry.count


def _plan(record: ScheduleRecord) -> Any:
    return record.definition.plan


def _entry(database: Database, slug: str, start: int, end: int) -> LedgerEntry | None:
    """Return the row of the ledger that holds a due time in [start, end)."""
    ran = one(database, _RAN, slug, start, end)
    if ran is not None:
        instance, due, attempt, state = ran
        return LedgerEntry("ran", due, due, 1, instance=as_uuid(database, instance), state=state, attempt=attempt)
    found = one(database, _OMITTED, slug, start)
    if found is None or found[2] >= end:
        return None
    fate, reason, first, last, count, blocker = found
    return LedgerEntry(fate, first, last, count, reason, blocked_by=database.dialect.uuid(blocker))


def _sentence(record: ScheduleRecord, at: int, due_at: int | None, entry: LedgerEntry | None, now: int) -> str:
    when = _shown(record, at if due_at is None else due_at)
    if entry is not None and due_at is None:
        first, last = _shown(record, entry.first_due), _shown(record, entry.last_due)
        return (
            f"Its trigger was another one then: of the {entry.count} due times from {first} to {last}, each "
            f"{_fate(entry)}; whether one of them was at {when} cannot be told any more."
        )
    if entry is not None:
        return f"It was due at {when} and {_fate(entry)}."
    if due_at is None:
        return f"It {'was' if at <= now else 'is'} not due at {when}{_neighbours(record, at)}."
    if due_at > now:
        return f"It is due at {when}{_outlook(record, due_at)}."
    return f"Its trigger names {when}, but its ledger has no such due time: {_unrecorded(record, due_at)}."


_FATES = {
    ("skipped", "overlap"): "was skipped, for an instance of it still went on",
    ("skipped", "queue_full"): "was skipped, for one instance of it went on and another waited already",
    ("skipped", "requested"): "was skipped, as somebody had asked",
    ("missed", "downtime"): "was missed, for nobody was up, and its catch-up policy did not make up for it",
    ("missed", "late"): "was missed, for the service was late and ran the latest due time only",
    ("rejected", "task_missing"): "was rejected, for its task was not in the code",
    ("rejected", "input_invalid"): "was rejected, for its input did not fit its task any more",
    ("rejected", "trigger_failed"): "was rejected, for its trigger failed",
    ("dropped", "updated"): "was dropped, for the schedule was changed before it was claimed",
    ("dropped", "paused"): "was dropped, for the schedule was paused before it was claimed",
    ("dropped", "deleted"): "was dropped, for the schedule was deleted before it was claimed",
}


def _fate(entry: LedgerEntry) -> str:
    if entry.fate != "ran":
        words = _FATES.get((entry.fate, entry.reason or ""), f"was {entry.fate} ({entry.reason})")
        return words + (f": {instance_uri(entry.blocked_by)}" if entry.blocked_by else "")
    again = f" at attempt {entry.attempt}" if entry.attempt > 1 else ""
    state = entry.state or ""
    how = f"is {state}" if state in UNFINISHED else f"ended {state}"
    return f"ran as {instance_uri(entry.instance)}, which {how}{again}"


def _neighbours(record: ScheduleRecord, at: int) -> str:
    if isinstance(trigger_of(_plan(record)), After):
        return ", for it has no due times of its own"
    earlier, later = last_due(_plan(record), -1, at - 1), next_due(_plan(record), at)
    before = "" if earlier is None else f"; the due time before is {_shown(record, earlier)}"
    return before + ("" if later is None else f"; the one after is {_shown(record, later)}")


def _outlook(record: ScheduleRecord, due_at: int) -> str:
    if record.state != "active":
        return f" by its trigger, but the schedule is {record.state}" + _because(record)
    if due_at in record.skips:
        return " and will be skipped, as somebody asked"
    if _is_beyond_the_last_run(record, due_at):
        return " by its trigger, but max_runs is reached by then"
    return " and will run, unless something stops it"


def _is_beyond_the_last_run(record: ScheduleRecord, due_at: int) -> bool:
    """Tell whether `max_runs` will be reached before a due time to come, if all before it run."""
    if record.runs_left is None or record.next_due is None:
        return False
    skipped = sum(record.next_due <= due < due_at for due in record.skips)
    return count_due(_plan(record), record.next_due - 1, due_at - 1) - skipped >= record.runs_left


def _unrecorded(record: ScheduleRecord, due_at: int) -> str:
    if due_at <= record.created_at:
        return f"the schedule was created later, at {format_instant(record.created_at)}"
    if record.next_due is not None and due_at >= record.next_due and record.state == "active":
        return "it is about to be claimed"
    if record.state != "active":
        return f"the schedule is {record.state}{_because(record)}, and what comes meanwhile is not planned"
    if due_at <= record.updated_at:
        return "the schedule had another trigger then, was paused, or its history was removed since"
    return "the schedule was paused then, or its history was removed since"


def _because(record: ScheduleRecord) -> str:
    return f" ({record.state_reason})" if record.state_reason else ""


def _hindrances(database: Database, record: ScheduleRecord) -> list[Hindrance]:
    """Return what could stop the next due time, as things stand now."""
    found = []
    if record.state != "active":
        found.append(Hindrance(record.state, f"the schedule is {record.state}{_because(record)}"))
    if record.next_due is not None and record.next_due in record.skips:
        found.append(Hindrance("requested", "somebody asked to skip it"))
    row = one(database, _GOES_ON, record.id)
    if row is not None and record.definition.overlap in ("skip", "queue"):
        instance = as_uuid(database, row[0])
        then = "is skipped" if record.definition.overlap == "skip" else "has to wait"
        found.append(Hindrance("overlap", f"what comes while {instance_uri(instance)} is {row[1]} {then}", instance))
    return found


def _shown(record: ScheduleRecord, instant: int) -> str:
    utc, local = format_instant(instant), local_time(_plan(record), instant)
    return utc if local.endswith("+00:00") else f"{utc} ({local})"
