"""Child processes that end with all that they started, and none of which outlives us.

Each child leads a session and a process group of its own. The kernel itself kills that group when we are gone, however
that came about: the child holds the reading end of a pipe, its lifeline, and the closing of our end raises SIGKILL.
Unlike a parent-death signal this does not depend on the thread that started the child, and it reaches the whole group;
unlike a thread of the child that watches for it, nothing that the child does can keep it from coming.
"""

import fcntl
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from io import FileIO
from pathlib import Path
from subprocess import Popen
from typing import IO, Any

import trio

from callsheet.forks import close_in_children

_F_SETSIG = 10  # Linux's number: the module does not have it
_STARTERS = 4
"""How many children may be in the making at once."""

_starters: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("callsheet process starters")


class Child:
    """A process that leads its own group; whoever started it must `end` it, or have it `ended`."""

    def __init__(self, popen: "Popen[bytes]", lifeline: FileIO) -> None:
        self.pid = popen.pid
        self.code: int | None = None
        self._popen = popen
        self._lifeline = lifeline
        self._pidfd = os.pidfd_open(popen.pid)
        self._strays: list[int] = []  # descriptors of processes, for these never come to mean another one

    async def exited(self) -> None:
        """Wait until it has ended. It is not reaped: until then its number is nobody else's, nor is its group's."""
        await trio.lowlevel.wait_readable(self._pidfd)

    def has_exited(self) -> bool:
        """Tell whether it has ended already."""
        if self.code is not None:
            return True
        return os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def signal(self, number: int) -> None:
        """Send a signal to its whole group."""
        if self.code is not None:
            return  # it is reaped, and the number may be somebody else's by now
        with suppress(ProcessLookupError, PermissionError):  # gone, or a program that runs as somebody else
            os.killpg(self.pid, number)

    def terminate(self) -> None:
        """Ask its group to end, and note what has left the group: once its parent has ended nobody would find it."""
        self._note_strays()
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill its group, and what it started that has left the group."""
        self._note_strays()
        self.signal(signal.SIGKILL)
        strays, self._strays = self._strays, []
        for stray in strays:
            with suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(stray, signal.SIGKILL)
            os.close(stray)

    def _note_strays(self) -> None:
        for pid in _descendants(self.pid) if self.code is None else ():
            with suppress(OSError):
                self._strays.append(os.pidfd_open(pid))

    async def ended(self) -> int:
        """Wait until it has ended, kill what it left behind, and return its exit code; -N when signal N ended it."""
        if self.code is None:
            await self.exited()
            self.signal(signal.SIGKILL)
            self.code = self._popen.wait()
            os.close(self._pidfd)
            self._lifeline.close()
        return self.code

    def outputs(self) -> tuple[trio.lowlevel.FdStream, trio.lowlevel.FdStream]:
        """Return the reading ends of its standard output and error, both of which must be pipes."""
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        return _stream(self._popen.stdout), _stream(self._popen.stderr)

    async def end(self) -> int:
        """Kill it and all that it started; return its exit code. Not even a cancellation comes in between."""
        self.kill()
        with trio.CancelScope(shield=True):
            await self.ended()
        assert self.code is not None
        return self.code


async def spawn(argv: Sequence[str], *, pass_fds: Sequence[int] = (), **options: Any) -> Child:
    """Start a program without holding up the loop; `options` are those of Popen, whose errors pass through."""
    start = partial(_spawn, list(argv), tuple(pass_fds), options)
    return await trio.to_thread.run_sync(start, limiter=_starter_limiter())


def _starter_limiter() -> trio.CapacityLimiter:
    try:
        return _starters.get()
    except LookupError:
        _starters.set(trio.CapacityLimiter(_STARTERS))
        return _starters.get()


def _spawn(argv: list[str], pass_fds: tuple[int, ...], options: dict[str, Any]) -> Child:
    reading, writing = os.pipe()
    lifeline = FileIO(writing, "wb")
    close_in_children(lifeline)
    try:
        popen = Popen(argv, start_new_session=True, pass_fds=(reading, *pass_fds), **options)
        try:
            _tie(reading, popen.pid)
            return Child(popen, lifeline)
        except BaseException:  # no descriptor is left, say
            popen.kill()
            popen.wait()
            raise
    except BaseException:
        lifeline.close()
        raise
    finally:
        os.close(reading)


def _tie(lifeline: int, group: int) -> None:
    """Have the kernel kill a group once the other end of its lifeline is closed."""
    with suppress(OSError):  # a kernel that does not know how
        fcntl.fcntl(lifeline, _F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -group)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def _stream(pipe: IO[bytes]) -> trio.lowlevel.FdStream:
    stream = trio.lowlevel.FdStream(os.dup(pipe.fileno()))
    pipe.close()
    return stream


def _descendants(pid: int) -> list[int]:
    """Find all that a process started, and what these did."""
    found = [pid]
    for parent in found:
        for listing in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, listing.read_text().split())
    return found[1:]


def how_it_ended(code: int) -> str:
    """Put an exit code as Popen gives it into words."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal
        name = f"signal {-code}"
    hint = ", as the kernel does when memory runs out" if -code == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"
