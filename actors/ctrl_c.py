"""Ctrl-C that strikes in a task's body: it was meant for the program.

The service takes SIGINT as a signal, and nothing strikes. Elsewhere, in an engine inside another program or in a
simulation, Trio raises KeyboardInterrupt in whatever happens to run, and a body is where that is most of the time.
"""

import signal

import trio


def struck_by_ctrl_c(error: BaseException | None) -> bool:
    """Tell whether it is, or holds, a KeyboardInterrupt that came from outside; a body may raise one of its own."""
    if isinstance(error, BaseExceptionGroup):
        return any(map(struck_by_ctrl_c, error.exceptions))
    return isinstance(error, KeyboardInterrupt) and _raised_in(error) == "trio._core._ki"


def _raised_in(error: BaseException) -> str | None:
    """Return the name of the module in which an exception was raised."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return None if traceback is None else traceback.tb_frame.f_globals.get("__name__")


@trio.lowlevel.enable_ki_protection
def hand_on_ctrl_c() -> None:
    """Let it strike again where Trio sends what strikes in a protected place: at the program's next checkpoint."""
    signal.raise_signal(signal.SIGINT)
