"""`run` and `run_sync`: one attempt of a task with no server, no database and no network."""

from math import inf
from typing import Any, Generic, Literal, Protocol, TypeVar
from uuid import uuid4

import msgspec
import trio
from attrs import Factory, define, frozen

from callsheet.instants import SECOND, parse_duration
from callsheet.tasks.codec import canonical, to_document
from callsheet.tasks.ctrl_c import struck_by_ctrl_c
from callsheet.tasks.definition import Task
from callsheet.tasks.out import Out, SyncOut

TSent = TypeVar("TSent")
TOut = TypeVar("TOut")
Outcome = Literal["succeeded", "failed", "timed_out"]


@frozen
class Progress:
    """How far a task said it was."""

    done: float
    total: float | None
    note: str


@frozen
class LogLine:
    """One line that a task logged by `out.log`."""

    level: str
    text: str
    fields: dict[str, object]


@frozen
class Result(Generic[TOut]):
    """How an inline run ended and what it said; `state` is what the next run would start from."""

    outcome: Outcome
    outputs: list[TOut]
    progress: list[Progress]
    logs: list[LogLine]
    error: BaseException | None
    state: dict[str, Any] | None


@define
class _Memory:
    """A sink that keeps everything."""

    outputs: list[bytes] = Factory(list)
    steps: list[Progress] = Factory(list)
    logs: list[LogLine] = Factory(list)

    async def output(self, seq: int, raw: bytes) -> None:  # noqa: ARG002 - they come in order
        self.outputs.append(raw)
        await trio.lowlevel.checkpoint()

    async def progress(self, done: float, total: float | None, note: str) -> None:
        self.steps.append(Progress(done, total, note))
        await trio.lowlevel.checkpoint()

    async def log(self, level: str, text: str, fields: dict[str, object]) -> None:
        self.logs.append(LogLine(level, text, fields))
        await trio.lowlevel.checkpoint()


class _Body(Protocol[TSent]):
    def __call__(self, _in: Any, out: Out[TSent], /) -> object: ...


class _SyncBody(Protocol[TSent]):
    def __call__(self, _in: Any, out: SyncOut[TSent], /) -> object: ...


Runnable = Task[Any, TOut] | type[_Body[TOut]] | type[_SyncBody[TOut]]
"""A task, also as mypy sees a class one: it does not believe what a class decorator returns."""


async def run(
    task: Runnable[TOut],
    input: object,  # noqa: A002 - its name everywhere else
    *,
    state: dict[str, Any] | None = None,
    timeout: str | float | None = None,  # noqa: ASYNC109 - the task's own, which it stands in for
) -> Result[TOut]:
    """Run one attempt of a task here and now, and tell how it ended.

    `input` is a typed value or JSON built-ins, `state` what a class task starts from; `timeout`
    stands in for the task's own. An input that does not fit raises Invalid.
    """
    if not isinstance(task, Task):
        raise TypeError(f"run takes a task, made by @task, got {task!r}")
    _in = task.decode_input(task.check_input(to_document(input)))
    before = None if state is None else canonical(state)
    memory = _Memory()
    outcome, error, after = await _attempt(task, _in, before, memory, _seconds(task, timeout))
    return Result(
        outcome,
        [task.decode_output(raw) for raw in memory.outputs],
        memory.steps,
        memory.logs,
        error,
        None if after is None else msgspec.json.decode(after),
    )


def run_sync(
    task: Runnable[TOut],
    input: object,  # noqa: A002 - its name everywhere else
    *,
    state: dict[str, Any] | None = None,
    timeout: str | float | None = None,
    real_time: bool = False,
) -> Result[TOut]:
    """Do as `run` does from code that is not async, with sleeps that take no time.

    The clock jumps whenever nothing else is to do, so a task that waits for a network or a thread
    needs `real_time=True`; a `def` task gets it by itself.
    """

    async def attempt() -> Result[TOut]:
        return await run(task, input, state=state, timeout=timeout)

    if real_time or (isinstance(task, Task) and task.threaded):
        return trio.run(attempt)
    from trio.testing import MockClock  # noqa: PLC0415 - it loads pytest, where there is one

    return trio.run(attempt, clock=MockClock(autojump_threshold=0))


def _seconds(task: Task[Any, Any], timeout: str | float | None) -> float:
    limit = task.timeout if timeout is None else parse_duration(timeout)
    return inf if limit is None else limit / SECOND


async def _attempt(
    task: Task[Any, Any], _in: Any, before: bytes | None, memory: _Memory, seconds: float
) -> tuple[Outcome, BaseException | None, bytes | None]:
    """Perform the task within its time; a run that does not succeed leaves the state as it was."""
    scope = trio.CancelScope(deadline=trio.current_time() + seconds)
    try:
        with scope:
            out = task.out(memory, uuid4(), deadline=scope.deadline)
            return "succeeded", None, await task.perform(_in, out, before)
    except (trio.Cancelled, KeyboardInterrupt):
        raise
    except BaseException as error:  # the task's own, SystemExit included
        if struck_by_ctrl_c(error):
            raise
        return "timed_out" if scope.cancel_called else "failed", error, before
    return "timed_out", None, before
