"""What the audit says of a change: an action and what it concerns, one entry for each request."""

from typing import Any
from uuid import UUID

import msgspec
from attrs import field, frozen
from msgspec.structs import asdict

from callsheet.instants import format_instant
from storage.journal.commands import (
    BackfillSchedule,
    CancelInstance,
    CancelInstances,
    Command,
    CreateSchedules,
    CreateToken,
    DeleteSchedule,
    PatchSchedule,
    PauseSchedule,
    PutSchedule,
    RerunInstance,
    ResumeSchedule,
    RevokeToken,
    SkipDue,
    StartInstances,
    TriggerSchedule,
    UnskipDue,
)
from storage.journal.facts import instance_uri
from storage.journal.hook_commands import AddWebhook, ChangeWebhook, RemoveWebhook
from storage.records import TokenRecord

ACTIONS = (
    "instance.start", "instance.rerun", "instance.cancel", "instance.cancel_many", "schedule.create",
    "schedule.create_many", "schedule.update", "schedule.delete", "schedule.pause", "schedule.resume",
    "schedule.trigger", "schedule.skip", "schedule.unskip", "schedule.backfill", "token.create", "token.revoke",
    "webhook.create", "webhook.update", "webhook.delete",
)  # fmt: skip


@frozen
class Entry:
    """One entry; `more` are the details that are not null, as JSON takes them."""

    action: str
    schedule: str | None = None
    instance: UUID | None = None
    more: dict[str, Any] = field(factory=dict)

    def data(self, **more: Any) -> str:
        """Return the details as a JSON object."""
        given = {name: value for name, value in (self.more | more).items() if value is not None}
        return msgspec.json.encode(given).decode()


def entry_of(command: Command, answer: Any) -> Entry:
    """Return the entry of a command that has changed something, and was answered like this."""
    match command:
        case StartInstances() | RerunInstance() | CancelInstance() | CancelInstances():
            return _of_instances(command, answer)
        case (
            PutSchedule() | CreateSchedules() | PatchSchedule() | DeleteSchedule() | PauseSchedule() | ResumeSchedule()
        ):
            return _of_schedule(command, answer)
        case TriggerSchedule(schedule):
            return Entry("schedule.trigger", schedule, answer, {"overlap": command.overlap})
        case SkipDue(schedule, count, at):
            return Entry("schedule.skip", schedule, more={"count": count, "at": _time(at)})
        case UnskipDue(schedule, at):
            return Entry("schedule.unskip", schedule, more={"at": _time(at)})
        case BackfillSchedule(schedule, start, end):
            started = sum(one.left_out is None for one in answer)
            return Entry("schedule.backfill", schedule, more={"from": _time(start), "to": _time(end), "count": started})
        case CreateToken(_, role, _, expires_at):
            return Entry("token.create", more=_token(answer) | {"role": role, "expires_at": _time(expires_at)})
        case RevokeToken():
            return Entry("token.revoke", more=_token(answer))
        case AddWebhook() | ChangeWebhook() | RemoveWebhook():
            return _of_webhook(command, answer)
    raise AssertionError(f"the audit does not know {type(command).__name__}")


def _of_instances(command: Command, answer: Any) -> Entry:
    match command:
        case StartInstances(starts):
            tasks = sorted({start.task for start in starts})
            more = {"task": ", ".join(tasks)[:500], "count": len(starts)}
            return Entry("instance.start", instance=answer[0] if len(starts) == 1 else None, more=more)
        case RerunInstance(instance):
            return Entry("instance.rerun", instance=answer, more={"rerun_of": instance_uri(instance)})
        case CancelInstance(instance, reason):
            return Entry("instance.cancel", instance=instance, more={"reason": reason})
        case CancelInstances(task, schedule, tag, reason):
            more = {"task": task, "tag": tag, "reason": reason, "count": answer}
            return Entry("instance.cancel_many", schedule, more=more)
    raise AssertionError


def _of_schedule(command: Command, answer: Any) -> Entry:
    match command:
        case CreateSchedules(created):
            tasks = sorted({definition.task for _, definition in created})
            return Entry("schedule.create_many", more={"task": ", ".join(tasks)[:500], "count": len(created)})
        case PutSchedule():
            created, record = answer
            action = "schedule.create" if created else "schedule.update"
            return Entry(action, record.id, more={"version": record.version, "task": record.definition.task})
        case PatchSchedule():
            return Entry("schedule.update", answer.id, more={"version": answer.version, "task": answer.definition.task})
        case DeleteSchedule(name):
            return Entry("schedule.delete", name, more={"running": "cancel" if command.cancel_running else "finish"})
        case PauseSchedule(name, reason, until):
            more = {"reason": reason, "until": _time(until), "version": answer.version}
            return Entry("schedule.pause", name, more=more)
        case ResumeSchedule(name):
            return Entry("schedule.resume", name, more={"version": answer.version})
    raise AssertionError


def _of_webhook(command: Command, answer: Any) -> Entry:
    """Name webhooks by their ids: their URLs may be secrets, which those who read the audit need not know."""
    match command:
        case AddWebhook():
            return Entry("webhook.create", more={"webhook": str(answer.id)})
        case ChangeWebhook(webhook):
            given = [name for name, value in asdict(command).items() if name != "id" and value is not None]
            more = {"webhook": str(webhook), "fields": ", ".join(given), "enabled": command.enabled}
            return Entry("webhook.update", more=more)
        case RemoveWebhook(webhook):
            return Entry("webhook.delete", more={"webhook": str(webhook)})
    raise AssertionError


def _token(record: TokenRecord) -> dict[str, Any]:
    return {"token": record.name, "token_id": str(record.id)}


def _time(instant: int | None) -> str | None:
    return None if instant is None else format_instant(instant)
