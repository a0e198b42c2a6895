"""A simulation in a process of its own: it must not hold up the loop, nor the threads beside it."""

import os
import signal
import sys
from contextlib import suppress

import msgspec
import trio
from attrs import define

from callsheet.errors import CallsheetError, FieldError, Invalid, Unavailable
from callsheet.simulation import Plan

BUDGET = 30.0  # seconds
AT_ONCE = 2
_COMMAND = [sys.executable, "-P", "-m", "callsheet", "simulate", "--plan", "-"]


@define
class Simulator:
    """Runs plans, a few at a time, each within `budget` seconds."""

    budget: float = BUDGET
    at_once: int = AT_ONCE
    _running: int = 0

    async def run(self, plan: Plan) -> bytes:
        """Return the answer as JSON; Unavailable when others are running, Invalid when it would take too long."""
        if self._running >= self.at_once:
            raise Unavailable(f"{self._running} simulations are running already.")
        self._running += 1
        try:
            with trio.fail_after(self.budget):
                return await _run(msgspec.json.encode(plan))
        except trio.TooSlowError:
            why = f"means more than can be simulated in {self.budget:g} s: choose a shorter span"
            raise Invalid(FieldError("/to", why)) from None
        finally:
            self._running -= 1


async def _run(plan: bytes) -> bytes:
    done = await trio.run_process(
        _COMMAND,
        stdin=plan,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        deliver_cancel=_kill,
        start_new_session=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("CALLSHEET_")},
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise CallsheetError(f"The simulation failed: {said[-1] if said else f'exit code {done.returncode}'}")
    return bytes(done.stdout)


async def _kill(process: "trio.Process") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # its own fork goes with it
    await process.wait()
