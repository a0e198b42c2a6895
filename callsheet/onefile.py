"""The one-file binary: no interpreter to call, and a parent process that unpacked us and waits for our end.

What PyInstaller's loader does, and we have to get along with:

- It unpacks all files into a folder `_MEI…` with its own process number in the name, and removes that when its child,
  which is us, has ended.
- It hands on to us every signal it gets. Ctrl-C, and `systemctl stop`, reach us themselves, too: twice.
- When it is killed (-9), nobody ends us, and nobody removes the folder.
- It points LD_LIBRARY_PATH at that folder, for our sake; any other program would load our libraries for its own.
- A copy of the same binary that is started by us shares the folder instead of unpacking again, by `_PYI_…` variables.
"""

import fcntl
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from math import inf
from pathlib import Path
from types import FrameType

ECHO = 0.5  # seconds after a signal in which the same may arrive once more, by way of the parent

_LIBRARIES, _LIBRARIES_BEFORE = "LD_LIBRARY_PATH", "LD_LIBRARY_PATH_ORIG"
_UNPACKED = "_PYI_CALLSHEET_UNPACKED"
"""The variable by which what we start knows that it shares our folder, and is nobody's parent's only child."""
_MARK = Path("callsheet", "py.typed")  # what makes an unpacked folder one of ours
_SURELY_UNPACKED = 600.0  # seconds after which a folder that nobody holds is not one that is still being filled
_PR_SET_PDEATHSIG = 1


def is_frozen() -> bool:
    """Tell whether this is the one-file binary."""
    return bool(getattr(sys, "frozen", False))


def command(*words: str) -> list[str]:
    """Return what runs another `callsheet`: this very one, wherever we are."""
    return [sys.executable, *([] if is_frozen() else ["-P", "-m", "callsheet"]), *words]


def environment() -> dict[str, str]:
    """Return the variables for another `callsheet`: ours, and in the binary where its libraries are."""
    folder = getattr(sys, "_MEIPASS", None)
    if folder is None:
        return dict(os.environ)
    before = os.environ.get(_LIBRARIES)
    if before is None:
        return os.environ | {_LIBRARIES: folder}
    return os.environ | {_LIBRARIES: f"{folder}:{before}", _LIBRARIES_BEFORE: before}


class Echo:
    """Tells signals from what the parent hands on of them."""

    def __init__(self) -> None:
        self._last = -inf

    def heard(self) -> bool:
        """Take a signal, and tell whether it is the one before again; never outside of the binary."""
        before, self._last = self._last, time.monotonic()
        return is_frozen() and self._last - before < ECHO


def interrupt_once() -> None:
    """Let the echo of a Ctrl-C not interrupt what we do about it, as far as KeyboardInterrupt tells us of it."""
    if not is_frozen() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    echo = Echo()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not echo.heard():
            signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, interrupt)


def begin() -> None:
    """Make the process of a one-file binary like any other; called before all else, and there only."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is somebody to take a KeyboardInterrupt
    folder = str(sys._MEIPASS)  # type: ignore[attr-defined] # PyInstaller's loader puts it there
    if os.environ.get(_UNPACKED) != folder:
        os.environ[_UNPACKED] = folder
        _end_with(int(Path(folder).name[4:12], 16))  # _MEI0000cafeXYZ
        _sweep(Path(folder).parent)
    elif not os.environ.get(_LIBRARIES, "").startswith(folder):  # `multiprocessing` has started us, say
        os.execve(sys.executable, sys.argv, environment())  # noqa: S606 - ourselves, once more
    _hold(folder)
    before = os.environ.pop(_LIBRARIES_BEFORE, None)
    os.environ.pop(_LIBRARIES)
    if before is not None:
        os.environ[_LIBRARIES] = before


def _end_with(parent: int) -> None:
    """Have the kernel kill us when the parent is gone: whoever kills the service means us."""
    import ctypes  # noqa: PLC0415 - nobody else needs it

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was faster
        os.kill(os.getpid(), signal.SIGKILL)


def _hold(folder: str) -> None:
    """Lock our folder as long as we live, so that neither systemd-tmpfiles nor `_sweep` takes it for a left one."""
    with suppress(OSError):
        fcntl.flock(os.open(folder, os.O_RDONLY | os.O_CLOEXEC), fcntl.LOCK_SH)


def _sweep(place: Path) -> None:
    """Remove the folders of earlier processes that were killed together with their parents."""
    for folder in place.glob("_MEI*"):
        with suppress(OSError):
            if _is_ours(folder) and _is_left(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    found = folder.lstat()
    return found.st_uid == os.getuid() and time.time() - found.st_mtime > _SURELY_UNPACKED and (folder / _MARK).exists()


def _is_left(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
