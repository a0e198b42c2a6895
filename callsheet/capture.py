"""Where `print` and `logging` inside a task go: to that instance's log, from whichever thread they come."""

import io
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from typing import Protocol, TextIO

MAX_LINE = 64_000  # characters of one line of log


class Pen(Protocol):
    """Takes what one instance says for its log; callable from any thread and never blocks."""

    def write_line(self, level: str, text: str) -> None:
        """Take one line."""

    def write_text(self, level: str, text: str) -> None:
        """Take a piece of text, which may end in the middle of a line."""


class Pieces:
    """Puts together the lines that `print` writes in pieces, for each level and thread apart."""

    __slots__ = ("_begun", "_longest")

    def __init__(self, longest: int) -> None:
        """`longest` is the number of characters from which on a line is broken."""
        self._longest = longest
        self._begun: dict[tuple[str, int], str] = {}

    def add(self, level: str, text: str) -> list[str]:
        """Take a piece and return the lines that it ends; empty ones are left out."""
        key = level, threading.get_ident()
        lines = (self._begun.pop(key, "") + text).splitlines(keepends=True)
        if lines and lines[-1].splitlines()[0] == lines[-1] and len(lines[-1]) < self._longest:
            self._begun[key] = lines.pop()
        return [line.rstrip() for line in lines if line.strip()]

    def rest(self) -> list[tuple[str, str]]:
        """Return level and text of the lines that were begun and never ended."""
        if not self._begun:  # as nearly always
            return []
        begun, self._begun = self._begun, {}
        return [(level, text.rstrip()) for (level, _), text in begun.items() if text.strip()]


current_pen: ContextVar[Pen | None] = ContextVar("callsheet_pen", default=None)


class _Handler(logging.Handler):
    """Hands what a task logs to its instance; what nobody's task logs is shown as if this handler were not there."""

    def emit(self, record: logging.LogRecord) -> None:
        pen = current_pen.get()
        if record.name.split(".")[0] == "callsheet":
            return
        if pen is None:
            if logging.lastResort and logging.getLogger().handlers == [self]:
                _pass_on(logging.lastResort, record)
            return
        try:
            pen.write_line(record.levelname.lower(), self.format(record))
        except Exception:  # noqa: BLE001 - a record that cannot be formatted is the task's fault, not ours
            self.handleError(record)


def _pass_on(handler: logging.Handler, record: logging.LogRecord) -> None:
    if record.levelno >= handler.level:
        handler.handle(record)


class _Stream(io.TextIOBase):
    """A standard stream that a task's print does not reach: its lines go to the instance's log."""

    def __init__(self, beneath: TextIO, level: str) -> None:
        self._beneath = beneath
        self._level = level

    def write(self, text: str) -> int:
        pen = current_pen.get()
        if pen is None:
            return self._beneath.write(text)
        pen.write_text(self._level, text)
        return len(text)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        if current_pen.get() is None:
            self._beneath.flush()

    def fileno(self) -> int:
        return self._beneath.fileno()

    def isatty(self) -> bool:
        return self._beneath.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._beneath.encoding


@contextmanager
def captured() -> Iterator[None]:
    """Route print and logging of tasks into their logs for as long as the context lasts, from the level `info` on."""
    with _routed(), _lowered():
        yield


@contextmanager
def _routed() -> Iterator[None]:
    handler, root = _Handler(), logging.getLogger()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    before = sys.stdout, sys.stderr
    root.addHandler(handler)
    sys.stdout, sys.stderr = _Stream(sys.stdout, "print"), _Stream(sys.stderr, "stderr")
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        root.removeHandler(handler)


@contextmanager
def _lowered() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    root.setLevel(min(level or logging.INFO, logging.INFO))  # or `info` would never get as far as the handler
    try:
        yield
    finally:
        root.setLevel(level)


class _Shared:
    """A context that several may be in at once, and that is entered once: what it changes is one for the process."""

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._users = 0
        self._stack = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._stack.enter_context(self._make())

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._stack.close()


routed, lowered = _Shared(_routed), _Shared(_lowered)
"""The two halves of `captured`, for engines in a program that they share with others."""
