"""What a program sees of its engine: frozen values, named as in the REST API, with times as aware datetimes in UTC."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import attrs
import msgspec
from attrs import field, frozen

from callsheet.definition import document_of
from callsheet.instants import SECOND, to_datetime
from storage.records import InstanceRecord, LedgerEntry, LogRecord, ScheduleRecord


class _Value:
    """Shows itself in one line: what is None is left out, times are short."""

    __slots__ = ()

    def __repr__(self) -> str:
        shown = [
            f"{one.name}={_brief(getattr(self, one.name))}"
            for one in attrs.fields(type(self))  # type: ignore[arg-type]
            if one.repr and getattr(self, one.name) is not None
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


def _brief(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value) if isinstance(value, UUID) else repr(value)


@frozen(repr=False)
class LedgerRow(_Value):
    """One row of a ledger: a due time that ran, or consecutive ones that were omitted for the same reason."""

    fate: str
    first_due: datetime
    last_due: datetime
    count: int = 1
    outcome: str | None = None
    attempt: int | None = None
    reason: str | None = None
    instance: UUID | None = None
    blocked_by: UUID | None = None

    @property
    def due_at(self) -> datetime:
        """Return the due time; of several, the latest."""
        return self.last_due


@frozen(repr=False)
class Error(_Value):
    """Why a run did not succeed."""

    type: str
    message: str
    traceback: str = field(default="", repr=False)


@frozen(repr=False)
class Instance(_Value):
    """One run of a task, as it stands; `seconds` is how long its body ran, None while it is not over."""

    id: UUID
    task: str
    schedule: str | None
    state: str
    cause: str
    attempt: int
    input: Any
    due_at: datetime | None
    queued_at: datetime = field(repr=False)
    start_after: datetime | None = field(repr=False)
    started_at: datetime | None
    finished_at: datetime | None
    outcome: str | None
    error: Error | None
    seconds: float | None = field(repr=False)
    late_by: timedelta | None = field(repr=False)
    retry_of: UUID | None = field(repr=False)
    timeout: float | None = field(repr=False)
    tags: tuple[str, ...] = field(repr=False)
    stuck: bool = field(repr=False)


@frozen(repr=False)
class LogLine(_Value):
    """One line that an instance logged or printed."""

    at: datetime = field(repr=False)
    level: str
    text: str
    fields: dict[str, Any]


@frozen(repr=False)
class Schedule(_Value):
    """A schedule as it stands; `document` is what defines it, with all defaults filled in."""

    id: str
    state: str
    state_reason: str | None
    version: int
    next_due: datetime | None
    last_due: datetime | None
    paused_until: datetime | None = field(repr=False)
    document: dict[str, Any] = field(repr=False)


@frozen(repr=False)
class Event(_Value):
    """Something that was committed: `type` is one of those in the reference of events."""

    id: int = field(repr=False)
    at: datetime
    type: str
    schedule: str | None
    instance: UUID | None
    data: dict[str, Any]


def moment(instant: int | None) -> datetime | None:
    """Return an instant as a datetime."""
    return None if instant is None else to_datetime(instant)


def ledger_row(entry: LedgerEntry) -> LedgerRow:
    """Show a row of a ledger."""
    first, last = to_datetime(entry.first_due), to_datetime(entry.last_due)
    if entry.fate != "ran":
        return LedgerRow(entry.fate, first, last, entry.count, reason=entry.reason, blocked_by=entry.blocked_by)
    outcome = None if entry.state in ("queued", "running") else entry.state
    return LedgerRow("ran", first, last, 1, outcome, entry.attempt, instance=entry.instance)


def instance(record: InstanceRecord) -> Instance:
    """Show an instance."""
    return Instance(
        id=record.id,
        task=record.task,
        schedule=record.schedule,
        state=record.state,
        cause=record.cause,
        attempt=record.attempt,
        input=msgspec.json.decode(record.input),
        due_at=moment(record.due_at),
        queued_at=to_datetime(record.queued_at),
        start_after=moment(record.start_after),
        started_at=moment(record.started_at),
        finished_at=moment(record.finished_at),
        outcome=record.outcome,
        error=None if record.error is None else msgspec.json.decode(record.error, type=Error),
        seconds=None if record.took is None else record.took / SECOND,
        late_by=None if record.late is None else timedelta(microseconds=record.late),
        retry_of=record.retry_of if record.attempt > 1 else None,
        timeout=None if record.timeout is None else record.timeout / SECOND,
        tags=tuple(record.tag_list),
        stuck=record.stuck is not None,
    )


def log_line(record: LogRecord) -> LogLine:
    """Show a line of log."""
    fields = {} if record.fields is None else msgspec.json.decode(record.fields)
    return LogLine(to_datetime(record.at), record.level, record.text, fields)


def schedule(record: ScheduleRecord) -> Schedule:
    """Show a schedule."""
    return Schedule(
        id=record.id,
        state=record.state,
        state_reason=record.state_reason,
        version=record.version,
        next_due=moment(record.next_due) if record.state == "active" else None,
        last_due=moment(record.last_due),
        paused_until=moment(record.paused_until),
        document=document_of(record.definition) | {"input": msgspec.json.decode(record.definition.input)},
    )
