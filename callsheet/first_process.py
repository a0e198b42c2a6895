"""What the first process of a container owes the others: to hand signals on, and to reap whoever has lost its parent.

Nobody else does it where callsheet is started without an init. The service cannot do it for itself: whatever it reaped
might be the child of a task that is about to ask how it ended. So it goes on as a child of a process that does nothing
else.
"""

import os
import signal

HANDED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def step_aside() -> None:
    """Go on in a child if this is the first process of its container; the first one ends as that child does.

    Call it while there is one thread.
    """
    if os.getpid() != 1:
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*HANDED_ON, signal.SIGCHLD})  # none is lost from here on
    child = os.fork()
    if child:
        os._exit(_look_after(child))
    os.setpgid(0, 0)  # or Ctrl-C would come twice: from the terminal, and handed on
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _look_after(child: int) -> int:
    """Serve one child until it ends; return its exit code, 128 + N when signal N ended it."""
    while True:
        number = signal.sigwait({*HANDED_ON, signal.SIGCHLD})
        if number != signal.SIGCHLD:
            os.kill(child, number)  # until it is reaped, below, its number is nobody else's
            continue
        code = _reap().get(child)
        if code is not None:
            return code if code >= 0 else 128 - code


def _reap() -> dict[int, int]:
    """Reap all children that have ended, by birth or by adoption; return their exit codes."""
    codes: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return codes
        if pid == 0:
            return codes
        codes[pid] = os.waitstatus_to_exitcode(status)
