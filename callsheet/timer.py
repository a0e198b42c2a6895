"""A sleep that is finer than the event loop's: epoll rounds every wait up to whole milliseconds, timerfd does not.

Where there is no timerfd (it is Linux's), it sleeps as Trio does.
"""

import ctypes
import os
import time
from contextlib import suppress

import trio

_LIBC = ctypes.CDLL(None)
_NANOSECONDS = 1_000_000_000
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC  # TFD_NONBLOCK and TFD_CLOEXEC are the same bits


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    _fields_ = (("interval", _Time), ("value", _Time))


class Timer:
    """Sleeps for one task at a time; closed when nobody holds it any more."""

    def __init__(self) -> None:
        self._file = _create()

    def __del__(self) -> None:
        if self._file is not None:
            os.close(self._file)

    async def sleep(self, seconds: float) -> None:
        """Sleep for that long, never less, and little more."""
        if self._file is None or not _arm(self._file, seconds):
            await trio.sleep(seconds)
            return
        await trio.lowlevel.wait_readable(self._file)
        with suppress(BlockingIOError):
            os.read(self._file, 8)


def _create() -> int | None:
    try:
        file: int = _LIBC.timerfd_create(time.CLOCK_MONOTONIC, _FLAGS)
    except (OSError, AttributeError):  # not Linux
        return None
    return file if file >= 0 else None


def _arm(file: int, seconds: float) -> bool:
    whole, rest = divmod(max(round(seconds * _NANOSECONDS), 1), _NANOSECONDS)  # 0 would disarm it
    setting = _Setting(_Time(0, 0), _Time(whole, rest))
    return not _LIBC.timerfd_settime(file, 0, ctypes.byref(setting), None)
