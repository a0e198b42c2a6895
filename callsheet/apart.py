"""A simulation in a process of its own: it must not hold up the loop, nor the threads beside it, nor outlive us."""

import os
from io import FileIO

import msgspec
import trio
from attrs import define

from callsheet import onefile
from callsheet.errors import CallsheetError, FieldError, Invalid, Unavailable
from callsheet.processes import Child, how_it_ended, spawn
from callsheet.simulation import Plan

BUDGET = 30.0  # seconds
AT_ONCE = 2


@define
class Simulator:
    """Runs plans, a few at a time, each within `budget` seconds."""

    budget: float = BUDGET
    at_once: int = AT_ONCE
    _running: int = 0

    async def run(self, plan: Plan, stop: trio.Event) -> bytes:
        """Return the answer as JSON; Invalid when it would take too long.

        Unavailable when others are running, and once `stop` is set.
        """
        if self._running >= self.at_once:
            raise Unavailable(f"{self._running} simulations are running already.")
        self._running += 1
        try:
            with trio.fail_after(self.budget):
                return await _run(msgspec.json.encode(plan), stop)
        except trio.TooSlowError:
            why = f"means more than can be simulated in {self.budget:g} s: choose a shorter span"
            raise Invalid(FieldError("/to", why)) from None
        finally:
            self._running -= 1


async def _run(plan: bytes, stop: trio.Event) -> bytes:
    with _in_memory(plan) as stdin, _in_memory() as stdout, _in_memory() as stderr:
        child = await spawn(
            onefile.command("simulate", "--plan", "-"),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env={name: value for name, value in onefile.environment().items() if not name.startswith("CALLSHEET_")},
        )
        try:
            code = await _ended(child, stop)
        finally:
            await child.end()  # its own fork goes with it
        if code is None:
            raise Unavailable("The service is stopping.")
        if code != 0:
            said = _whole(stderr).decode(errors="replace").strip().splitlines()
            raise CallsheetError(f"The simulation failed: {said[-1] if said else how_it_ended(code)}")
        return _whole(stdout)


async def _ended(child: Child, stop: trio.Event) -> int | None:
    """Wait for the exit code of a child; None if `stop` is set before."""
    code = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_at, stop, nursery.cancel_scope)
        code = await child.ended()
        nursery.cancel_scope.cancel()
    return code


async def _cancel_at(stop: trio.Event, scope: trio.CancelScope) -> None:
    await stop.wait()
    scope.cancel()


def _in_memory(content: bytes = b"") -> FileIO:
    """Make a file that is read and written at any pace, and needs nobody to feed or to empty it."""
    file = FileIO(os.memfd_create("simulation"), "w+")
    file.write(content)
    file.seek(0)
    return file


def _whole(file: FileIO) -> bytes:
    file.seek(0)
    return file.read()
