"""Changes to schedules: never a firing, always effective for due times strictly after the change."""

from typing import Any
from uuid import uuid4

import msgspec
from pony import orm

from callsheet.definition import Definition, check_slug, define, document_of, merge_patch
from callsheet.errors import FieldError, Invalid, Outdated, Refused, Unavailable, Unknown
from callsheet.firing import Omitted
from callsheet.instants import format_instant
from callsheet.lifecycle import UNFINISHED
from callsheet.timetable import KINDS, After, bounded, count_due, last_due
from storage.journal.cancels import cancel_unfinished
from storage.journal.commands import (
    ANY_VERSION,
    DeleteSchedule,
    PatchSchedule,
    PauseSchedule,
    PlanChange,
    PutSchedule,
    ResumeSchedule,
    Start,
)
from storage.journal.facts import ScheduleChanged, instance_uri
from storage.journal.followers import check_chain, upstream_created, upstream_deleted
from storage.journal.ledger import record_omission
from storage.journal.planning import planned_anew
from storage.journal.starts import start_one
from storage.journal.work import Work
from storage.queries.schedules import definition_of, record_of
from storage.records import ScheduleRecord
from storage.triggers import dump_trigger, load_trigger


def put_schedule(work: Work, command: PutSchedule) -> tuple[bool, ScheduleRecord]:
    """Create a schedule or replace its definition; the same document again changes nothing."""
    slug = str(uuid4()) if command.id is None else check_slug(command.id)
    row, definition = _to_put(work, slug, command)
    if row is None or row.state == "deleted":
        return True, _create(work, slug, definition, row)
    return False, _change(work, row, definition)


def patch_schedule(work: Work, command: PatchSchedule) -> ScheduleRecord:
    """Merge a patch into a schedule's document and put the result."""
    return _change(work, *_to_patch(work, command))


def plan_change(work: Work, command: PlanChange) -> tuple[ScheduleRecord | None, Definition]:
    """Tell what a change would come to, and write nothing."""
    if isinstance(command.change, PatchSchedule):
        row, definition = _to_patch(work, command.change)
    else:
        slug = "new" if command.change.id is None else check_slug(command.change.id)
        row, definition = _to_put(work, slug, command.change)
    return None if row is None or row.state == "deleted" else record_of(row), definition


def _to_put(work: Work, slug: str, command: PutSchedule) -> tuple[Any, Definition]:
    """Return the row that is there, maybe as deleted, and the definition that it is to get."""
    row = _find(work, slug)
    stands = row is not None and row.state != "deleted"
    if stands and command.create_only:
        raise Refused(f"There is a schedule {slug!r} already.", blocked_by=f"/v1/schedules/{slug}")
    if not stands and command.if_match is not None:
        raise Outdated(f"There is no schedule {slug!r} that could match.")
    if stands:
        check_version(row, command.if_match)
    before = definition_of(row) if stands else None
    return row, _checked(work, slug, define(command.document, work.tasks, now=work.now, before=before), before)


def _to_patch(work: Work, command: PatchSchedule) -> tuple[Any, Definition]:
    row = standing_row(work, command.id)
    check_version(row, command.if_match)
    if not isinstance(command.patch, dict):
        raise Invalid(FieldError("", "must be an object"))
    before = definition_of(row)
    merged = merge_patch(_patchable(before, command.patch), command.patch)
    return row, _checked(work, row.id, define(merged, work.tasks, now=work.now, before=before), before)


def _checked(work: Work, slug: str, definition: Definition, before: Definition | None) -> Definition:
    if before is None or definition.trigger != before.trigger:
        check_chain(work, slug, definition.trigger)
    return definition


def _patchable(before: Definition, patch: dict[str, Any]) -> dict[str, Any]:
    """Return the document that a patch merges into: a trigger of another kind or interval starts afresh."""
    document = document_of(before) | {"input": msgspec.json.decode(before.input)}
    document = {name: value for name, value in document.items() if value is not None or name == "input"}
    trigger = patch.get("trigger")
    if isinstance(trigger, dict):
        kind = next((kind for kind in KINDS if kind in document["trigger"]), "")
        if any(other in trigger for other in KINDS if other != kind):
            document["trigger"] = {}
        elif "every" in trigger and trigger["every"] != document["trigger"]["every"]:
            document["trigger"].pop("anchor", None)
    return document


def pause_schedule(work: Work, command: PauseSchedule) -> ScheduleRecord:
    """Plan nothing more; pausing what is paused changes the reason and the end."""
    row = standing_row(work, command.id)
    check_version(row, command.if_match)
    if row.state == "finished":
        raise Refused(f"The schedule {row.id!r} is finished: there is nothing to pause.")
    if command.until is not None and command.until <= work.now:
        raise Invalid(FieldError("/until", f"has passed: it is {format_instant(work.now)} now"))
    _drop_overtaken(work, row, "paused")
    row.set(state="paused", state_reason=command.reason, next_due=None, next_fire=command.until)
    return touched(work, row, "paused", command.reason)


def resume_schedule(work: Work, command: ResumeSchedule) -> ScheduleRecord:
    """Plan again from now on, strictly in the future; an active schedule stays as it is."""
    row = standing_row(work, command.id)
    check_version(row, command.if_match)
    if row.state not in ("paused", "blocked"):
        return record_of(row)
    _drop_overtaken(work, row, "resumed")
    _plan(work, row, definition_of(row))
    return touched(work, row, "resumed")


def delete_schedule(work: Work, command: DeleteSchedule) -> list[str]:
    """Fire it no more. Its history and URIs stay; what runs finishes, or is cancelled when asked."""
    row = standing_row(work, command.id)
    check_version(row, command.if_match)
    _drop_overtaken(work, row, "deleted")
    row.set(state="deleted", state_reason=None, next_due=None, next_fire=None)
    work.entities.ScheduleTag.select(lambda link: link.schedule == command.id).delete(bulk=True)
    touched(work, row, "deleted")
    orm.flush()
    return _settle_running(work, command)


def _settle_running(work: Work, command: DeleteSchedule) -> list[str]:
    """Cancel what is queued (a retry is a firing, too) and, when asked, what runs; return the URIs that still run."""
    rows = work.all("SELECT id FROM instance WHERE schedule = ? AND state = 'running'", command.id)
    states = UNFINISHED if command.cancel_running else ("queued",)
    cancel_unfinished(work, command.id, work.by, "schedule deleted", states)
    upstream_deleted(work, command.id)
    return [str(instance_uri(work.dialect.uuid(row[0]))) for row in rows]


def _find(work: Work, slug: str) -> Any:
    return work.entities.Schedule.get(id=slug)


def standing_row(work: Work, slug: str) -> Any:
    """Return the row of a schedule that was not deleted; Unknown otherwise."""
    row = _find(work, slug)
    if row is None or row.state == "deleted":
        raise Unknown("schedule", slug)
    return row


def check_version(row: Any, if_match: tuple[int, ...] | None) -> None:
    """Refuse a change that is meant for another version."""
    if if_match is not None and ANY_VERSION not in if_match and row.version not in if_match:
        raise Outdated(f"The schedule {row.id!r} is at version {row.version}: read it again.")


def _create(work: Work, slug: str, definition: Definition, old: Any) -> ScheduleRecord:
    """Write a new schedule; over a deleted one, versions and due times go on from where they were."""
    if definition.run_on_create and work.draining:  # before anything is written
        raise Unavailable("The service is stopping and starts nothing new.")
    columns = columns_of(definition)
    if old is None:
        row = work.entities.Schedule(
            id=slug, state="active", version=0, created_at=work.now, updated_at=work.now, **columns
        )
    else:
        row = old
        row.set(created_at=work.now, state_reason=None, state_errors=None, run_count=0, skips="[]", **columns)
        _forget_state(work, slug)
        upstream_created(work, slug)
    _link_tags(work, slug, definition)
    if definition.run_on_create:
        row.run_count = 1
        orm.flush()
        run_at_once(work, row.id, definition)
    _plan(work, row, definition)
    return touched(work, row, "created")


def create_again(work: Work, slug: str, definition: Definition) -> None:
    """Create a schedule whose id belonged to one that was deleted."""
    _create(work, slug, definition, _find(work, slug))
    orm.flush()


def run_at_once(work: Work, slug: str, definition: Definition) -> None:
    """Run a new schedule right away: that is no due time of its trigger, but a run all the same."""
    start = Start(definition.task, definition.input, definition.timeout, definition.tags)
    in_turn = definition.overlap != "allow"  # an instance of a deleted schedule by the same id may still go on
    start_one(work, start, cause="create", schedule=slug, in_turn=in_turn)


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
    replanned = row.state != "paused" and (row.state != "active" or _moves(before) != _moves(definition))
    if replanned:
        _drop_overtaken(work, row, "updated")
    row.set(**columns_of(definition))
    if definition.tags != before.tags:
        _link_tags(work, row.id, definition)
    if replanned:
        _plan(work, row, definition)
    return touched(work, row, "updated")


def _moves(definition: Definition) -> tuple[object, ...]:
    """Return all that due times depend on."""
    return definition.plan, definition.jitter, definition.max_runs


def columns_of(definition: Definition) -> dict[str, Any]:
    """Return what the table holds of a definition."""
    trigger = definition.trigger
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
        "starts_at": definition.starts_at,
        "ends_at": definition.ends_at,
        "max_runs": definition.max_runs,
        "run_on_create": int(definition.run_on_create),
        "follows": trigger.schedule if isinstance(trigger, After) else None,
        "keep_for": definition.keep_for,
        "keep_last": definition.keep_last,
    }


def _plan(work: Work, row: Any, definition: Definition) -> None:
    """Set the next due time: strictly after now, and after every due time that the ledger holds."""
    left = None if definition.max_runs is None else definition.max_runs - row.run_count
    stands, reason = planned_anew(work, row.id, definition.plan, definition.jitter, row.last_due, left)
    row.set(state=stands.state, state_reason=reason, state_errors=None)
    row.set(next_due=stands.next_due, next_fire=stands.next_fire)


def _drop_overtaken(work: Work, row: Any, reason: str) -> None:
    """Account for the due times that had come before this change but were not claimed: nothing may run them now."""
    if row.next_fire is None or row.next_due is None or row.next_due > work.now:
        return
    plan, after = bounded(load_trigger(row.trigger), row.starts_at, row.ends_at), row.next_due - 1
    last = last_due(plan, after, work.now)
    if last is None:
        return
    count = count_due(plan, after, last)
    record_omission(work, row.id, Omitted("dropped", reason, row.next_due, last, count), None)
    row.last_due = last


def _link_tags(work: Work, slug: str, definition: Definition) -> None:
    orm.flush()
    work.entities.ScheduleTag.select(lambda link: link.schedule == slug).delete(bulk=True)
    for tag in definition.tags:
        work.entities.ScheduleTag(tag=tag, schedule=slug)


def touched(work: Work, row: Any, change: str, reason: str | None = None) -> ScheduleRecord:
    """Count and tell a change."""
    row.version += 1
    row.updated_at = work.now
    work.facts.append(ScheduleChanged(row.id, change, row.version, reason))
    return record_of(row)
