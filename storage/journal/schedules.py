"""Changes to schedules: never a firing, always effective for due times strictly after the change."""

from typing import Any
from uuid import UUID, uuid4

import msgspec
from pony import orm

from callsheet.definition import Definition, check_slug, define, document_of, merge_patch
from callsheet.errors import FieldError, Invalid, Outdated, Refused, Unknown
from callsheet.firing import Omitted, advance, fire_time
from callsheet.instants import format_instant
from callsheet.timetable import count_due, last_due
from storage.journal.claims import record_omission
from storage.journal.commands import (
    ANY_VERSION,
    DeleteSchedule,
    PatchSchedule,
    PauseSchedule,
    PutSchedule,
    ResumeSchedule,
)
from storage.journal.facts import CancelRequested, InstanceEnded, ScheduleChanged, instance_uri
from storage.journal.work import Work
from storage.queries.schedules import definition_of, record_of
from storage.records import ScheduleRecord
from storage.triggers import dump_trigger, load_trigger


def put_schedule(work: Work, command: PutSchedule) -> tuple[bool, ScheduleRecord]:
    """Create a schedule or replace its definition; the same document again changes nothing."""
    slug = str(uuid4()) if command.id is None else check_slug(command.id)
    row = _find(work, slug)
    stands = row is not None and row.state != "deleted"
    if stands and command.create_only:
        raise Refused(f"There is a schedule {slug!r} already.", blocked_by=f"/v1/schedules/{slug}")
    if not stands and command.if_match is not None:
        raise Outdated(f"There is no schedule {slug!r} that could match.")
    if not stands:
        definition = define(command.document, work.tasks, now=work.now)
        return True, _create(work, slug, definition, row)
    _check_version(row, command.if_match)
    before = definition_of(row)
    return False, _change(work, row, define(command.document, work.tasks, now=work.now, before=before))


def patch_schedule(work: Work, command: PatchSchedule) -> ScheduleRecord:
    """Merge a patch into a schedule's document and put the result."""
    row = _get(work, command.id)
    _check_version(row, command.if_match)
    if not isinstance(command.patch, dict):
        raise Invalid(FieldError("", "must be an object"))
    before = definition_of(row)
    merged = merge_patch(_patchable(before, command.patch), command.patch)
    return _change(work, row, define(merged, work.tasks, now=work.now, before=before))


def _patchable(before: Definition, patch: dict[str, Any]) -> dict[str, Any]:
    """Return the document that a patch merges into: a trigger of another kind or interval starts afresh."""
    document = document_of(before) | {"input": msgspec.json.decode(before.input)}
    document = {name: value for name, value in document.items() if value is not None or name == "input"}
    trigger = patch.get("trigger")
    if isinstance(trigger, dict):
        kind = next((kind for kind in ("every", "cron", "at") if kind in document["trigger"]), "")
        if any(other in trigger for other in ("every", "cron", "at") if other != kind):
            document["trigger"] = {}
        elif "every" in trigger and trigger["every"] != document["trigger"]["every"]:
            document["trigger"].pop("anchor", None)
    return document


def pause_schedule(work: Work, command: PauseSchedule) -> ScheduleRecord:
    """Plan nothing more; pausing what is paused changes the reason and the end."""
    row = _get(work, command.id)
    _check_version(row, command.if_match)
    if row.state == "finished":
        raise Refused(f"The schedule {row.id!r} is finished: there is nothing to pause.")
    if command.until is not None and command.until <= work.now:
        raise Invalid(FieldError("/until", f"has passed: it is {format_instant(work.now)} now"))
    _drop_overtaken(work, row, "paused")
    row.set(state="paused", state_reason=command.reason, next_due=None, next_fire=command.until)
    return _touched(work, row, "paused", command.reason)


def resume_schedule(work: Work, command: ResumeSchedule) -> ScheduleRecord:
    """Plan again from now on, strictly in the future; an active schedule stays as it is."""
    row = _get(work, command.id)
    _check_version(row, command.if_match)
    if row.state not in ("paused", "blocked"):
        return record_of(row)
    _drop_overtaken(work, row, "resumed")
    _plan(work, row, definition_of(row))
    return _touched(work, row, "resumed")


def delete_schedule(work: Work, command: DeleteSchedule) -> list[str]:
    """Fire it no more. Its history and URIs stay; what runs finishes, or is cancelled when asked."""
    row = _get(work, command.id)
    _check_version(row, command.if_match)
    _drop_overtaken(work, row, "deleted")
    row.set(state="deleted", state_reason=None, next_due=None, next_fire=None)
    work.entities.ScheduleTag.select(lambda link: link.schedule == command.id).delete(bulk=True)
    _touched(work, row, "deleted")
    orm.flush()
    return _settle_running(work, command)


def _settle_running(work: Work, command: DeleteSchedule) -> list[str]:
    """Cancel what is queued (a retry is a firing, too) and, when asked, what runs; return the URIs that still run."""
    rows = work.all("SELECT id, state FROM instance WHERE schedule = ? AND state IN ('queued', 'running')", command.id)
    for instance, state in [(work.dialect.uuid(row[0]), row[1]) for row in rows]:
        assert instance is not None
        if state == "queued":
            _drop_queued(work, instance, command.id)
        elif command.cancel_running:
            work.execute(
                "UPDATE instance SET cancel_at = ?, cancel_by = ?, cancel_reason = ? WHERE id = ?",
                work.now, "api", "schedule deleted", instance,
            )  # fmt: skip
            work.facts.append(CancelRequested(instance, command.id, "api", "schedule deleted"))
    return [str(instance_uri(work.dialect.uuid(row[0]))) for row in rows if row[1] == "running"]


def _drop_queued(work: Work, instance: UUID, schedule: str) -> None:
    (task,) = work.one("SELECT task FROM instance WHERE id = ?", instance)
    work.facts.append(InstanceEnded(instance, task, schedule, "cancelled", 0.0))
    work.execute(
        "UPDATE instance SET state = 'cancelled', finished_at = ?, start_after = NULL, cancel_at = ?, cancel_by = ?, "
        "cancel_reason = ? WHERE id = ?",
        work.now, work.now, "api", "schedule deleted", instance,
    )  # fmt: skip


def _find(work: Work, slug: str) -> Any:
    return work.entities.Schedule.get(id=slug)


def _get(work: Work, slug: str) -> Any:
    row = _find(work, slug)
    if row is None or row.state == "deleted":
        raise Unknown("schedule", slug)
    return row


def _check_version(row: Any, if_match: tuple[int, ...] | None) -> None:
    if if_match is not None and ANY_VERSION not in if_match and row.version not in if_match:
        raise Outdated(f"The schedule {row.id!r} is at version {row.version}: read it again.")


def _create(work: Work, slug: str, definition: Definition, old: Any) -> ScheduleRecord:
    """Write a new schedule; over a deleted one, versions and due times go on from where they were."""
    columns = _columns(definition)
    if old is None:
        row = work.entities.Schedule(
            id=slug, state="active", version=0, created_at=work.now, updated_at=work.now, **columns
        )
    else:
        row = old
        row.set(created_at=work.now, state_reason=None, **columns)
        _forget_state(work, slug)
    _link_tags(work, slug, definition)
    _plan(work, row, definition)
    return _touched(work, row, "created")


def _forget_state(work: Work, slug: str) -> None:
    """A schedule that is created again is a new one: it inherits no state, and what runs of the old one saves none."""
    orm.flush()
    own = f"{slug}\n", f"{slug}\v"  # from the first to past the last key that `state_key` makes of this schedule
    work.execute("DELETE FROM task_state WHERE key > ? AND key < ?", *own)
    work.execute(
        "UPDATE instance SET state_key = NULL "
        "WHERE schedule = ? AND state IN ('queued', 'running') AND state_key > ? AND state_key < ?",
        slug, *own,
    )  # fmt: skip


def _change(work: Work, row: Any, definition: Definition) -> ScheduleRecord:
    """Replace the definition of a schedule that stands; nothing fires, and due times move only if the trigger did."""
    before = definition_of(row)
    if definition == before:
        return record_of(row)
    replanned = row.state != "paused" and (
        row.state != "active" or (definition.trigger, definition.jitter) != (before.trigger, before.jitter)
    )
    if replanned:
        _drop_overtaken(work, row, "updated")
    row.set(**_columns(definition))
    if definition.tags != before.tags:
        _link_tags(work, row.id, definition)
    if replanned:
        _plan(work, row, definition)
    return _touched(work, row, "updated")


def _columns(definition: Definition) -> dict[str, Any]:
    return {
        "task": definition.task,
        "input": definition.input.decode(),
        "trigger": dump_trigger(definition.trigger),
        "overlap": definition.overlap,
        "catch_up": definition.catch_up,
        "catch_up_window": definition.catch_up_window,
        "jitter": definition.jitter,
        "timeout": definition.timeout,
        "tags": msgspec.json.encode(definition.tags).decode(),
    }


def _plan(work: Work, row: Any, definition: Definition) -> None:
    """Set the next due time: strictly after now, and after every due time that the ledger holds."""
    following = advance(definition.trigger, max(work.now, row.last_due or 0))
    row.next_due = following
    row.next_fire = fire_time(row.id, definition.trigger, following, definition.jitter)
    row.set(state="finished" if following is None else "active", state_reason=None)


def _drop_overtaken(work: Work, row: Any, reason: str) -> None:
    """Account for the due times that had come before this change but were not claimed: nothing may run them now."""
    if row.next_fire is None or row.next_due is None or row.next_due > work.now:
        return
    trigger, after = load_trigger(row.trigger), row.next_due - 1
    last = last_due(trigger, after, work.now)
    if last is None:
        return
    count = count_due(trigger, after, last)
    record_omission(work, row.id, Omitted("dropped", reason, row.next_due, last, count), None)
    row.last_due = last


def _link_tags(work: Work, slug: str, definition: Definition) -> None:
    orm.flush()
    work.entities.ScheduleTag.select(lambda link: link.schedule == slug).delete(bulk=True)
    for tag in definition.tags:
        work.entities.ScheduleTag(tag=tag, schedule=slug)


def _touched(work: Work, row: Any, change: str, reason: str | None = None) -> ScheduleRecord:
    row.version += 1
    row.updated_at = work.now
    work.facts.append(ScheduleChanged(row.id, change, row.version, reason))
    return record_of(row)
