"""`@task`: reads a function or a class, refuses what is not one, and makes a Task of it."""

import inspect
import re
from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeVar, overload

from attrs import frozen

from callsheet.instants import parse_duration
from callsheet.tasks.codec import Codec, codec_of
from callsheet.tasks.definition import Task
from callsheet.tasks.out import Out, SyncOut
from callsheet.tasks.retry import Retry
from callsheet.tasks.signature import read_signature
from callsheet.tasks.state import State, read_state
from callsheet.tasks.text import last_line, type_name

TIn = TypeVar("TIn")
TOut = TypeVar("TOut")

MOST_OUTPUTS = 10_000
MOST_LOG_BYTES = 2**20

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}", re.ASCII)
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@frozen
class _Options:
    name: str | None
    timeout: int | None
    retries: Retry | None
    idempotent: bool
    max_running: int | None
    state: Literal["schedule", "task"] | None
    isolate: Literal["process"] | None
    max_outputs: int
    max_log_bytes: int


class _Decorator(Protocol):
    @overload
    def __call__(self, body: Callable[[TIn, Out[TOut]], object], /) -> Task[TIn, TOut]: ...
    @overload
    def __call__(self, body: Callable[[TIn, SyncOut[TOut]], object], /) -> Task[TIn, TOut]: ...
    @overload
    def __call__(self, body: Callable[[], Callable[[TIn, Out[TOut]], object]], /) -> Task[TIn, TOut]: ...
    @overload
    def __call__(self, body: Callable[[], Callable[[TIn, SyncOut[TOut]], object]], /) -> Task[TIn, TOut]: ...


@overload
def task(body: Callable[[TIn, Out[TOut]], object], /) -> Task[TIn, TOut]: ...
@overload
def task(body: Callable[[TIn, SyncOut[TOut]], object], /) -> Task[TIn, TOut]: ...
@overload
def task(body: Callable[[], Callable[[TIn, Out[TOut]], object]], /) -> Task[TIn, TOut]: ...
@overload
def task(body: Callable[[], Callable[[TIn, SyncOut[TOut]], object]], /) -> Task[TIn, TOut]: ...
@overload
def task(
    *,
    name: str | None = None,
    timeout: str | float | None = None,
    retries: int | Retry = 0,
    idempotent: bool = False,
    max_running: int | None = None,
    state: Literal["schedule", "task"] | None = None,
    isolate: Literal["process"] | None = None,
    max_outputs: int = MOST_OUTPUTS,
    max_log_bytes: int = MOST_LOG_BYTES,
) -> _Decorator: ...
def task(
    body: Any = None,
    /,
    *,
    name: str | None = None,
    timeout: str | float | None = None,
    retries: int | Retry = 0,
    idempotent: bool = False,
    max_running: int | None = None,
    state: Literal["schedule", "task"] | None = None,
    isolate: Literal["process"] | None = None,
    max_outputs: int = MOST_OUTPUTS,
    max_log_bytes: int = MOST_LOG_BYTES,
) -> Any:
    """Make a task of an async function, a function, or a class with `__call__`.

    `timeout` ("30s" or seconds) is per attempt; `retries` a count or a `Retry`; `idempotent` tasks
    are run again after a crash; `max_running` counts all schedules together; `state="task"` shares
    one state among all schedules; `isolate="process"` runs the body in a worker process, which is
    killed when the run is cancelled or timed out. A wrong shape is a TypeError, a wrong option a ValueError.
    """
    options = _Options(
        name,
        _timeout(timeout),
        _retries(retries),
        idempotent,
        None if max_running is None else _whole("max_running", max_running, 1),
        state,
        _isolate(isolate),
        _whole("max_outputs", max_outputs, 1),
        _whole("max_log_bytes", max_log_bytes, 0),
    )
    return _define(body, options) if body is not None else lambda body: _define(body, options)


def _define(body: Callable[..., Any], options: _Options) -> Task[Any, Any]:
    signature = read_signature(body)
    state = read_state(body) if isinstance(body, type) else None
    return Task(
        name=_name(body, options.name),
        doc=inspect.cleandoc(body.__doc__ or ""),
        origin=f"{body.__module__}:{body.__qualname__}",
        body=body,
        input_type=signature.input_type,
        output_type=signature.output_type,
        timeout=options.timeout,
        retries=options.retries,
        idempotent=options.idempotent,
        max_running=options.max_running,
        state_scope=_scope(body, state, options.state),
        threaded=signature.threaded,
        isolate=options.isolate,
        max_outputs=options.max_outputs,
        max_log_bytes=options.max_log_bytes,
        input=_codec(body, "input", signature.input_type),
        output=_codec(body, "output", signature.output_type),
        state=state,
    )


def _name(body: Callable[..., Any], given: str | None) -> str:
    name = given if given is not None else body.__name__
    if given is None and isinstance(body, type):
        name = _WORD_START.sub("_", name).lower()
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"{body.__name__}: {name!r} is not a good name for a task: give it a "
            'name="…" of up to 100 letters, digits, "_", "-" and "."'
        )
    return name


def _codec(body: Callable[..., Any], what: str, type_: Any) -> Codec:
    try:
        return codec_of(type_)
    except Exception as error:  # msgspec, pydantic and the type itself may refuse
        sentence = f"its {what} type {type_name(type_)} has no JSON form: {last_line(error)}"
        raise TypeError(f"{body.__name__}: {sentence}") from error


def _scope(
    body: Callable[..., Any], state: State | None, scope: Literal["schedule", "task"] | None
) -> Literal["schedule", "task"] | None:
    if scope not in (None, "schedule", "task"):
        raise ValueError(f'{body.__name__}: state must be "schedule" or "task", got {scope!r}')
    if scope is not None and state is None:
        raise ValueError(f"{body.__name__}: state={scope!r} is for a class whose annotated attributes persist")
    return None if state is None else scope or "schedule"


def _isolate(isolate: object) -> Literal["process"] | None:
    if isolate not in (None, "process"):
        raise ValueError(f'isolate must be "process", got {isolate!r}; leave it out to run in the service itself')
    return "process" if isolate else None


def _timeout(timeout: str | float | None) -> int | None:
    if timeout is None:
        return None
    try:
        duration = parse_duration(timeout)
    except ValueError as error:
        raise ValueError(f"timeout {error}, got {timeout!r}") from None
    if duration == 0:
        raise ValueError("timeout must be above 0; leave it out for none")
    return duration


def _retries(retries: int | Retry) -> Retry | None:
    policy = retries if isinstance(retries, Retry) else Retry(retries)
    return policy if policy.count else None


def _whole(what: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{what} must be a whole number of at least {least}, got {value!r}")
    return value
