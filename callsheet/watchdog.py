"""A thread outside the event loop: sees when the loop is blocked, by which instance, and ends the process at need.

A task without a checkpoint holds everything in the loop's thread, shutdown included; only another thread can tell.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from math import inf
from types import FrameType
from typing import Any

import trio

from callsheet.capture import current_pen
from callsheet.figures import SHORT, Histogram
from callsheet.logs import told
from callsheet.onefile import Echo

log = logging.getLogger("callsheet.watchdog")

BEAT = 0.25  # seconds between two looks
LATE = 1.0  # seconds without a beat after which the loop counts as blocked
REPEAT = 10.0  # seconds between two reports of the same block

STOPS = (signal.SIGTERM, signal.SIGINT)

Report = Callable[[str | None, float, str], object]


class Watchdog:
    """Watches one event loop; made in the loop's own thread."""

    def __init__(self, report: Report) -> None:
        """`report` is called in the loop after a block: the instance (or None), seconds, where it stood."""
        self._token = trio.lowlevel.current_trio_token()
        self._loop_thread = threading.get_ident()
        self._report = report
        self.lags = Histogram(SHORT)
        self._beat = self._asked_at = time.monotonic()
        self._pending = False
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        self._signals_before: int | None = None
        self._graces: list[float] = []
        self._echo = Echo()
        self._ends_at: float | None = None
        self._exit_code = 0
        self._last_words: Callable[[str | None], object] = lambda _: None
        self._done = False
        self._culprit: tuple[str | None, str] | None = None
        self._said_at = 0.0
        threading.Thread(target=self._watch, name="callsheet-watchdog", daemon=True).start()

    def lag(self) -> float:
        """Return for how many seconds the loop has not come round; near 0 when all is well."""
        return max(time.monotonic() - self._beat - BEAT, 0.0)

    def bound_the_end(self, graces: Sequence[float], last_words: Callable[[str | None], object]) -> None:
        """From now on, hear SIGTERM and SIGINT beside the loop, which may be deaf; call it in the main thread.

        `graces[n]` seconds after the n-th of them the process is ended by force, unless it has ended by itself;
        `last_words` gets the instance that holds the loop, if one does.
        """
        self._graces, self._last_words = list(graces), last_words
        # Trio's own descriptor is not needed: every beat wakes the loop, and so does the hearing of a signal.
        self._signals_before = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)

    def end_process_in(self, seconds: float, code: int, last_words: Callable[[str | None], object]) -> None:
        """End the process by force, with another exit code and other last words, unless it has ended by itself."""
        self._exit_code, self._last_words = code, last_words
        self._end_in(seconds)

    def left(self) -> float:
        """Return the seconds until the process is ended by force; inf when nobody has told it to end."""
        return inf if self._ends_at is None else self._ends_at - time.monotonic()

    def close(self) -> None:
        """Stop watching."""
        self._done = True
        if self._signals_before is not None:
            signal.set_wakeup_fd(self._signals_before, warn_on_full_buffer=False)

    def _watch(self) -> None:
        with self._ear, self._mouth:
            while not self._done:
                self._listen()
                if self._ends_at is not None and time.monotonic() >= self._ends_at:
                    self._end_process()
                if not self._ask_for_beat():
                    return
                blocked = self.lag()
                if blocked > LATE:
                    self._notice(blocked)

    def _listen(self) -> None:
        """Wait for the next look; hear signals meanwhile."""
        began, busy = time.monotonic(), time.process_time()
        left = BEAT if self._ends_at is None else min(BEAT, self._ends_at - began)
        self._ear.settimeout(max(left, 0.001))
        try:
            heard = self._ear.recv(64)
        except TimeoutError:
            heard = b""
        late = time.monotonic() - began - BEAT
        if late > LATE and time.process_time() - busy < late / 2:
            self._beat = time.monotonic()  # the whole process was stopped, not the loop by a task
        for number in heard:
            if number in STOPS:
                self._told_to_stop()

    def _told_to_stop(self) -> None:
        if self._echo.heard():
            return
        self._end_in(self._graces[0])
        if len(self._graces) > 1:
            del self._graces[0]

    def _end_in(self, seconds: float) -> None:
        ends_at = time.monotonic() + seconds
        self._ends_at = ends_at if self._ends_at is None else min(self._ends_at, ends_at)

    def _ask_for_beat(self) -> bool:
        if self._pending:
            return True
        self._pending, self._asked_at = True, time.monotonic()
        try:
            self._token.run_sync_soon(self._take_beat)
        except trio.RunFinishedError:
            return False
        return True

    def _take_beat(self) -> None:
        blocked, self._beat, self._pending = self.lag(), time.monotonic(), False
        self.lags.add(self._beat - self._asked_at)
        culprit, self._culprit = self._culprit, None
        if culprit is not None:
            self._report(culprit[0], blocked, culprit[1])

    def _notice(self, blocked: float) -> None:
        first = self._culprit is None
        if not first and time.monotonic() - self._said_at < REPEAT:
            return
        frame = sys._current_frames().get(self._loop_thread)
        name, where = blame(frame)
        self._culprit, self._said_at = (name, where), time.monotonic()
        who = f"instance {name}" if name else "no instance"
        stack = "".join(traceback.format_stack(frame, limit=12)) if frame else ""
        extra = told("loop.blocked", instance=name, seconds=blocked, where=where)
        log.error("the event loop is blocked for %.1f s by %s at %s\n%s", blocked, who, where, stack, extra=extra)

    def _end_process(self) -> None:
        held = self.lag() > BEAT
        self._last_words(blame(sys._current_frames().get(self._loop_thread))[0] if held else None)
        os._exit(self._exit_code)


def blame(frame: FrameType | None) -> tuple[str | None, str]:
    """Return the instance whose code a thread's innermost frame belongs to, and where that frame stands."""
    where = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}" if frame else "unknown"
    while frame is not None:
        if frame.f_code.co_name == "unrolled_run":  # Trio's loop: its local `task` is the one that is being run
            return _instance_of(frame.f_locals.get("task")), where
        frame = frame.f_back
    return None, where


def _instance_of(task: Any) -> str | None:
    context = getattr(task, "context", None)
    pen = context.get(current_pen) if context is not None else None
    return None if pen is None else str(pen)
