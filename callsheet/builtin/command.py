"""The task `command`: run a program without a shell, with its output in the log, and end it with all that it started.

Whoever may start a task may then run anything that this process may run: so it is there only where the operator has
allowed it.
"""

import codecs
import errno
import os
import subprocess
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
import trio
from attrs import define

from callsheet import Out, task
from callsheet.capture import Pieces
from callsheet.errors import CallsheetError
from callsheet.processes import Child, how_it_ended, spawn
from callsheet.tasks.decorator import MOST_LOG_BYTES
from callsheet.tasks.text import safe_text

GRACE = 0.7  # seconds between SIGTERM and SIGKILL: at shutdown, tasks have 1 s for their clean-up
MOST_GRACE = 4.0  # seconds: 5 after its cancellation an instance counts as stuck
LINGERS = 1.0  # seconds that what the program has left running may hold on to its output
LAST_READING = 0.1  # seconds for what is still in the pipes once all is killed
STDOUT_KEPT, STDERR_KEPT = 16_384, 2_000  # bytes: the last ones
LONGEST = 8_000  # characters of a line; longer ones are broken
CHUNK = 16_384
ONE_FILE = "_PYI_"  # how the one-file binary speaks to copies of itself; this may be another version of it

Text = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*$")]
Name = Annotated[str, msgspec.Meta(pattern=r"^[^=\x00]+$")]


class NotStarted(CallsheetError):
    """The program could not be started."""

    kind = "not-started"
    title = "The program could not be started"


class CommandFailed(CallsheetError):
    """The program ended with an exit code that is not among the `ok_codes`."""

    kind = "command-failed"
    title = "The program failed"


class Command(msgspec.Struct, forbid_unknown_fields=True):
    """Run a program: `argv[0]`, searched on the PATH unless it has a slash, with the other arguments as they are."""

    argv: Annotated[list[Text], msgspec.Meta(min_length=1, description="The program and its arguments; no shell")]
    env: Annotated[dict[Name, Text], msgspec.Meta(description="Variables to set")] = {}
    clear_env: Annotated[bool, msgspec.Meta(description="Begin with no variables but those of env")] = False
    cwd: Annotated[Text | None, msgspec.Meta(description="The directory to run in; the service's own if null")] = None
    stdin: Annotated[str | None, msgspec.Meta(description="What the program reads; nothing if null")] = None
    ok_codes: Annotated[tuple[int, ...], msgspec.Meta(min_length=1, description="Exit codes of a success")] = (0,)
    grace: Annotated[float, msgspec.Meta(ge=0, le=MOST_GRACE, description="Seconds from SIGTERM to SIGKILL")] = GRACE


class Done(msgspec.Struct):
    """How it ended: -N as exit code is signal N; `stdout` is the end of it, at most 16 KiB."""

    exit_code: int
    seconds: float
    stdout: str


@task
async def command(_in: Command, out: Out[Done]) -> None:
    """Run a program without a shell; its lines go to the log, and any exit code but 0 is a failure."""
    began = trio.current_time()
    child = await _started(_in, out)
    stdout, stderr = Tail(STDOUT_KEPT), Tail(STDERR_KEPT)
    code = await _attend(child, _in.grace, Log(out), stdout, stderr)
    await out.send(Done(code, round(trio.current_time() - began, 6), stdout.text()))
    if code not in _in.ok_codes:
        last = stderr.text().strip()
        raise CommandFailed(f"{_in.argv[0]} {how_it_ended(code)}" + (f":\n{last}" if last else "."))


@define(eq=False)
class Tail:
    """The last bytes of a stream."""

    most: int
    kept: bytes = b""

    def add(self, piece: bytes) -> None:
        """Take what comes."""
        self.kept = (self.kept + piece)[-self.most :]

    def text(self) -> str:
        """Return it as text that begins with a whole character."""
        begin = next((index for index, byte in enumerate(self.kept[:4]) if byte & 0xC0 != 0x80), 0)
        return safe_text(self.kept[begin:].decode("utf-8", "replace"))


class Log:
    """Writes lines to the instance's log until that must be full; more would be work for nothing."""

    def __init__(self, out: Out[Any]) -> None:
        self._sink = out._box.sink  # `out.log` has no level to choose
        self._room = MOST_LOG_BYTES

    @property
    def is_full(self) -> bool:
        """Tell whether a line more would be dropped."""
        return self._room <= 0

    async def write(self, level: str, lines: Iterable[str]) -> None:
        """Write some lines."""
        for line in lines:
            if self.is_full:
                return
            self._room -= len(line) + 32  # never more than the instance's own count
            await self._sink.log(level, safe_text(line), {})


async def _started(_in: Command, out: Out[Done]) -> Child:
    stdin = subprocess.DEVNULL if _in.stdin is None else _file_of(_in.stdin)
    try:
        return await spawn(
            _in.argv,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=_in.cwd,
            env=_environment(_in, out),
        )
    except (OSError, ValueError) as error:
        raise NotStarted(_why_not(_in, error)) from None
    finally:
        if stdin != subprocess.DEVNULL:
            os.close(stdin)


def _file_of(text: str) -> int:
    """Put a text into a file in memory, which is read at any pace and needs nobody to feed it."""
    file = os.memfd_create("stdin")
    with open(file, "wb", closefd=False) as writer:
        writer.write(text.encode("utf-8", "replace"))
    os.lseek(file, 0, os.SEEK_SET)
    return file


def _environment(_in: Command, out: Out[Done]) -> dict[str, str]:
    """Return its variables: ours, without our settings, which may hold passwords, and what it may want to know."""
    if _in.clear_env:
        return _in.env
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CALLSHEET_", ONE_FILE))}
    due = {"CALLSHEET_DUE_AT": out.due_at.isoformat()} if out.due_at else {}
    return inherited | {"CALLSHEET_INSTANCE": str(out.id), "CALLSHEET_ATTEMPT": str(out.attempt)} | due | _in.env


def _why_not(_in: Command, error: OSError | ValueError) -> str:
    program = _in.argv[0]
    if not program:
        return "argv[0] is empty: it must name a program."
    number, where = getattr(error, "errno", None), getattr(error, "filename", None)
    why = os.strerror(number) if number else str(error)
    if _in.cwd is not None and where == _in.cwd and where != program:
        return f"The directory {_in.cwd!r} cannot be entered: {why}."
    if number == errno.ENOENT:
        place = "is not there, or the interpreter that it names is not" if "/" in program else "is not on the PATH"
        return f"The program {program!r} {place}."
    if number == errno.ENOEXEC:
        return f"{program!r} is no program for this machine; a script needs a first line such as #!/bin/sh."
    return f"{program!r} cannot be executed: {why}."


async def _attend(child: Child, grace: float, log: Log, stdout: Tail, stderr: Tail) -> int:
    """Read what it says until it has ended, by itself or by a cancellation; nothing of it is left afterwards."""
    reading, read = trio.CancelScope(shield=True), trio.Event()  # its last words count when it is ended, too
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read, child, reading, read, log, stdout, stderr)
            try:
                await _over(child, grace, read)
            finally:
                code = await child.end()
                reading.deadline = trio.current_time() + LAST_READING
    finally:
        await child.end()
    return code


async def _over(child: Child, grace: float, read: trio.Event) -> None:
    """Wait until it has ended, and for a while until those that share its output have; ask it to end if need be."""
    try:
        await child.exited()
        with trio.move_on_after(LINGERS):
            await read.wait()
    except trio.Cancelled:
        with trio.move_on_after(grace, shield=True):
            child.terminate()
            await child.exited()
            await read.wait()
        raise


async def _read(
    child: Child, reading: trio.CancelScope, read: trio.Event, log: Log, stdout: Tail, stderr: Tail
) -> None:
    with reading:
        async with trio.open_nursery() as nursery:
            for level, stream, tail in zip(("stdout", "stderr"), child.outputs(), (stdout, stderr), strict=True):
                nursery.start_soon(_pump, stream, level, tail, log)
    read.set()


async def _pump(stream: trio.lowlevel.FdStream, level: str, tail: Tail, log: Log) -> None:
    pieces, decoder = Pieces(LONGEST), codecs.getincrementaldecoder("utf-8")("replace")
    try:
        while chunk := await stream.receive_some(CHUNK):
            tail.add(bytes(chunk))
            if not log.is_full:
                await log.write(level, pieces.add(level, decoder.decode(chunk)))
    finally:
        stream.close()
        with trio.CancelScope(shield=True):
            await log.write(level, pieces.add(level, decoder.decode(b"", final=True)))
            await log.write(level, [text for _, text in pieces.rest()])
