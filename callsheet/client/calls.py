"""Every request that the API takes: what to send, and how to read the answer."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from attrs import evolve

from callsheet import models
from callsheet.client.call import Call, Duration, Instant, call, document_of, encode, plain
from callsheet.client.values import Event

MOST = 200  # items on one page
SIMULATING = 40.0  # seconds that a simulation may take, and a little more
TRYING = 20.0  # seconds that a webhook may take to answer a test, and a little more


# --- tasks ---


def list_tasks(limit: int = MOST) -> Call[models.Page[models.Task]]:
    """All tasks, by name."""
    return call("GET", "/v1/tasks", models.Page[models.Task], query={"limit": limit})


def get_task(name: str) -> Call[models.Task]:
    """One task."""
    return call("GET", "/v1/tasks/{}", models.Task, name)


# --- instances ---


def start(
    task: str,
    input: Any = msgspec.UNSET,  # noqa: A002 - its name everywhere else
    timeout: Duration | None = None,
    tags: Sequence[str] | None = None,
) -> Call[models.Started]:
    """Start an instance."""
    body = {"task": task, "timeout": timeout, "tags": tags} | _given(input)
    return call("POST", "/v1/instances", models.Started, body=body, repeatable=False, creates=True)


def start_batch(items: Sequence[Mapping[str, Any]]) -> Call[models.BatchStarted]:
    """Start many, all or none."""
    return call(
        "POST", "/v1/instances/batch", models.BatchStarted, body={"items": items}, repeatable=False, creates=True
    )


def list_instances(limit: int = MOST, **wanted: Any) -> Call[models.Page[models.Instance]]:
    """The history, newest first."""
    return call("GET", "/v1/instances", models.Page[models.Instance], query={"limit": limit, **wanted})


def get_instance(name: str) -> Call[models.Instance]:
    """One instance with its first outputs."""
    return call("GET", "/v1/instances/{}", models.Instance, name)


def cancel_instance(name: str, reason: str | None) -> Call[models.Instance]:
    """Cancel one."""
    return call("POST", "/v1/instances/{}/cancel", models.Instance, name, body={"reason": reason})


def cancel_instances(**wanted: str | None) -> Call[models.Count]:
    """Cancel all that match."""
    return call("POST", "/v1/instances/cancel", models.Count, body=wanted)


def rerun(name: str) -> Call[models.Started]:
    """Run it again."""
    return call("POST", "/v1/instances/{}/rerun", models.Started, name, body={}, repeatable=False, creates=True)


def outputs(name: str, limit: int = MOST) -> Call[models.Page[models.Output]]:
    """What it sent."""
    return call("GET", "/v1/instances/{}/outputs", models.Page[models.Output], name, query={"limit": limit})


def log(name: str, limit: int = MOST) -> Call[models.Page[models.LogLine]]:
    """What it logged."""
    return call("GET", "/v1/instances/{}/log", models.Page[models.LogLine], name, query={"limit": limit})


def stack(name: str) -> Call[models.Stack]:
    """Where it stands."""
    return call("GET", "/v1/instances/{}/stack", models.Stack, name)


# --- schedules ---


def list_schedules(limit: int = MOST, **wanted: str | None) -> Call[models.Page[models.Schedule]]:
    """All schedules, by id."""
    return call("GET", "/v1/schedules", models.Page[models.Schedule], query={"limit": limit, **wanted})


def create_schedule(document: Mapping[str, Any]) -> Call[models.Schedule]:
    """Create one, which must not exist."""
    return call("POST", "/v1/schedules", models.Schedule, body=document, repeatable=False, creates=True)


def create_schedules(items: Sequence[Mapping[str, Any]]) -> Call[models.BatchCreated]:
    """Create many, all or none."""
    return call(
        "POST", "/v1/schedules/batch", models.BatchCreated, body={"items": items}, repeatable=False, creates=True
    )


def put_schedule(
    name: str, document: Mapping[str, Any], if_match: int | None = None, *, new: bool = False
) -> Call[models.Schedule]:
    """Create or replace one."""
    headers = {"If-None-Match": "*"} if new else None
    return call(
        "PUT", "/v1/schedules/{}", models.Schedule, name, body=document, if_match=if_match, headers=headers,
        repeatable=not new,
    )  # fmt: skip


def compare_schedule(name: str, document: Mapping[str, Any]) -> Call[models.Comparison]:
    """Tell what a PUT would do."""
    return call("PUT", "/v1/schedules/{}", models.Comparison, name, body=document, query={"dry_run": True})


def get_schedule(name: str) -> Call[models.Schedule]:
    """One schedule."""
    return call("GET", "/v1/schedules/{}", models.Schedule, name)


def patch_schedule(name: str, patch: Mapping[str, Any], if_match: int | None = None) -> Call[models.Schedule]:
    """Change some fields; None takes a field back to its default, so that it has to be sent."""
    return evolve(
        call("PATCH", "/v1/schedules/{}", models.Schedule, name, if_match=if_match), body=encode(patch, with_null=True)
    )


def compare_patch(name: str, patch: Mapping[str, Any]) -> Call[models.Comparison]:
    """Tell what a PATCH would do."""
    return evolve(
        call("PATCH", "/v1/schedules/{}", models.Comparison, name, query={"dry_run": True}),
        body=encode(patch, with_null=True),
    )


def delete_schedule(name: str, running: str | None, if_match: int | None = None) -> Call[None]:
    """Delete one."""
    return call("DELETE", "/v1/schedules/{}", type(None), name, query={"running": running}, if_match=if_match)


def pause(name: str, reason: str | None, until: Instant | None) -> Call[models.Schedule]:
    """Plan nothing."""
    return call("POST", "/v1/schedules/{}/pause", models.Schedule, name, body={"reason": reason, "until": until})


def resume(name: str) -> Call[models.Schedule]:
    """Plan again."""
    return call("POST", "/v1/schedules/{}/resume", models.Schedule, name, body={})


def run_now(name: str, input: Any = msgspec.UNSET, overlap: str | None = None) -> Call[models.Started]:  # noqa: A002
    """Run one now."""
    body = {"overlap": overlap} | _given(input)
    return call("POST", "/v1/schedules/{}/trigger", models.Started, name, body=body, repeatable=False, creates=True)


def skip(name: str, count: int | None, at: Instant | None) -> Call[models.Schedule]:
    """Leave due times out."""
    return call("POST", "/v1/schedules/{}/skip", models.Schedule, name, body={"count": count, "at": at})


def unskip(name: str, at: Instant | None) -> Call[models.Schedule]:
    """Let them run after all."""
    return call("DELETE", "/v1/schedules/{}/skip", models.Schedule, name, query={"at": at})


def backfill(name: str, start: Instant, end: Instant, overlap: str | None, *, dry_run: bool) -> Call[models.Backfill]:
    """Run what never ran."""
    body = {"from": start, "to": end, "overlap": overlap, "dry_run": dry_run}
    path = "/v1/schedules/{}/backfill"
    return call("POST", path, models.Backfill, name, body=body, repeatable=dry_run, creates=not dry_run)


def explain(name: str, at: Instant | None) -> Call[models.Explanation]:
    """Why."""
    return call("GET", "/v1/schedules/{}/explain", models.Explanation, name, query={"at": at})


def ledger(name: str, limit: int = MOST) -> Call[models.Page[models.LedgerRow]]:
    """The account of its due times."""
    return call("GET", "/v1/schedules/{}/ledger", models.Page[models.LedgerRow], name, query={"limit": limit})


def upcoming_of(name: str, limit: int) -> Call[models.Page[models.DueTime]]:
    """Its next due times."""
    return call("GET", "/v1/schedules/{}/upcoming", models.Page[models.DueTime], name, query={"limit": limit})


def preview(trigger: Mapping[str, Any], after: Instant | None, limit: int) -> Call[models.Preview]:
    """The due times of a trigger."""
    body = {"trigger": trigger, "after": after, "limit": limit}
    return call("POST", "/v1/schedules/preview", models.Preview, body=body)


# --- webhooks ---


def list_webhooks(limit: int = MOST) -> Call[models.Page[models.Webhook]]:
    """All webhooks, oldest first."""
    return call("GET", "/v1/webhooks", models.Page[models.Webhook], query={"limit": limit})


def get_webhook(name: str) -> Call[models.Webhook]:
    """One webhook, and how it does."""
    return call("GET", "/v1/webhooks/{}", models.Webhook, name)


def create_webhook(
    url: str, events: Sequence[str], schedules: Sequence[str] | None, secret: str
) -> Call[models.Webhook]:
    """Make one. Its secret is brought along, so that a repetition, whose answer has none, loses nothing."""
    body = {"url": url, "events": events, "schedules": schedules, "secret": secret}
    return call("POST", "/v1/webhooks", models.Webhook, body=body, repeatable=False, creates=True)


def change_webhook(name: str, **fields: Any) -> Call[models.Webhook]:
    """Change what is given, disable it, or enable it again."""
    return call("PATCH", "/v1/webhooks/{}", models.Webhook, name, body=fields)


def delete_webhook(name: str) -> Call[None]:
    """Forget one."""
    return call("DELETE", "/v1/webhooks/{}", type(None), name)


def try_webhook(name: str) -> Call[models.Tried]:
    """Send a test message; its receiver gets another one each time."""
    made = call("POST", "/v1/webhooks/{}/test", models.Tried, name, body={}, repeatable=False)
    return evolve(made, takes=TRYING)


# --- all together ---


def upcoming(limit: int, until: Instant | None) -> Call[models.Page[models.DueTime]]:
    """The next due times of all schedules."""
    return call("GET", "/v1/upcoming", models.Page[models.DueTime], query={"limit": limit, "until": until})


def stats(task: str | None, schedule: str | None, since: Instant | None) -> Call[models.Stats]:
    """Figures."""
    return call("GET", "/v1/stats", models.Stats, query={"task": task, "schedule": schedule, "since": since})


def simulate(
    start: Instant | None,
    end: Instant | Duration,
    durations: Mapping[str, Duration | Sequence[Duration]] | None,
    schedules: Mapping[str, Mapping[str, Any]] | None,
    **wanted: Any,
) -> Call[models.Simulation]:
    """What would happen."""
    given = {name: _lengths(one) for name, one in (durations or {}).items()}
    tried = {name: _tried(one) for name, one in (schedules or {}).items()}
    body = {"from": start, "to": end, "durations": given or None, "schedules": tried or None, **wanted}
    return evolve(call("POST", "/v1/simulate", models.Simulation, body=body), takes=SIMULATING)


def _lengths(given: Duration | Sequence[Duration]) -> Any:
    return [plain(one) for one in given] if isinstance(given, list | tuple) else plain(given)


def _tried(fields: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in fields.items() if name != "task"}
    return {name: plain(value) for name, value in document_of(str(fields.get("task", "")), rest).items()}


def tokens(limit: int = MOST) -> Call[models.Page[models.Token]]:
    """All API keys, without the keys."""
    return call("GET", "/v1/tokens", models.Page[models.Token], query={"limit": limit})


def create_token(name: str, role: str, expires: Duration | datetime | None) -> Call[models.Token]:
    """Make an API key: never again by a repetition, whose answer would not have it."""
    until = "expires_at" if isinstance(expires, datetime) else "expires_in"
    body = {"name": name, "role": role, until: expires}
    return call("POST", "/v1/tokens", models.Token, body=body, repeatable=False)


def revoke_token(name: str) -> Call[None]:
    """Let one in no more."""
    return call("DELETE", "/v1/tokens/{}", type(None), name)


def audit(limit: int = MOST, **wanted: Any) -> Call[models.Page[models.AuditEntry]]:
    """Who changed what."""
    return call("GET", "/v1/audit", models.Page[models.AuditEntry], query={"limit": limit, **wanted})


def nodes(limit: int = MOST) -> Call[models.Page[models.Node]]:
    """The nodes."""
    return call("GET", "/v1/nodes", models.Page[models.Node], query={"limit": limit})


def alive() -> Call[models.Probe]:
    """Tell whether the process works."""
    return evolve(call("GET", "/livez", models.Probe), patient=False)


def ready() -> Call[models.Probe]:
    """Tell whether new work is welcome."""
    return evolve(call("GET", "/readyz", models.Probe), patient=False)


def openapi() -> Call[dict[str, Any]]:
    """The description of the API."""
    return call("GET", "/openapi.json", dict[str, Any])


def events(after: str | None, **wanted: Any) -> Call[models.Page[Event]]:
    """Committed facts, as a page or, by Accept, as a stream."""
    return call("GET", "/v1/events", models.Page[Event], query={"after": after, **wanted})


def _given(value: Any) -> dict[str, Any]:
    if value is msgspec.UNSET:
        return {}
    return {"input": msgspec.Raw(b"null") if value is None else value}
