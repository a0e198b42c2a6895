"""The second argument of a task: `Out` for async bodies, `SyncOut` for those in a worker thread.

Both hand on to a `Sink`, which the engine supplies. A task instance has one `Outbox`, and either
face of it sees the same count of outputs.
"""

from collections.abc import Callable
from datetime import datetime
from math import inf, isfinite
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

import trio
from attrs import define

from callsheet.tasks.text import safe_fields, safe_text

T = TypeVar("T")

MAX_OUTPUT = 1024 * 1024  # bytes of JSON of one output, as of a request


class OutputLimit(RuntimeError):
    """A task sent more outputs than its `max_outputs`, or one that is too large."""


def check_size(raw: bytes) -> None:
    """Refuse an output that is too large: OutputLimit."""
    if len(raw) > MAX_OUTPUT:
        raise OutputLimit(f"an output of {len(raw):,} bytes is more than the {MAX_OUTPUT:,} that one may have")


class Sink(Protocol):
    """Where a running task's words go; each call is a Trio checkpoint."""

    async def output(self, seq: int, raw: bytes) -> None:
        """Take output number `seq` (from 0) as checked JSON."""

    async def progress(self, done: float, total: float | None, note: str) -> None:
        """Take how far the task is; `total` None means that nobody knows."""

    async def log(self, level: str, text: str, fields: dict[str, object]) -> None:
        """Take one line for people, and its JSON-able fields."""


@define(eq=False)
class Outbox:
    """What one attempt sends, counted and made safe before the sink gets it.

    `encode` turns an output into JSON or raises TypeError; `deadline` is a Trio time.
    """

    task: str
    sink: Sink
    encode: Callable[[Any], bytes]
    max_outputs: int
    id: UUID
    attempt: int = 1
    due_at: datetime | None = None
    deadline: float = inf
    sent: int = 0

    async def output(self, raw: bytes) -> None:
        seq = self.sent
        if seq >= self.max_outputs:
            raise OutputLimit(f"{self.task} sent more than its {self.max_outputs} outputs")
        self.sent = seq + 1
        await self.sink.output(seq, raw)

    async def progress(self, done: float, total: float | None, note: str) -> None:
        whole = None if total is None else _number("total", total)
        await self.sink.progress(_number("done", done), whole, safe_text(str(note)))

    async def log(self, text: str, fields: dict[str, Any]) -> None:
        await self.sink.log("info", safe_text(str(text)), safe_fields(fields))


def _number(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"progress: {name} must be a finite number, got {value!r}")
    return value


class _Face:
    """What a task may read of its own attempt."""

    __slots__ = ("_box",)

    def __init__(self, box: Outbox) -> None:
        self._box = box

    @property
    def id(self) -> UUID:
        """The id of this task instance."""
        return self._box.id

    @property
    def attempt(self) -> int:
        """1 for the first attempt, 2 for the first retry."""
        return self._box.attempt

    @property
    def due_at(self) -> datetime | None:
        """The due time that this run answers to, aware; None when it was started by hand."""
        return self._box.due_at

    @property
    def deadline(self) -> float:
        """The Trio time at which this attempt is timed out; infinity without a timeout."""
        return self._box.deadline

    @property
    def task(self) -> str:
        """The name of the task."""
        return self._box.task


class Out(_Face, Generic[T]):
    """The typed sink of an async task; each method is a Trio checkpoint."""

    __slots__ = ()

    async def send(self, value: T) -> None:
        """Send one output, checked against the task's output type (TypeError)."""
        await self._box.output(self._box.encode(value))

    async def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Tell how far the task is, in units of its own."""
        await self._box.progress(done, total, note)

    async def log(self, text: str, /, **fields: Any) -> None:
        """Write one line to this instance's log."""
        await self._box.log(text, fields)

    def for_thread(self) -> "SyncOut[T]":
        """Give the same sink to a body that runs in a worker thread."""
        return SyncOut(self._box)


class SyncOut(_Face, Generic[T]):
    """The typed sink of a `def` task: its methods block the worker thread until the sink took it.

    They raise Cancelled once the run is cancelled or timed out; so they are where it can end.
    """

    __slots__ = ()

    def send(self, value: T) -> None:
        """Send one output, checked against the task's output type (TypeError)."""
        trio.from_thread.run(self._box.output, self._box.encode(value))

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Tell how far the task is, in units of its own."""
        trio.from_thread.run(self._box.progress, done, total, note)

    def log(self, text: str, /, **fields: Any) -> None:
        """Write one line to this instance's log."""
        trio.from_thread.run(self._box.log, text, fields)
