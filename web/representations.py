"""How records look as JSON: times as RFC 3339 in UTC, durations as seconds, instances as URIs."""

from typing import Any

import msgspec
from quart import Response

from actors.messages import Sighting
from callsheet.changes import Difference
from callsheet.definition import Definition, document_of
from callsheet.instants import SECOND, format_instant, to_seconds
from callsheet.tasks import Task
from callsheet.timetable import local_time
from storage.journal.facts import instance_uri
from storage.queries.explain import Explanation
from storage.queries.schedules import Coming
from storage.records import (
    AuditRecord,
    InstanceRecord,
    LedgerEntry,
    LogRecord,
    NodeRecord,
    OutputRecord,
    ScheduleRecord,
    TokenRecord,
)

_encoder = msgspec.json.Encoder()


def respond(body: object, status: int = 200, **headers: str) -> Response:
    """Return a JSON response; `_` in a header's name stands for `-`."""
    response = Response(_encoder.encode(body), status, content_type="application/json")
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response


def page(items: list[dict[str, Any]], following: str | None) -> dict[str, Any]:
    """Return a page of a list."""
    return {"items": items, "next": following}


def time_or_none(instant: int | None) -> str | None:
    """Return an instant as text."""
    return None if instant is None else format_instant(instant)


def raw(text: str | None) -> msgspec.Raw | None:
    """Return stored JSON, to stand in a document as it is."""
    return None if text is None else msgspec.Raw(text.encode())


def schedule_uri(slug: str | None) -> str | None:
    """Return the URI of a schedule."""
    return None if slug is None else f"/v1/schedules/{slug}"


def schedule(record: ScheduleRecord) -> dict[str, Any]:
    """Return a schedule whole."""
    due = record.next_due if record.state == "active" else None
    return {
        "id": record.id,
        "uri": schedule_uri(record.id),
        "state": record.state,
        "state_reason": record.state_reason,
        "state_errors": raw(record.state_errors),
        "paused_until": time_or_none(record.paused_until),
        "version": record.version,
        **document_of(record.definition),
        "input": msgspec.Raw(record.definition.input),
        "description": record.definition.description,
        "next_due": time_or_none(due),
        "next_due_local": None if due is None else local_time(record.definition.plan, due),
        "last_due": time_or_none(record.last_due),
        "run_count": record.run_count,
        "skips": [format_instant(one) for one in record.skips],
        "created_at": format_instant(record.created_at),
        "updated_at": format_instant(record.updated_at),
    }


def instance(record: InstanceRecord) -> dict[str, Any]:
    """Return an instance as a list shows it."""
    timeout = record.timeout
    return {
        "id": str(record.id),
        "uri": instance_uri(record.id),
        "task": record.task,
        "schedule": record.schedule,
        "cause": record.cause,
        "running": record.state == "running",
        "state": record.state,
        "outcome": record.outcome,
        "attempt": record.attempt,
        "retry_of": instance_uri(record.retry_of) if record.attempt > 1 else None,
        "rerun_of": instance_uri(record.retry_of) if record.cause == "rerun" else None,
        "after": instance_uri(record.retry_of) if record.cause == "after" else None,
        "node": record.node,
        "input": raw(record.input),
        "tags": raw(record.tags),
        "timeout": None if timeout is None else to_seconds(timeout),
        "due_at": time_or_none(record.due_at),
        "queued_at": format_instant(record.queued_at),
        "start_after": time_or_none(record.start_after),
        "waits_for": record.waits_for,
        "started_at": time_or_none(record.started_at),
        "finished_at": time_or_none(record.finished_at),
        "late_by": _late_by(record),
        "seconds": _seconds(record),
        "cancel": _cancel(record),
        "stuck": record.stuck is not None,
        "stuck_at": record.stuck,
        "error": raw(record.error),
    }


def instance_whole(record: InstanceRecord, outputs: list[str], seen: Sighting | None) -> dict[str, Any]:
    """Return an instance with what it sent first, and what only memory knows while it runs."""
    body = instance(record) | {"outputs": [raw(output) for output in outputs], "progress": None}
    if seen is None or record.state != "running":
        return body
    body["started_at"] = time_or_none(seen.started_at) or body["started_at"]
    if seen.progress is not None:
        done, total, note = seen.progress
        body["progress"] = {"done": done, "total": total, "note": note}
    return body


def _late_by(record: InstanceRecord) -> float | None:
    if record.due_at is None or record.started_at is None or record.attempt > 1:
        return None
    return max(record.started_at - record.due_at, 0) / SECOND


def _seconds(record: InstanceRecord) -> float | None:
    if record.started_at is None or record.finished_at is None or record.state == "lost":
        return None  # of what is lost nobody knows when it ended, only when that was found out
    return max(record.finished_at - record.started_at, 0) / SECOND


def _cancel(record: InstanceRecord) -> dict[str, Any] | None:
    if record.cancel_at is None:
        return None
    return {
        "requested_at": format_instant(record.cancel_at),
        "by": record.cancel_by,
        "reason": record.cancel_reason,
    }


def output(record: OutputRecord) -> dict[str, Any]:
    """Return one output."""
    return {"seq": record.seq, "at": format_instant(record.at), "value": raw(record.value)}


def log_line(record: LogRecord) -> dict[str, Any]:
    """Return one line of log."""
    return {
        "seq": record.seq,
        "at": format_instant(record.at),
        "level": record.level,
        "text": record.text,
        "fields": raw(record.fields) or {},
    }


def ledger_entry(entry: LedgerEntry) -> dict[str, Any]:
    """Return one row of a ledger."""
    if entry.fate == "ran":
        state = entry.state or ""
        return {
            "fate": "ran",
            "due_at": format_instant(entry.last_due),
            "instance": instance_uri(entry.instance),
            "outcome": None if state in ("queued", "running") else state,
            "attempt": entry.attempt,
        }
    return {
        "fate": entry.fate,
        "reason": entry.reason,
        "first_due": format_instant(entry.first_due),
        "last_due": format_instant(entry.last_due),
        "count": entry.count,
        "blocked_by": instance_uri(entry.blocked_by),
    }


def coming(due: Coming) -> dict[str, Any]:
    """Return one due time that is to come."""
    return {
        "schedule": due.schedule,
        "uri": schedule_uri(due.schedule),
        "task": due.task,
        "due_at": format_instant(due.due_at),
        "local": local_time(due.trigger, due.due_at),
        "skip": due.skip,
    }


def explanation(found: Explanation) -> dict[str, Any]:
    """Return what is known about one instant of a schedule."""
    plan, following = found.schedule.definition.plan, found.following
    return {
        "explanation": found.sentence,
        "schedule": found.schedule.id,
        "state": found.schedule.state,
        "state_reason": found.schedule.state_reason,
        "at": format_instant(found.at),
        "due": found.due_at is not None,
        "due_at": time_or_none(found.due_at),
        "ledger": None if found.entry is None else ledger_entry(found.entry),
        "previous_due": time_or_none(found.previous),
        "next_due": time_or_none(following),
        "next_due_local": None if following is None else local_time(plan, following),
        "could_stop_it": [
            {"reason": one.reason, "detail": one.detail, "instance": instance_uri(one.instance)}
            for one in found.hindrances
        ],
    }


def comparison(
    name: str, before: ScheduleRecord | None, definition: Definition, found: Difference, now: int
) -> dict[str, Any]:
    """Return what a change would do, with the document that it would leave."""
    old = None if before is None else before.definition
    return {
        "dry_run": True,
        "id": name,
        "would": "create" if old is None else "change nothing" if old == definition else "update",
        "schedule": {**document_of(definition), "input": msgspec.Raw(definition.input)},
        "description": definition.description,
        "from": format_instant(now),
        "until": format_instant(found.until),
        "appear": _due_times(definition, found.appear),
        "vanish": _due_times(old or definition, found.vanish),
        "appearing": found.appearing,
        "vanishing": found.vanishing,
        "kept": found.kept,
    }


def _due_times(definition: Definition, dues: list[int]) -> list[dict[str, str]]:
    return [{"due_at": format_instant(due), "local": local_time(definition.plan, due)} for due in dues]


def task(definition: Task[Any, Any]) -> dict[str, Any]:
    """Return a task definition."""
    retries = definition.retries
    return {
        "name": definition.name,
        "doc": definition.doc,
        "origin": definition.origin,
        "input_schema": definition.input_schema(),
        "output_schema": definition.output_schema(),
        "timeout": None if definition.timeout is None else to_seconds(definition.timeout),
        "retries": 0 if retries is None else retries.count,
        "idempotent": definition.idempotent,
        "max_running": definition.max_running,
        "state": definition.state_scope if definition.stateful else None,
    }


def node(record: NodeRecord) -> dict[str, Any]:
    """Return one boot of a node."""
    return {
        "name": record.name,
        "boot": str(record.boot),
        "host": record.host,
        "pid": record.pid,
        "started_at": format_instant(record.started_at),
        "seen_at": format_instant(record.seen_at),
        "stopped_at": time_or_none(record.stopped_at),
    }


def token(record: TokenRecord, now: int) -> dict[str, Any]:
    """Return an API key, without the key."""
    return {
        "id": str(record.id),
        "name": record.name,
        "role": record.role,
        "state": record.state(now),
        "created_at": format_instant(record.created_at),
        "created_by": record.created_by,
        "expires_at": time_or_none(record.expires_at),
        "revoked_at": time_or_none(record.revoked_at),
    }


def audit(record: AuditRecord) -> dict[str, Any]:
    """Return an entry of the audit."""
    return {
        "id": str(record.id),
        "at": format_instant(record.at),
        "by": record.by,
        "action": record.action,
        "schedule": record.schedule,
        "instance": instance_uri(record.instance),
        "data": raw(record.data),
    }
