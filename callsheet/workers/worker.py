"""A worker process, seen from the service: it is given a job, and what its body says is handed on."""

import codecs
import os
import socket
import subprocess
import sys
from contextlib import suppress
from typing import Any, Protocol

import msgspec
import trio
from attrs import define, field

from callsheet import onefile
from callsheet.forks import close_in_children
from callsheet.processes import Child, how_it_ended, spawn
from callsheet.settings import RUN_WORKER
from callsheet.tasks import Task
from callsheet.tasks.out import Sink
from callsheet.workers.wire import CHUNK, AskStack, Ear, Ended, Job, Line, Output, Progress, Said, Stack, encode

ANSWERS_WITHIN = 0.5  # seconds that a worker has to say where its body stands
LAST_WORDS = 2**20  # bytes that are read of a standard stream when the body is over

BOOT = "import sys; sys.path[:] = sys.argv[2:]; from callsheet.workers.child import main; main(int(sys.argv[1]))"

_PIPES: dict[str, Any] = {
    "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0
}  # fmt: skip


class WorkerDied(Exception):
    """The worker process ended before its task did."""


class NotFound(Exception):
    """A worker process has no way to find this task."""


class BodyFailed(Exception):
    """What a body raised in its worker process: `described` as text, and whether to try again after it."""

    def __init__(self, described: dict[str, str], may_retry: bool) -> None:
        super().__init__(described.get("message", ""))
        self.described = described
        self.may_retry = may_retry


class Scribe(Sink, Protocol):
    """Where the words of a run go: what its task sends and logs, and what it prints in pieces."""

    def write_line(self, level: str, text: str) -> None:
        """Take one line."""

    def write_text(self, level: str, text: str) -> None:
        """Take a piece of text, which may end in the middle of a line."""


@define(eq=False)
class _Question:
    answered: trio.Event = field(factory=trio.Event)
    lines: list[str] = field(factory=list)


class Worker:
    """One process; `fit` for another job when its last one is over and left nothing behind."""

    def __init__(self, child: Child, stream: trio.SocketStream) -> None:
        self.child = child
        self.fit = True
        self.idle_since = 0.0
        self._stream = stream
        self._streams = dict(zip(("stdout", "stderr"), child.outputs(), strict=True))
        self._speaking = trio.Lock()
        self._question: _Question | None = None
        self._ear = Ear(Said)

    async def run(self, job: Job, scribe: Scribe) -> bytes | None:
        """Have a body performed and return its new state; BodyFailed, or WorkerDied when the process did not live."""
        self.fit = False
        ended = None
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._bury)
                for level, stream in self._streams.items():
                    nursery.start_soon(_pump, stream, level, scribe)
                ended = await self._converse(job, scribe)
                scope.shield = True  # it is over: a cancellation comes too late
                nursery.cancel_scope.cancel()
        for level, stream in self._streams.items():
            scribe.write_text(level, _rest_of(stream))
        if ended is None:
            how = how_it_ended(await self.child.ended())
            raise WorkerDied(f"the worker process {how}, before the task was over")
        self.fit = ended.clean
        if ended.error is not None:
            raise BodyFailed(ended.error, ended.may_retry)
        return ended.state

    async def stack(self) -> list[str]:
        """Ask where the body stands."""
        question = self._question
        if question is None:
            question = self._question = _Question()
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._say(AskStack())
        with trio.move_on_after(ANSWERS_WITHIN):
            await question.answered.wait()
            return question.lines
        why = "it is in C code that holds on to Python's lock, or waits for room for its output"
        return [f"worker process {self.child.pid} does not answer: {why}"]

    async def end(self) -> None:
        """Kill it and all that it started; not even a cancellation comes in between."""
        await self.child.end()
        self._stream.socket.close()
        for stream in self._streams.values():
            stream.close()

    async def _say(self, message: Job | AskStack) -> None:
        async with self._speaking:
            await self._stream.send_all(encode(message))

    async def _converse(self, job: Job, scribe: Scribe) -> Ended | None:
        """Tell the job and hand on what comes back until the body is over; None when the process was first."""
        with suppress(trio.BrokenResourceError):  # it has ended already: what it said is still to be read
            await self._say(job)
        while piece := await self._heard():
            for message in self._ear.hear(piece):
                if isinstance(message, Ended):
                    return message
                await self._pass_on(message, scribe)
        return None

    async def _heard(self) -> bytes:
        try:
            return bytes(await self._stream.receive_some(CHUNK))
        except trio.BrokenResourceError:
            return b""

    async def _pass_on(self, message: object, scribe: Scribe) -> None:
        match message:
            case Output(seq, raw):
                await scribe.output(seq, raw)
            case Progress(done, total, note):
                await scribe.progress(done, total, note)
            case Line(level, text, None):
                scribe.write_line(level, text)
            case Line(level, text, bytes(fields)):
                await scribe.log(level, text, msgspec.json.decode(fields))
            case Stack(lines):
                self._answer(lines)

    def _answer(self, lines: list[str]) -> None:
        question, self._question = self._question, None
        if question is not None:
            question.lines = lines
            question.answered.set()

    async def _bury(self) -> None:
        """Once the process has ended, kill what it started: that may hold our connection open."""
        await self.child.exited()
        self.child.kill()


async def start_worker() -> Worker:
    """Start a worker process; it may be given its job at once."""
    ours, theirs = socket.socketpair()
    close_in_children(ours)
    try:
        with theirs:
            child = await spawn(
                _command(theirs.fileno()), pass_fds=(theirs.fileno(),), env=onefile.environment(), **_PIPES
            )
        try:
            return Worker(child, trio.SocketStream(trio.socket.from_stdlib_socket(ours)))
        except BaseException:  # no descriptor is left, say
            await child.end()
            raise
    except BaseException:
        ours.close()
        raise


def _command(descriptor: int) -> list[str]:
    """Return what starts a process that finds its modules where this one does."""
    if onefile.is_frozen():
        return onefile.command(RUN_WORKER, str(descriptor), *sys.path)
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined] # as multiprocessing does
    return [sys.executable, *flags, "-P", "-c", BOOT, str(descriptor), *sys.path]


def home_of(task: Task[Any, Any]) -> tuple[str, str | None]:
    """Return the module that a worker finds a task in, and its file; NotFound for a task that it could not find."""
    name = task.origin.partition(":")[0]
    module = sys.modules.get(name)
    if name == "__main__" or module is None or not any(value is task for value in vars(module).values()):
        raise NotFound(
            f"{task.name} is not at the top level of an importable module (it is {task.origin}), "
            'and a worker process finds a task there only: move it, or leave out isolate="process"'
        )
    return name, getattr(module, "__file__", None)


async def _pump(stream: trio.lowlevel.FdStream, level: str, scribe: Scribe) -> None:
    """Write down what comes from a standard stream: of C code, and of programs that the body runs."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while piece := await stream.receive_some(CHUNK):
        scribe.write_text(level, decoder.decode(piece))


def _rest_of(stream: trio.lowlevel.FdStream) -> str:
    """Read what is there without waiting for more."""
    rest = b""
    with suppress(BlockingIOError):
        while len(rest) < LAST_WORDS and (piece := os.read(stream.fileno(), CHUNK)):
            rest += piece
    return rest.decode("utf-8", "replace")
