"""Ctrl-C that strikes in a task's body: it was meant for the program.

The service takes SIGINT as a signal, and nothing strikes. Elsewhere, in an engine inside another program or in a
simulation, Trio raises KeyboardInterrupt in whatever happens to run, and a body is where that is most of the time.
"""

import signal
from typing import Any

import trio

_members: Any = BaseExceptionGroup.exceptions  # as they are, whatever a class of the task's author says they were
_traceback: Any = BaseException.__traceback__


def struck_by_ctrl_c(error: BaseException) -> bool:
    """Tell whether it is, or holds, a KeyboardInterrupt that came from outside; a body may raise one of its own."""
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if issubclass(type(one), BaseExceptionGroup):
            waiting.extend(_members.__get__(one))
        elif issubclass(type(one), KeyboardInterrupt) and _raised_in(one) == "trio._core._ki":
            return True
    return False


def _raised_in(error: BaseException) -> str | None:
    """Return the name of the module in which an exception was raised."""
    traceback = _traceback.__get__(error)
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return None if traceback is None else traceback.tb_frame.f_globals.get("__name__")


@trio.lowlevel.enable_ki_protection
def handed_on_ctrl_c(error: BaseException) -> bool:
    """Tell whether it was Ctrl-C; if so, let it strike again, in this protected place.

    From there Trio sends it to the program's next checkpoint.
    """
    struck = struck_by_ctrl_c(error)
    if struck:
        signal.raise_signal(signal.SIGINT)
    return struck
