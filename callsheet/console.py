"""Standard output and error of a service: whoever should read them may be slow, gone, or was never there.

Nothing in the process may wait for them: a full pipe would hold the event loop, and so everything, for ever.
"""

import fcntl
import io
import os
import queue
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress

from attrs import frozen

ROOM = 1000  # writes that may wait for a reader; further ones are dropped
LAST_WAIT = 0.1  # seconds that what is left at a stop as told may take to be read: stopping has its own bound
REASON_WAIT = 2.0  # seconds for the reason of a refusal


class Spool(io.TextIOBase):
    """A text stream that a thread of its own writes to a descriptor; to write to it never waits."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # one of our own: should a task close 1, the next file would get that number, and be written into
        self._ours = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
        self._waiting: queue.Queue[bytes] = queue.Queue(ROOM)
        self._dropped = 0
        threading.Thread(target=self._write_on, name=f"callsheet-console-{descriptor}", daemon=True).start()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Return the encoding."""
        return "utf-8"

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, text: str) -> int:
        """Pass text on to the thread, or drop it when too much waits already."""
        data = text.encode(errors="backslashreplace")
        if self._dropped:
            data = f"... {self._dropped} messages are missing here: nobody read them in time\n".encode() + data
        try:
            self._waiting.put_nowait(data)
            self._dropped = 0
        except queue.Full:
            self._dropped += 1
        return len(text)

    @property
    def idle(self) -> bool:
        """Tell whether all is written."""
        return not self._waiting.unfinished_tasks

    def _write_on(self) -> None:
        while True:
            data = self._waiting.get()
            with suppress(OSError):  # nobody reads it any more
                _write_all(self._ours, data)
            self._waiting.task_done()


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:  # somebody who shares it has set it so
            select.select([], [descriptor], [])


@frozen
class Console:
    """What people watch."""

    out: Spool
    errors: Spool

    def say(self, text: str) -> None:
        """Show lines on standard output."""
        self.out.write(text)

    def complain(self, text: str) -> None:
        """Say on standard error why the process ends, and see to it that it is read if anybody reads at all."""
        self.errors.write(text)
        self.finish(REASON_WAIT)

    def finish(self, within: float = LAST_WAIT) -> None:
        """Wait until what was said is written, but not for long."""
        deadline = time.monotonic() + within
        while not (self.out.idle and self.errors.idle) and time.monotonic() < deadline:
            time.sleep(0.002)


class Opening:
    """Holds back what the engine has to say until the service has introduced itself; callable from any thread."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._held: list[str] | None = []
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Show lines, later if it is too early."""
        with self._lock:
            if self._held is None:
                self._say(text)
            else:
                self._held.append(text)

    def over(self) -> None:
        """Show what was held back, and everything from now on at once."""
        with self._lock:
            held, self._held = self._held or [], None
            self._say("".join(held))


@contextmanager
def unblocked() -> Iterator[Console]:
    """Let nothing that is printed or logged hold up the process, for as long as the context lasts."""
    _open_closed_descriptors()
    console = Console(Spool(1), Spool(2))
    with redirect_stdout(console.out), redirect_stderr(console.errors):
        try:
            yield console
        finally:
            console.finish()


def _open_closed_descriptors() -> None:
    """Give 0, 1 and 2 something to lead to: else the next file would get such a number, and be printed into."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
