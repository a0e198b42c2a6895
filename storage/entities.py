"""The entities: what stands in the database, table by table. No entity ever leaves `storage`.

Times are instants, lengths of time durations, both `int` microseconds; JSON is kept as text, as it was encoded once.
"""

from typing import Any
from uuid import UUID

from attrs import frozen
from pony import orm


@frozen
class Entities:
    """The entity classes of one database (Pony ties classes to a database, and a process may hold several)."""

    Schedule: Any
    ScheduleTag: Any
    Instance: Any
    InstanceTag: Any
    Output: Any
    Log: Any
    Omission: Any
    TaskState: Any
    Event: Any
    Node: Any
    SchemaVersion: Any
    KnownTask: Any
    Token: Any
    Audit: Any
    Idempotency: Any
    Webhook: Any
    Delivery: Any


def _text(**options: Any) -> Any:
    return orm.Required(str, autostrip=False, **options)


def _text_or_none() -> Any:
    return orm.Optional(str, autostrip=False, nullable=True)


def _number() -> Any:
    return orm.Required(int, size=64)


def _number_or_none() -> Any:
    return orm.Optional(int, size=64)


def define(db: Any) -> Entities:
    """Declare the entities on a Pony database that is not mapped yet."""
    schedule, schedule_tag = _schedules(db)
    instance, instance_tag = _instances(db)
    output, log = _sayings(db)
    omission, task_state, event = _accounts(db)
    node, schema_version, known_task = _housekeeping(db)
    token, audit, idempotency = _callers(db)
    webhook, delivery = _webhooks(db)
    return Entities(
        schedule, schedule_tag, instance, instance_tag, output, log,
        omission, task_state, event, node, schema_version, known_task,
        token, audit, idempotency, webhook, delivery,
    )  # fmt: skip


def _schedules(db: Any) -> tuple[Any, Any]:
    class Schedule(db.Entity):  # type: ignore[misc]
        _table_ = "schedule"
        id = orm.PrimaryKey(str, autostrip=False)
        task = _text()
        input = _text()
        trigger = _text()
        overlap = _text()
        catch_up = _text()
        catch_up_window = _number()
        jitter = _number()
        timeout = _number_or_none()
        tags = _text()
        state = _text()
        state_reason = _text_or_none()
        version = _number()
        created_at = _number()
        updated_at = _number()
        last_due = _number_or_none()  # the latest due time that the ledger holds
        next_due = _number_or_none()  # always later than last_due
        next_fire = _number_or_none()  # next_due plus jitter; or when a pause ends
        starts_at = _number_or_none()
        ends_at = _number_or_none()
        max_runs = _number_or_none()
        run_count = orm.Required(int, size=64, default=0)  # runs of due times so far, for max_runs
        run_on_create = orm.Required(int, size=64, default=0)
        follows = _text_or_none()  # the schedule whose ends make this one due
        skips = _text(default="[]")  # due times that somebody asked to skip, a JSON list of instants
        state_errors = _text_or_none()  # what is wrong with the input of a blocked schedule, as JSON
        keep_for = _number_or_none()
        keep_last = _number_or_none()

    class ScheduleTag(db.Entity):  # type: ignore[misc]
        _table_ = "schedule_tag"
        tag = _text()
        schedule = _text()
        orm.PrimaryKey(tag, schedule)

    return Schedule, ScheduleTag


def _instances(db: Any) -> tuple[Any, Any]:
    class Instance(db.Entity):  # type: ignore[misc]
        _table_ = "instance"
        id = orm.PrimaryKey(UUID)
        task = _text()
        schedule = _text_or_none()
        due_at = _number_or_none()
        attempt = _number()
        cause = _text()
        state = _text()
        input = _text()
        timeout = _number_or_none()
        tags = _text()
        node = _text_or_none()
        boot = orm.Optional(UUID)
        retry_of = orm.Optional(UUID)
        start_after = _number_or_none()  # of a queued retry
        state_key = _text_or_none()  # of a task with state: one run at a time holds it
        waits_for = _text_or_none()  # the line that a queued instance stands in, see journal/turns.py
        queued_at = _number()
        started_at = _number_or_none()
        finished_at = _number_or_none()
        cancel_at = _number_or_none()
        cancel_by = _text_or_none()
        cancel_reason = _text_or_none()
        stuck = _text_or_none()  # where it stands, when it does not end
        error = _text_or_none()
        trace = _text_or_none()  # the traceparent of the request that started it, while spans are made

    class InstanceTag(db.Entity):  # type: ignore[misc]
        _table_ = "instance_tag"
        tag = _text()
        instance = orm.Required(UUID)
        orm.PrimaryKey(tag, instance)

    return Instance, InstanceTag


def _sayings(db: Any) -> tuple[Any, Any]:
    class Output(db.Entity):  # type: ignore[misc]
        _table_ = "output"
        instance = orm.Required(UUID)
        seq = _number()
        at = _number()
        value = _text()
        orm.PrimaryKey(instance, seq)

    class Log(db.Entity):  # type: ignore[misc]
        _table_ = "log"
        instance = orm.Required(UUID)
        seq = _number()
        at = _number()
        level = _text()
        text = orm.Optional(str, autostrip=False)
        fields = _text_or_none()
        orm.PrimaryKey(instance, seq)

    return Output, Log


def _accounts(db: Any) -> tuple[Any, Any, Any]:
    class Omission(db.Entity):  # type: ignore[misc]
        _table_ = "omission"
        id = orm.PrimaryKey(int, size=64, auto=True)
        schedule = _text()
        fate = _text()
        reason = _text()
        first_due = _number()
        last_due = _number()
        count = _number()
        blocked_by = orm.Optional(UUID)

    class TaskState(db.Entity):  # type: ignore[misc]
        _table_ = "task_state"
        key = orm.PrimaryKey(str, autostrip=False)
        value = _text()
        version = _number()
        instance = orm.Required(UUID)  # whose run wrote it
        updated_at = _number()

    class Event(db.Entity):  # type: ignore[misc]
        _table_ = "event"
        id = orm.PrimaryKey(int, size=64, auto=True)
        at = _number()
        type = _text()
        schedule = _text_or_none()
        instance = orm.Optional(UUID)
        data = _text()

    return Omission, TaskState, Event


def _housekeeping(db: Any) -> tuple[Any, Any, Any]:
    class Node(db.Entity):  # type: ignore[misc]
        _table_ = "node"
        boot = orm.PrimaryKey(UUID)
        name = _text()
        host = _text()
        pid = _number()
        started_at = _number()
        seen_at = _number()
        stopped_at = _number_or_none()
        last_batch = (
            _number()
        )  # the journal's latest transaction: tells whether a commit whose reply was lost took place

    class SchemaVersion(db.Entity):  # type: ignore[misc]
        _table_ = "schema_version"
        version = orm.PrimaryKey(int)
        applied_at = _number()
        checksum = _text()

    class KnownTask(db.Entity):  # type: ignore[misc]
        _table_ = "known_task"
        name = orm.PrimaryKey(str, autostrip=False)
        fingerprint = _text()  # of the input's schema, as it was when the schedules of the task were last checked
        seen_at = _number()

    return Node, SchemaVersion, KnownTask


def _callers(db: Any) -> tuple[Any, Any, Any]:
    class Token(db.Entity):  # type: ignore[misc]
        _table_ = "token"
        id = orm.PrimaryKey(UUID)
        name = _text()  # unique among those that are not revoked
        role = _text()
        hash = _text()  # SHA-256, in hex: what it is a hash of is shown once and kept nowhere
        created_at = _number()
        created_by = _text()
        expires_at = _number_or_none()
        revoked_at = _number_or_none()

    class Audit(db.Entity):  # type: ignore[misc]
        _table_ = "audit"
        id = orm.PrimaryKey(UUID)
        at = _number()
        caller = _text()
        action = _text()
        schedule = _text_or_none()
        instance = orm.Optional(UUID)
        data = _text()

    class Idempotency(db.Entity):  # type: ignore[misc]
        _table_ = "idempotency"
        id = orm.PrimaryKey(str, autostrip=False)  # a hash of caller, address and key
        fingerprint = _text()  # a hash of what was asked under the key
        answer = _text()
        at = _number()

    return Token, Audit, Idempotency


def _webhooks(db: Any) -> tuple[Any, Any]:
    class Webhook(db.Entity):  # type: ignore[misc]
        _table_ = "webhook"
        id = orm.PrimaryKey(UUID)
        url = _text()
        events = _text()  # JSON lists of text
        schedules = _text()
        secret = _text()
        state = _text()
        state_reason = _text_or_none()
        position = _number()  # the last event that was looked at
        created_at = _number()
        updated_at = _number()
        delivered_at = _number_or_none()
        failed_at = _number_or_none()
        last_error = _text_or_none()

    class Delivery(db.Entity):  # type: ignore[misc]
        _table_ = "delivery"
        id = orm.PrimaryKey(UUID)
        webhook = orm.Required(UUID)
        event = _number()
        body = _text()
        attempts = _number()
        created_at = _number()
        next_at = _number()

    return Webhook, Delivery
