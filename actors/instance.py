"""One actor per task instance: performs the task inside its cancel scope and reports how it ended.

A task may raise anything, swallow its cancellation or never end: the guard here lets nothing of it reach anybody else.
The outcome is what the body did; the report is committed before anybody is told.
"""

import threading
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import trio
from attrs import define, field

from actors.leaks import close_leaks, leaves_open
from actors.messages import Order
from actors.spans import begin_attempt, end_attempt
from callsheet.capture import MAX_LINE, Pieces, current_pen
from callsheet.clock import Clock
from callsheet.instants import SECOND, to_datetime
from callsheet.tasks import Task
from callsheet.tasks.ctrl_c import handed_on_ctrl_c
from callsheet.tasks.failure import describe
from callsheet.tasks.out import Out, OutputLimit, check_size
from callsheet.tasks.text import safe_text
from callsheet.workers import BodyFailed, Job, Pool, Worker, home_of
from storage.journal.commands import Command, EndInstance, KeepLog, KeepOutput
from storage.journal.facts import InstanceStarted

if TYPE_CHECKING:
    from callsheet.tracing import Span, Tracing

MAX_NOTE = 500  # characters of a note of progress


@define(eq=False)
class Cancellation:
    """Why an instance is being cancelled, and at which Trio time it was told so."""

    outcome: str
    at: float


@define(eq=False)
class Live:
    """An instance in memory, which is to say running; the TIPMan and the instance's own actor share it.

    Only the TIPMan sets `cancellation` and `stuck`; the actor sets the rest.
    """

    run: InstanceStarted
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    cancellation: Cancellation | None = None
    stuck: str | None = None
    started_at: int | None = None
    progress: tuple[float, float | None, str] | None = None
    trio_task: trio.lowlevel.Task | None = None
    struck: bool = False  # by a Ctrl-C that was meant for the program around us
    worker: Worker | None = None  # the process that the body runs in, if that is another one
    span: "Span | None" = None

    @property
    def deadline(self) -> float:
        """Return the Trio time at which the run was told to end, by its time-out or by somebody; inf: not so far."""
        told = self.cancellation.at if self.cancellation else inf
        return min(self.scope.deadline, told)


class InstancePen:
    """Writes what one instance says: outputs wait for room in the bus, lines of log never do."""

    __slots__ = ("_bus", "_clock", "_held", "_lines", "_live", "_lock", "_over", "_pieces", "_room", "_token")

    def __init__(self, live: Live, bus: trio.MemorySendChannel[Order], clock: Clock, max_log_bytes: int) -> None:
        self._live = live
        self._bus = bus
        self._clock = clock
        self._room = max_log_bytes
        self._lines = 0
        self._held: list[Order] = []
        self._over = False
        self._pieces = Pieces(MAX_LINE)
        self._lock = threading.RLock()  # re-entrant: what prints while it is destroyed may do so anywhere
        self._token = trio.lowlevel.current_trio_token()

    def __str__(self) -> str:
        return f"{self._id} of {self._live.run.task}"

    async def output(self, seq: int, raw: bytes) -> None:
        """Keep one output; waits while the bus is full, which is what slows a flood down."""
        check_size(raw)
        if self._over:
            raise OutputLimit("the instance is over: what it sends now belongs to nobody")
        await self._bus.send(Order(KeepOutput(self._id, seq, self._clock.now(), raw)))

    async def progress(self, done: float, total: float | None, note: str) -> None:
        """Show how far it is; the latest is all that is known."""
        self._live.progress = (done, total, note[:MAX_NOTE])
        await trio.lowlevel.checkpoint()

    async def log(self, level: str, text: str, fields: dict[str, object]) -> None:
        """Keep one line of log."""
        self._write(level, text, msgspec.json.encode(fields) if fields else None)
        await trio.lowlevel.checkpoint()

    def write_line(self, level: str, text: str) -> None:
        """Keep a line from logging, from any thread."""
        self._write(safe_text(level[:32]), safe_text(text[:MAX_LINE]))

    def write_text(self, level: str, text: str) -> None:
        """Keep what print writes, which may come in pieces, from any thread."""
        if self._room <= 0:
            return
        for line in self._pieces.add(level, text):
            self.write_line(level, line)

    def _write(self, level: str, text: str, fields: bytes | None = None) -> None:
        """Keep a line unless the log is full; what is cut never burdens the loop, however fast a thread writes."""
        size = len(text.encode()) + len(fields or b"") + 32
        with self._lock:
            if self._room <= 0 or self._over:
                return
            self._room -= size
            full = self._room <= 0
        if full:
            level, text, fields = "warning", "The log is cut here: it reached its size limit.", None
        if _in_loop(self._token):
            self._tell(level, text, fields)
            return
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._tell, level, text, fields)

    def _tell(self, level: str, text: str, fields: bytes | None) -> None:
        """Tell the bus if there is room, else hold the line back until the end; the cap bounds what is held."""
        order = Order(KeepLog(self._id, self._lines, self._clock.now(), level, text, fields))
        self._lines += 1
        if self._held:
            self._held.append(order)
            return
        try:
            self._bus.send_nowait(order)
        except trio.WouldBlock:
            self._held.append(order)
        except trio.BrokenResourceError:
            return  # a thread that outlived the engine: nobody listens any more

    def reported(self, command: Command) -> bool:
        """Hand over the last word if there is room for it at once, which there nearly always is."""
        for level, text in self._pieces.rest():
            self.write_line(level, text)
        self._over = True
        if self._held:
            return False
        try:
            self._bus.send_nowait(Order(command))
        except (trio.WouldBlock, trio.BrokenResourceError):
            return False
        return True

    async def report(self, command: Command) -> None:
        """Hand over what was held back, then the last word; nobody takes it when the engine has broken down."""
        with suppress(trio.BrokenResourceError):
            for held in self._held:
                await self._bus.send(held)
            await self._send(Order(command))

    async def _send(self, order: Order) -> None:
        try:
            self._bus.send_nowait(order)
        except trio.WouldBlock:
            await self._bus.send(order)

    @property
    def _id(self) -> UUID:
        return self._live.run.id


def _in_loop(token: trio.lowlevel.TrioToken) -> bool:
    """Tell whether the caller runs in that event loop: not in a thread, nor in a loop that a thread has of its own."""
    try:
        return trio.lowlevel.current_trio_token() is token
    except RuntimeError:
        return False


@trio.lowlevel.enable_ki_protection  # what strikes here, and not in the body, goes to the program by itself
async def perform(
    live: Live,
    task: Task[Any, Any],
    bus: trio.MemorySendChannel[Order],
    clock: Clock,
    workers: Pool | None = None,
    tracing: "Tracing | None" = None,
) -> None:
    """Run one instance from its start to its report; without `workers` isolated bodies run here, too."""
    run = live.run
    live.trio_task = trio.lowlevel.current_task()
    pen = InstancePen(live, bus, clock, task.max_log_bytes)
    current_pen.set(pen)
    began, live.started_at = trio.current_time(), clock.now()
    if run.timeout is not None:
        live.scope.deadline = began + run.timeout / SECOND
    if tracing is not None:
        live.span = begin_attempt(tracing, run, live.started_at)
    state, error = await _guarded(live, task, pen, workers)
    if leaves_open(live.trio_task):
        left_open = await close_leaks(live.trio_task)
        error = left_open if error is None or isinstance(error, RuntimeError) else error
    ended = trio.current_time()
    outcome = _outcome(live, error, ended)
    report = EndInstance(
        run=run,
        outcome=outcome,
        started_at=live.started_at,
        finished_at=live.started_at + round((ended - began) * SECOND),
        error=_explain(live, outcome, error, ended - began),
        state=state if outcome == "succeeded" else None,
        may_retry=_may_retry(task, error),
    )
    if live.span is not None:
        end_attempt(live.span, report)
    error = None  # a traceback kept alive would keep all that the task held alive
    current_pen.set(None)
    if not pen.reported(report):
        with trio.CancelScope(shield=True):
            await pen.report(report)


async def _guarded(
    live: Live, task: Task[Any, Any], pen: InstancePen, workers: Pool | None
) -> tuple[bytes | None, BaseException | None]:
    """Perform the body; return its new state, and what it raised."""
    run = live.run
    state: bytes | None = None
    try:
        with live.scope:
            if task.isolate is not None and workers is not None:
                state = await _elsewhere(live, task, pen, workers)
            else:
                due_at = None if run.due_at is None else to_datetime(run.due_at)
                out = task.out(pen, run.id, run.attempt, due_at, live.scope.deadline)
                state = await _body(task, run, out)
    except BaseException as error:  # noqa: BLE001 - the guard: nothing that a task raises gets past here
        live.struck = handed_on_ctrl_c(error)
        await trio.lowlevel.checkpoint_if_cancelled()  # but when the whole engine is cancelled, there is no outcome
        return None, error
    return state, None


@trio.lowlevel.disable_ki_protection  # else Ctrl-C could not end a program whose task holds the loop
async def _body(task: Task[Any, Any], run: InstanceStarted, out: Out[Any]) -> bytes | None:
    return await task.perform(task.decode_input(run.input), out, run.state)


async def _elsewhere(live: Live, task: Task[Any, Any], pen: InstancePen, workers: Pool) -> bytes | None:
    """Perform the body in a worker process, which is killed when the scope around this is cancelled."""
    run = live.run
    module, file = home_of(task)
    async with workers.worker() as live.worker:
        try:
            left = live.scope.deadline - trio.current_time()
            trace = None if live.span is None else live.span.traceparent
            job = Job(module, file, task.name, run.input, run.state, run.id, run.attempt, run.due_at, left, trace)
            return await live.worker.run(job, pen)
        finally:
            live.worker = None


def _may_retry(task: Task[Any, Any], error: BaseException | None) -> bool:
    if isinstance(error, BodyFailed):  # what it raised is known to its worker only
        return task.retries is not None and error.may_retry
    return task.retries is not None and (error is None or task.retries.retries_on(error))


def _outcome(live: Live, error: BaseException | None, ended: float) -> str:
    """Name the outcome by what the body did, and by what it was told first.

    A body that ends by itself although it was told to cancel has succeeded: that is the truth. One that overran its
    time-out has timed out, whether it reached a checkpoint where it was told or not.
    """
    if live.struck:
        return "interrupted"
    told = live.cancellation
    told_first = told is not None and told.at <= live.scope.deadline
    overran = ended >= live.scope.deadline
    if error is None and not live.scope.cancelled_caught:
        return "timed_out" if overran and not told_first else "succeeded"
    if told is not None and told_first:
        return told.outcome
    return "timed_out" if overran or live.scope.cancelled_caught else "failed"


def _explain(live: Live, outcome: str, error: BaseException | None, seconds: float) -> bytes | None:
    """Return what went wrong as a JSON object: type, message, traceback."""
    if error is not None:
        return msgspec.json.encode(error.described if isinstance(error, BodyFailed) else describe(error))
    if outcome == "timed_out":
        limit = (live.run.timeout or 0) / SECOND
        message = f"ran {seconds:.3f} s, more than its limit of {limit:g} s"
        return msgspec.json.encode({"type": "TimedOut", "message": message})
    return None
