"""Where `print` and `logging` inside a task go: to that instance's log, from whichever thread they come."""

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TextIO


class Pen(Protocol):
    """Takes lines for the log of one instance; callable from any thread and never blocks."""

    def write_line(self, level: str, text: str) -> None:
        """Take one line."""


current_pen: ContextVar[Pen | None] = ContextVar("callsheet_pen", default=None)


class _Handler(logging.Handler):
    """Hands what a task logs to its instance; what nobody's task logs passes on to the other handlers."""

    def emit(self, record: logging.LogRecord) -> None:
        pen = current_pen.get()
        if pen is None or record.name.split(".")[0] == "callsheet":
            return
        try:
            pen.write_line(record.levelname.lower(), self.format(record))
        except Exception:  # noqa: BLE001 - a record that cannot be formatted is the task's fault, not ours
            self.handleError(record)


class _Stream(io.TextIOBase):
    """A standard stream that a task's print does not reach: its lines go to the instance's log."""

    def __init__(self, beneath: TextIO, level: str) -> None:
        self._beneath = beneath
        self._level = level

    def write(self, text: str) -> int:
        pen = current_pen.get()
        if pen is None:
            return self._beneath.write(text)
        for line in text.splitlines():
            if line.strip():
                pen.write_line(self._level, line)
        return len(text)

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
    """Route print and logging of tasks into their logs for as long as the context lasts."""
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
