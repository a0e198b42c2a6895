"""A plan in two halves that have nothing to do with each other, and two processes to run them in."""

import os
import signal
from collections import defaultdict
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import outcome
from msgspec.structs import replace

from callsheet.errors import CallsheetError
from callsheet.simulation import Plan, Planned

T = TypeVar("T")


def split(plan: Plan) -> list[Plan]:
    """Split a plan in two where schedules are independent; else it stays whole.

    It depends on nothing but the plan, as the order of what happens at once depends on the halves.
    """
    halves: tuple[list[Planned], list[Planned]] = ([], [])
    for group in sorted(_groups(plan), key=len, reverse=True):
        min(halves, key=len).extend(group)
    if not all(halves):
        return [plan]
    return [replace(plan, schedules=sorted(half, key=lambda planned: planned.id)) for half in halves]


def _groups(plan: Plan) -> list[list[Planned]]:
    """Return the schedules by what ties them together: a task whose runs wait for each other, or one another's ends."""
    tied = {policy.name for policy in plan.tasks if policy.max_running is not None or policy.state == "task"}
    if plan.max_running is not None or any("after" in planned.document["trigger"] for planned in plan.schedules):
        return [plan.schedules]
    groups: defaultdict[tuple[bool, str], list[Planned]] = defaultdict(list)
    for planned in plan.schedules:
        task = planned.document["task"]
        groups[task in tied, task if task in tied else planned.id].append(planned)
    return list(groups.values())


def in_processes(function: Callable[[Plan], T], plans: list[Plan]) -> list[T]:
    """Run a function on several plans at once: the first here, the others in forks of this process.

    Only for a process that has no threads.
    """
    if len(plans) == 1 or (os.cpu_count() or 1) == 1:
        return [function(plan) for plan in plans]
    context = get_context("fork")
    others = []
    for plan in plans[1:]:
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=_send, args=(there, function, plan), daemon=True)
        process.start()
        there.close()
        others.append((process, here))
    results = [function(plans[0])]
    for process, here in others:
        results.append(_received(here))
        process.join()
    return results


def _received(here: "Connection") -> Any:
    try:
        return here.recv().unwrap()
    except EOFError:
        raise CallsheetError("A process that ran a half of the simulation died.") from None


def _send(there: "Connection", function: Callable[[Plan], T], plan: Plan) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that waits for us, and ends us with itself
    there.send(outcome.capture(function, plan))
    there.close()
