"""A schedule as its user writes it: the document checked whole, with all wrong fields at once."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from attrs import frozen

from callsheet.errors import FieldError, Invalid, hint_for
from callsheet.instants import HOUR, SECOND, format_instant, parse_duration, parse_instant, to_seconds
from callsheet.tasks import Task
from callsheet.timetable import (
    SLUG,
    After,
    At,
    Bounded,
    Every,
    Plan,
    Trigger,
    bounded,
    describe,
    next_due,
    parse_trigger,
    trigger_document,
)
from callsheet.validation import pointer

OVERLAPS = ("skip", "queue", "replace", "allow")
CATCH_UPS = ("latest", "none", "all")
FIELDS = (
    "task", "input", "trigger", "starts_at", "ends_at", "max_runs", "run_on_create", "overlap", "catch_up",
    "catch_up_window", "jitter", "timeout", "keep_for", "keep_last", "tags",
)  # fmt: skip
READ_ONLY = (
    "id", "uri", "state", "state_reason", "state_errors", "paused_until", "version", "description", "next_due",
    "next_due_local", "last_due", "run_count", "skips", "created_at", "updated_at",
)  # fmt: skip

MAX_TAGS = 20
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}", re.ASCII)
_MOST = 2**53

T = TypeVar("T")


@frozen
class Definition:
    """What a schedule is to do, and when; lengths of time are durations, `input` is JSON its task has checked."""

    task: str
    input: bytes
    trigger: Trigger
    overlap: str = "skip"
    catch_up: str = "latest"
    catch_up_window: int = HOUR
    jitter: int = 0
    timeout: int | None = None
    tags: tuple[str, ...] = ()
    starts_at: int | None = None
    ends_at: int | None = None
    max_runs: int | None = None
    run_on_create: bool = False
    keep_for: int | None = None  # how long its instances are kept; None: as the service has it, 0: for ever
    keep_last: int | None = None  # how many of them

    @property
    def plan(self) -> Plan:
        """Return the trigger within its bounds."""
        return bounded(self.trigger, self.starts_at, self.ends_at)

    @property
    def description(self) -> str:
        """Return in words when it is due."""
        most = "" if self.max_runs is None else f", {self.max_runs} run{'s' if self.max_runs != 1 else ''} at most"
        return describe(self.plan) + most


def check_slug(slug: str, pointer: str = "/id") -> str:
    """Return a schedule id that is fit for a path; raise Invalid otherwise."""
    if not SLUG.fullmatch(slug):
        raise Invalid(FieldError(pointer, "must be 1 to 128 of A-Z a-z 0-9 . _ - and begin with a letter or digit"))
    return slug


def check_tags(value: object) -> tuple[str, ...]:
    """Return the tags of a document in order, each once; ValueError says what is wrong."""
    if not isinstance(value, list) or len(value) > MAX_TAGS:
        raise ValueError(f"must be a list of at most {MAX_TAGS} tags")
    if not all(isinstance(tag, str) and _TAG.fullmatch(tag) for tag in value):
        raise ValueError("each tag must be 1 to 64 of A-Z a-z 0-9 . _ : / - and begin with a letter or digit")
    return tuple(dict.fromkeys(value))


def check_timeout(value: object) -> int | None:
    """Return a time-out as a duration, None for none; ValueError says what is wrong."""
    if value is None:
        return None
    timeout = parse_duration(value)
    if timeout <= 0:
        raise ValueError("must be above 0")
    return timeout


def check_positive(value: object) -> int | None:
    """Return a number of at least 1, None for none; ValueError says what is wrong."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
        raise ValueError("must be a whole number of at least 1, or null")
    return value


def check_instant(value: object) -> int | None:
    """Return a time as an instant, None for none; ValueError says what is wrong."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("must be an RFC 3339 time with an offset, or null")  # noqa: TRY004
    return parse_instant(value)


def define(
    document: object, tasks: Mapping[str, Task[Any, Any]], *, now: int, before: Definition | None = None
) -> Definition:
    """Check a schedule's document and fill in its defaults; Invalid lists every wrong field.

    `before` is the definition that it replaces: a trigger that did not change keeps its anchor, and an `at` that
    has passed is then no error.
    """
    if not isinstance(document, dict):
        raise Invalid(FieldError("", "must be an object"))
    return _Reader(document, tasks, now, before).read()


class _Reader:
    """Reads one document field by field and gathers what is wrong."""

    def __init__(
        self, document: dict[str, Any], tasks: Mapping[str, Task[Any, Any]], now: int, before: Definition | None
    ) -> None:
        self._document = document
        self._tasks = tasks
        self._now = now
        self._before = before
        self._errors = [_stranger(name) for name in document if name not in FIELDS]

    def read(self) -> Definition:
        task = self._task()
        starts_at, ends_at = self._bounds()
        definition = Definition(
            task=task.name if task else "",
            input=self._input(task),
            trigger=self._trigger(starts_at) or Every(SECOND, 0),
            starts_at=starts_at,
            ends_at=ends_at,
            max_runs=self._field("max_runs", None, check_positive),
            run_on_create=self._field("run_on_create", False, _boolean),
            overlap=self._field("overlap", "skip", _one_of(OVERLAPS)),
            catch_up=self._field("catch_up", "latest", _one_of(CATCH_UPS)),
            catch_up_window=self._field("catch_up_window", HOUR, parse_duration),
            jitter=self._field("jitter", 0, parse_duration),
            timeout=self._field("timeout", None, check_timeout),
            keep_for=self._field("keep_for", None, _kept(parse_duration)),
            keep_last=self._field("keep_last", None, _kept(_count)),
            tags=self._field("tags", (), check_tags),
        )
        if not self._errors and self._before is None and self._is_never_due(definition.plan):
            self._errors.append(FieldError("/ends_at", "no due time lies between now and then"))
        if self._errors:
            raise Invalid(*self._errors)
        return definition

    def _is_never_due(self, plan: Plan) -> bool:
        return isinstance(plan, Bounded) and not isinstance(plan.trigger, After) and next_due(plan, self._now) is None

    def _field(self, name: str, default: T, check: Callable[[object], T]) -> T:
        if name not in self._document:
            return default
        try:
            return check(self._document[name])
        except ValueError as error:
            self._errors.append(FieldError(f"/{name}", str(error)))
            return default

    def _task(self) -> Task[Any, Any] | None:
        if "task" not in self._document:
            self._errors.append(FieldError("/task", "is required"))
            return None
        name = self._document["task"]
        task = self._tasks.get(name) if isinstance(name, str) else None
        if task is None:
            hint = hint_for("task", name) or "GET /v1/tasks lists them"
            self._errors.append(FieldError("/task", f"there is no task {name!r}; {hint}"))
        return task

    def _input(self, task: Task[Any, Any] | None) -> bytes:
        if task is None:
            return b"null"
        try:
            return check_input(task, self._document.get("input"), "input" in self._document)
        except Invalid as error:
            self._errors.extend(error.under("/input").errors)
            return b"null"

    def _bounds(self) -> tuple[int | None, int | None]:
        """Return the first and the last instant at which it may be due."""
        starts_at = self._field("starts_at", None, check_instant)
        ends_at = self._field("ends_at", None, check_instant)
        if starts_at is not None and ends_at is not None and ends_at <= starts_at:
            self._errors.append(FieldError("/ends_at", "must be later than starts_at"))
        elif ends_at is not None and ends_at <= self._now and self._before is None:
            self._errors.append(FieldError("/ends_at", f"has passed: it is {format_instant(self._now)} now"))
        return starts_at, ends_at

    def _trigger(self, starts_at: int | None) -> Trigger | None:
        if "trigger" not in self._document:
            self._errors.append(FieldError("/trigger", "is required"))
            return None
        try:
            anchor = self._now if starts_at is None else starts_at
            return self._settle(parse_trigger(self._document["trigger"], anchor=anchor), starts_at)
        except Invalid as error:
            self._errors.extend(error.under("/trigger").errors)
            return None

    def _settle(self, trigger: Trigger, starts_at: int | None) -> Trigger:
        """Keep the anchor of an interval that did not change, unless another start sets its phase."""
        before = self._before.trigger if self._before else None
        if isinstance(trigger, Every) and isinstance(before, Every) and "anchor" not in self._document["trigger"]:
            assert self._before is not None
            starts_anew = starts_at is not None and starts_at != self._before.starts_at
            return before if before.interval == trigger.interval and not starts_anew else trigger
        if isinstance(trigger, At) and trigger != before and trigger.instant <= self._now:
            raise Invalid(FieldError("/at", f"has passed: it is {format_instant(self._now)} now"))
        return trigger


def check_input(task: Task[Any, Any], document: object, given: bool) -> bytes:
    """Return a task's input as checked JSON; an input that is not given means `{}`, or null where that is the type."""
    if given:
        return task.check_input(document)
    try:
        return task.check_input({})
    except Invalid:
        return task.check_input(None) if task.input_type is type(None) else task.check_input({})


def document_of(definition: Definition) -> dict[str, Any]:
    """Return the document that defines the same schedule, defaults filled in; `input` stays JSON text."""
    return {
        "task": definition.task,
        "trigger": trigger_document(definition.trigger),
        "starts_at": None if definition.starts_at is None else format_instant(definition.starts_at),
        "ends_at": None if definition.ends_at is None else format_instant(definition.ends_at),
        "max_runs": definition.max_runs,
        "run_on_create": definition.run_on_create,
        "overlap": definition.overlap,
        "catch_up": definition.catch_up,
        "catch_up_window": to_seconds(definition.catch_up_window),
        "jitter": to_seconds(definition.jitter),
        "timeout": None if definition.timeout is None else to_seconds(definition.timeout),
        "keep_for": None if definition.keep_for is None else to_seconds(definition.keep_for),
        "keep_last": definition.keep_last,
        "tags": list(definition.tags),
    }


def merge_patch(target: object, patch: object) -> object:
    """Apply a JSON merge patch (RFC 7396) and return the result; neither argument is changed."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def _one_of(choices: tuple[str, ...]) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError("must be one of " + ", ".join(choices))
        return value

    return check


def _kept(check: Callable[[object], int]) -> Callable[[object], int | None]:
    """Return a check for a bound of retention: null is as the service has it, 0 is for ever."""
    return lambda value: None if value is None else check(value)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
        raise ValueError("must be a whole number, or null")
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - a wrong field, not a fault of ours
    return value


def _stranger(name: str) -> FieldError:
    what = "is read-only: leave it out" if name in READ_ONLY else "is not a known field"
    return FieldError(pointer(name), what)
