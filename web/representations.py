"""How records become what the API answers: times in UTC, durations as seconds, instances as URIs."""

from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from quart import Response

from actors.feed import event_document
from actors.messages import Sighting, Tried
from callsheet import models
from callsheet.changes import Difference
from callsheet.definition import Definition, document_of
from callsheet.instants import SECOND, to_datetime, to_seconds
from callsheet.tasks import Task
from callsheet.timetable import Plan, local_time
from storage.journal.backfills import Filled
from storage.queries.explain import Explanation
from storage.queries.schedules import Coming
from storage.records import (
    AuditRecord,
    EventRecord,
    InstanceRecord,
    LedgerEntry,
    LogRecord,
    NodeRecord,
    OutputRecord,
    ScheduleRecord,
    TokenRecord,
    WebhookRecord,
)

T = TypeVar("T")

_encoder = msgspec.json.Encoder()


def respond(body: object, status: int = 200, **headers: str) -> Response:
    """Return a JSON response; `_` in a header's name stands for `-`."""
    response = Response(_encoder.encode(body), status, content_type="application/json")
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response


def page(items: list[T], following: str | None) -> models.Page[T]:
    """Return a page of a list."""
    return models.Page(items=items, next=following)


def time_or_none(instant: int | None) -> datetime | None:
    """Return an instant as a time."""
    return None if instant is None else to_datetime(instant)


def raw(text: str | None) -> Any:
    """Return stored JSON, to stand in an answer as it is."""
    return None if text is None else msgspec.Raw(text.encode())


def schedule_uri(slug: str) -> str:
    """Return the URI of a schedule."""
    return f"/v1/schedules/{slug}"


def instance_uri(instance: UUID | str) -> str:
    """Return the URI of an instance."""
    return f"/v1/instances/{instance}"


def uri_or_none(instance: UUID | None) -> str | None:
    """Return the URI of an instance, if there is one."""
    return None if instance is None else f"/v1/instances/{instance}"


def schedule(record: ScheduleRecord) -> models.Schedule:
    """Return a schedule whole."""
    due = record.next_due if record.state == "active" else None
    return models.Schedule(
        id=record.id,
        uri=schedule_uri(record.id),
        state=record.state,
        state_reason=record.state_reason,
        state_errors=raw(record.state_errors),
        paused_until=time_or_none(record.paused_until),
        version=record.version,
        **document_of(record.definition),
        input=msgspec.Raw(record.definition.input),
        description=record.definition.description,
        next_due=time_or_none(due),
        next_due_local=None if due is None else local_time(record.definition.plan, due),
        last_due=time_or_none(record.last_due),
        run_count=record.run_count,
        skips=[to_datetime(one) for one in record.skips],
        created_at=to_datetime(record.created_at),
        updated_at=to_datetime(record.updated_at),
    )


def instance(record: InstanceRecord) -> models.Instance:
    """Return an instance as a list shows it."""
    timeout, first = record.timeout, uri_or_none(record.retry_of)
    return models.Instance(
        id=str(record.id),
        uri=instance_uri(record.id),
        task=record.task,
        schedule=record.schedule,
        cause=record.cause,
        running=record.state == "running",
        state=record.state,
        outcome=record.outcome,
        attempt=record.attempt,
        retry_of=first if record.attempt > 1 else None,
        rerun_of=first if record.cause == "rerun" else None,
        after=first if record.cause == "after" else None,
        node=record.node,
        input=raw(record.input),
        tags=raw(record.tags),
        timeout=None if timeout is None else to_seconds(timeout),
        due_at=time_or_none(record.due_at),
        queued_at=to_datetime(record.queued_at),
        start_after=time_or_none(record.start_after),
        waits_for=record.waits_for,
        started_at=time_or_none(record.started_at),
        finished_at=time_or_none(record.finished_at),
        late_by=_seconds(record.late),
        seconds=_seconds(record.took),
        cancel=_cancel(record),
        stuck=record.stuck is not None,
        stuck_at=record.stuck,
        error=raw(record.error),
    )


def instance_whole(record: InstanceRecord, outputs: list[str], seen: Sighting | None) -> models.Instance:
    """Return an instance with what it sent first, and what only memory knows while it runs."""
    whole = instance(record)
    whole.outputs, whole.progress = [raw(output) for output in outputs], None
    if seen is None or record.state != "running":
        return whole
    whole.started_at = time_or_none(seen.started_at) or whole.started_at
    if seen.progress is not None:
        whole.progress = models.Progress(*seen.progress)
    return whole


def _seconds(duration: int | None) -> float | None:
    return None if duration is None else duration / SECOND


def _cancel(record: InstanceRecord) -> models.Cancel | None:
    if record.cancel_at is None:
        return None
    return models.Cancel(to_datetime(record.cancel_at), record.cancel_by, record.cancel_reason)


def output(record: OutputRecord) -> models.Output:
    """Return one output."""
    return models.Output(record.seq, to_datetime(record.at), raw(record.value))


def log_line(record: LogRecord) -> models.LogLine:
    """Return one line of log."""
    return models.LogLine(record.seq, to_datetime(record.at), record.level, record.text, raw(record.fields) or {})


def end(record: InstanceRecord) -> dict[str, Any]:
    """Return how an instance ended, as its streams tell it."""
    return {
        "outcome": record.outcome,
        "uri": instance_uri(record.id),
        "finished_at": time_or_none(record.finished_at),
        "error": raw(record.error),
    }


def event(record: EventRecord) -> dict[str, Any]:
    """Return one event, in the shape of models.Event."""
    return event_document(record)


def webhook(record: WebhookRecord) -> models.Webhook:
    """Return a webhook; its secret is shown when it is made, and never again."""
    return models.Webhook(
        id=str(record.id),
        uri=f"/v1/webhooks/{record.id}",
        url=record.url,
        events=list(record.events),
        schedules=list(record.schedules),
        enabled=record.state == "active",
        disabled_because=record.state_reason,
        pending=record.pending,
        last_delivered_at=time_or_none(record.delivered_at),
        last_failed_at=time_or_none(record.failed_at),
        last_error=record.last_error,
        created_at=to_datetime(record.created_at),
        updated_at=to_datetime(record.updated_at),
    )


def tried(how: Tried) -> models.Tried:
    """Return how an attempt to deliver a message went."""
    return models.Tried(how.error is None, how.status, how.seconds, how.error)


def ledger_entry(entry: LedgerEntry) -> models.LedgerRow:
    """Return one row of a ledger."""
    if entry.fate == "ran":
        assert entry.instance is not None
        state = entry.state or ""
        return models.LedgerRow(
            fate="ran",
            due_at=to_datetime(entry.last_due),
            instance=instance_uri(entry.instance),
            outcome=None if state in ("queued", "running") else state,
            attempt=entry.attempt,
        )
    return models.LedgerRow(
        fate=entry.fate,
        reason=entry.reason,
        first_due=to_datetime(entry.first_due),
        last_due=to_datetime(entry.last_due),
        count=entry.count,
        blocked_by=uri_or_none(entry.blocked_by),
    )


def coming(due: Coming) -> models.DueTime:
    """Return one due time that is to come."""
    return models.DueTime(
        schedule=due.schedule,
        uri=schedule_uri(due.schedule),
        task=due.task,
        due_at=to_datetime(due.due_at),
        local=local_time(due.trigger, due.due_at),
        skip=due.skip,
    )


def explanation(found: Explanation) -> models.Explanation:
    """Return what is known about one instant of a schedule."""
    plan, following = found.schedule.definition.plan, found.following
    return models.Explanation(
        explanation=found.sentence,
        schedule=found.schedule.id,
        state=found.schedule.state,
        state_reason=found.schedule.state_reason,
        at=to_datetime(found.at),
        due=found.due_at is not None,
        due_at=time_or_none(found.due_at),
        ledger=None if found.entry is None else ledger_entry(found.entry),
        previous_due=time_or_none(found.previous),
        next_due=time_or_none(following),
        next_due_local=None if following is None else local_time(plan, following),
        could_stop_it=[models.Hindrance(one.reason, one.detail, uri_or_none(one.instance)) for one in found.hindrances],
    )


def comparison(
    name: str, before: ScheduleRecord | None, definition: Definition, found: Difference, now: int
) -> models.Comparison:
    """Return what a change would do, with the document that it would leave."""
    old = None if before is None else before.definition
    return models.Comparison(
        dry_run=True,
        id=name,
        would="create" if old is None else "change nothing" if old == definition else "update",
        schedule={**document_of(definition), "input": msgspec.Raw(definition.input)},
        description=definition.description,
        since=to_datetime(now),
        until=to_datetime(found.until),
        appear=due_times(definition.plan, found.appear),
        vanish=due_times((old or definition).plan, found.vanish),
        appearing=found.appearing,
        vanishing=found.vanishing,
        kept=found.kept,
    )


def due_times(plan: Plan, dues: list[int]) -> list[models.LocalTime]:
    """Return due times, also in the zone of their trigger."""
    return [models.LocalTime(to_datetime(due), local_time(plan, due)) for due in dues]


def filled(one: Filled) -> models.Filled:
    """Return what becomes of one due time of a backfill."""
    return models.Filled(to_datetime(one.due_at), one.before, one.left_out, uri_or_none(one.instance))


def task(definition: Task[Any, Any]) -> models.Task:
    """Return a task definition."""
    retries = definition.retries
    return models.Task(
        name=definition.name,
        doc=definition.doc,
        origin=definition.origin,
        input_schema=definition.input_schema(),
        output_schema=definition.output_schema(),
        timeout=None if definition.timeout is None else to_seconds(definition.timeout),
        retries=0 if retries is None else retries.count,
        idempotent=definition.idempotent,
        max_running=definition.max_running,
        state=definition.state_scope if definition.stateful else None,
    )


def node(record: NodeRecord) -> models.Node:
    """Return one boot of a node."""
    return models.Node(
        name=record.name,
        boot=str(record.boot),
        host=record.host,
        pid=record.pid,
        started_at=to_datetime(record.started_at),
        seen_at=to_datetime(record.seen_at),
        stopped_at=time_or_none(record.stopped_at),
    )


def token(record: TokenRecord, now: int) -> models.Token:
    """Return an API key, without the key."""
    return models.Token(
        id=str(record.id),
        name=record.name,
        role=record.role,
        state=record.state(now),
        created_at=to_datetime(record.created_at),
        created_by=record.created_by,
        expires_at=time_or_none(record.expires_at),
        revoked_at=time_or_none(record.revoked_at),
    )


def audit(record: AuditRecord) -> models.AuditEntry:
    """Return an entry of the audit."""
    return models.AuditEntry(
        id=str(record.id),
        at=to_datetime(record.at),
        by=record.by,
        action=record.action,
        schedule=record.schedule,
        instance=uri_or_none(record.instance),
        data=raw(record.data),
    )
