"""What runs in a worker process: it takes jobs from the service, one at a time, and performs each in a loop of its own.

The main thread runs the bodies. A second one listens to the service: it can tell where the body stands even while the
body computes, and ends the process and its children once the service is gone.
"""

import faulthandler
import os
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from io import TextIOWrapper
from queue import Empty, SimpleQueue
from typing import Any

import msgspec
import trio
from attrs import define, field

from callsheet.capture import MAX_LINE, Pieces, captured, current_pen
from callsheet.instants import to_datetime
from callsheet.tasks import Task
from callsheet.tasks.failure import describe
from callsheet.tasks.out import check_size
from callsheet.tasks.registry import module_again
from callsheet.tasks.stack import await_stack, thread_stack
from callsheet.tasks.text import safe_text
from callsheet.workers.spans import SENDERS, follow_from_afar
from callsheet.workers.wire import CHUNK, AskStack, Ear, Ended, Job, Line, Output, Progress, Said, Stack, encode

EAR = "callsheet-worker-ear"
SURE_TO_FIT = 32_768  # bytes that a socket which is ready to be written to takes at once
LOOP_ANSWERS_WITHIN = 0.1  # seconds; after that the loop counts as busy
FIRST_TO_GO = 500  # when memory runs out, the kernel takes a worker rather than the service


class Wire:
    """The way to the service; whoever speaks waits until there is room, and nobody speaks into another's words."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._cut = False

    def send(self, message: Said) -> None:
        """Say something; blocks until it fits in."""
        frame = encode(message)
        with self._lock:
            if not self._cut:
                self._connection.sendall(frame)

    async def send_from_loop(self, message: Said) -> None:
        """Say something, while the rest of the loop goes on should that take time."""
        if self._sure_to_fit(message):
            self.send(message)
            await trio.lowlevel.checkpoint()
        else:
            await trio.to_thread.run_sync(self.send, message)

    def cut(self) -> None:
        """Forget the service: in a child that a body forked, which must neither speak nor hold the line."""
        self._cut = True
        self._lock = threading.Lock()
        self._connection.close()

    def _sure_to_fit(self, message: Said) -> bool:
        if self._lock.locked() or (isinstance(message, Output) and len(message.raw) > SURE_TO_FIT):
            return False
        poll = select.poll()
        poll.register(self._connection, select.POLLOUT)
        return bool(poll.poll(0))


class WorkerPen:
    """Takes what a body says and passes it on, with the checks that would be made in the service."""

    def __init__(self, wire: Wire, max_log_bytes: int) -> None:
        self._wire = wire
        self._room = max_log_bytes
        self._pieces = Pieces(MAX_LINE)
        self._over = False

    async def output(self, seq: int, raw: bytes) -> None:
        """Pass one output on."""
        check_size(raw)
        await self._wire.send_from_loop(Output(seq, raw))

    async def progress(self, done: float, total: float | None, note: str) -> None:
        """Pass on how far it is."""
        await self._wire.send_from_loop(Progress(_small(done), None if total is None else _small(total), note[:1000]))

    async def log(self, level: str, text: str, fields: dict[str, object]) -> None:
        """Pass one line on."""
        self._write(level, text, msgspec.json.encode(fields) if fields else None)
        await trio.lowlevel.checkpoint()

    def write_line(self, level: str, text: str) -> None:
        """Pass on a line from logging, from any thread."""
        self._write(safe_text(level[:32]), safe_text(text[:MAX_LINE]))

    def write_text(self, level: str, text: str) -> None:
        """Pass on what print writes, from any thread."""
        for line in self._pieces.add(level, text) if self._room > 0 else ():
            self.write_line(level, line)

    def close(self) -> None:
        """Pass on the lines that were begun; what is said from now on belongs to nobody."""
        for level, text in self._pieces.rest():
            self.write_line(level, text)
        self._over = True

    def _write(self, level: str, text: str, fields: bytes | None = None) -> None:
        """Pass a line on until the log is full, which the service, counting alike, says in it."""
        if self._room <= 0 or self._over:
            return
        self._room -= len(text.encode()) + len(fields or b"") + 32
        self._wire.send(Line(level, text, fields))


def _small(number: float) -> float:
    return number if abs(number) < 2**63 else float(number)


@define(eq=False)
class Run:
    """The body in hand, so that the other thread can find it."""

    token: trio.lowlevel.TrioToken | None = None
    task: trio.lowlevel.Task | None = None
    _main: int = field(factory=threading.get_ident)

    def stack(self) -> list[str]:
        """Return where it stands: the loop says so itself, unless a body holds it."""
        said: SimpleQueue[list[str]] = SimpleQueue()
        with suppress(Empty, trio.RunFinishedError):
            if self.token is not None:
                self.token.run_sync_soon(lambda: said.put(await_stack(self.task)))
                return said.get(timeout=LOOP_ANSWERS_WITHIN)
        return thread_stack(self._main)


def main(descriptor: int) -> None:
    """Serve over the connection that has this descriptor, until the service hangs up."""
    connection = socket.socket(fileno=descriptor)
    connection.set_inheritable(False)
    faulthandler.enable()  # a body that crashes the interpreter leaves its last line in the log
    _step_forward()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a pipe would be written in blocks
    wire, run, jobs = Wire(connection), Run(), SimpleQueue[Job]()
    os.register_at_fork(after_in_child=wire.cut)
    threading.Thread(target=_listen, args=(connection, wire, run, jobs), name=EAR, daemon=True).start()
    with captured():
        while True:
            wire.send(_perform(jobs.get(), wire, run))


def _step_forward() -> None:
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:  # noqa: PTH123 - one write, no temporary
        score.write(str(FIRST_TO_GO))


def _listen(connection: socket.socket, wire: Wire, run: Run, jobs: "SimpleQueue[Job]") -> None:
    ear = Ear(Job | AskStack)
    with suppress(OSError):
        while piece := connection.recv(CHUNK):
            for message in ear.hear(piece):
                if isinstance(message, Job):
                    jobs.put(message)
                else:
                    wire.send(Stack(run.stack()))
    os.killpg(0, signal.SIGKILL)


def _perform(job: Job, wire: Wire, run: Run) -> Ended:
    """Perform one job and tell how it ended, whatever it raises."""
    try:
        task = _find(job)
        pen = WorkerPen(wire, task.max_log_bytes)
        state, error = trio.run(_body, task, job, pen, run)
        pen.close()
    except BaseException as failure:  # noqa: BLE001 - the author's module, or a body that broke its own loop
        return Ended(error=describe(failure))
    finally:
        run.token = run.task = None
    sys.stdout.flush()
    if error is None:
        return Ended(state, clean=_left_nothing())
    may_retry = task.retries is None or task.retries.retries_on(error)
    return Ended(error=describe(error), may_retry=may_retry, clean=_left_nothing())


def _find(job: Job) -> Task[Any, Any]:
    module = module_again(job.module, job.file)
    for value in vars(module).values():
        if isinstance(value, Task) and value.name == job.task:
            return value
    raise LookupError(f"there is no task {job.task} in {module.__file__} any more: restart the service")


async def _body(task: Task[Any, Any], job: Job, pen: WorkerPen, run: Run) -> tuple[bytes | None, BaseException | None]:
    current_pen.set(pen)
    if job.trace is not None:
        follow_from_afar(job.trace)
    run.task, run.token = trio.lowlevel.current_task(), trio.lowlevel.current_trio_token()
    due_at = None if job.due_at is None else to_datetime(job.due_at)
    out = task.out(pen, job.id, job.attempt, due_at, trio.current_time() + job.seconds)
    try:
        return await task.perform(task.decode_input(job.input), out, job.state), None
    except BaseException as error:  # noqa: BLE001 - the guard, as in the service
        return None, error


def _left_nothing() -> bool:
    """Tell whether the body left no process and no thread of its own: what goes on may hurt the next one."""
    others = [one for one in threading.enumerate() if not one.name.startswith(("MainThread", "Trio", EAR, SENDERS))]
    if others:
        return False
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False
