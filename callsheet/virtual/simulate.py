"""The future, simulated: the real engine runs what is planned on a clock that jumps, with stand-ins for the tasks.

The same plan gives the same answer, byte for byte. Schedules that have nothing to do with each other are simulated
apart, by two engines, which may be two processes: the answer does not depend on that.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import trio

from callsheet.errors import Invalid, Refused
from callsheet.instants import SECOND
from callsheet.simulation import Plan, Planned
from callsheet.tasks import Registry
from callsheet.virtual.alarm import Alarm
from callsheet.virtual.answer import MOST_OMITTED, Part, answer
from callsheet.virtual.clock import JumpingClock
from callsheet.virtual.dice import seeded_scheduling
from callsheet.virtual.node import VirtualNode
from callsheet.virtual.parts import split
from callsheet.virtual.stand_in import Fates, stand_in
from callsheet.virtual.tally import Line, Tally
from storage.journal.commands import PauseSchedule, PutSchedule, SkipDue
from storage.memory import COUNTING, LISTING
from storage.queries.reading import read, rows

_OMITTED = (
    "SELECT schedule, fate, reason, first_due, last_due, count FROM omission ORDER BY first_due, schedule LIMIT ?"
)
_LEFT = "SELECT state, count(*) FROM instance WHERE state IN ('queued', 'running') GROUP BY state"

Together = Callable[[Callable[[Plan], Part], list[Plan]], list[Part]]
"""Runs a function on several plans."""


def one_by_one(function: Callable[[Plan], Part], plans: list[Plan]) -> list[Part]:
    """Run a function on several plans, here."""
    return [function(plan) for plan in plans]


def simulate(plan: Plan, together: Together = one_by_one) -> dict[str, Any]:
    """Run a plan and return what would happen, as JSON built-ins."""
    return answer(plan, together(simulate_part, split(plan)))


def simulate_part(plan: Plan) -> Part:
    """Run a plan on one engine."""
    clock = JumpingClock(plan.resolution, origin=1)
    with seeded_scheduling(plan.seed), _calm_collector():
        part: Part = trio.run(_simulate, plan, clock, clock=clock)
    return part


@contextmanager
def _calm_collector() -> Iterator[None]:
    """Collect cycles less often: hardly any arise."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*before)


async def _simulate(plan: Plan, clock: JumpingClock) -> Part:
    fates = Fates(plan.seed, plan.schedules)
    alarm = Alarm(clock)
    tasks = Registry(stand_in(policy, fates, alarm) for policy in plan.tasks)
    counted = plan.max_running is not None or any(policy.max_running is not None for policy in plan.tasks)
    before = plan.start - 1  # what is due at the start is part of it
    without = LISTING if counted else LISTING + COUNTING
    node = VirtualNode.make(tasks, before, plan.seed, plan.max_running, without=without, keeps_events=False)
    tally = Tally(node.clock, {planned.id: Line() for planned in plan.schedules}, fates, plan.resolution)
    with closing(node):
        return await _played(plan, clock, node, tally)


async def _played(plan: Plan, clock: JumpingClock, node: VirtualNode, tally: Tally) -> Part:
    async with trio.open_nursery() as nursery:
        await node.boot(nursery)
        left_out = [note for planned in _in_order(plan.schedules) for note in await _put(node, planned)]
        node.watchers.append(tally.watch)
        over = trio.Event()
        clock.when_quiet(over.set)
        clock.run_until((plan.end - plan.start) / SECOND)
        await over.wait()
        tally.close(plan.end)
        part = _part(node, tally, left_out)
        nursery.cancel_scope.cancel()
    if node.failure is not None:
        raise node.failure
    return part


def _in_order(schedules: list[Planned]) -> list[Planned]:
    """Return the schedules, each behind the one that it comes after."""
    by_id = {planned.id: planned for planned in schedules}

    def depth(planned: Planned | None, so_far: int = 0) -> int:
        upstream = None if planned is None else planned.document["trigger"].get("after")
        circle = so_far > len(by_id)  # it is refused when it is put
        return so_far if upstream is None or circle else depth(by_id.get(upstream), so_far + 1)

    return sorted(schedules, key=depth)


async def _put(node: VirtualNode, planned: Planned) -> list[str]:
    """Put a schedule by the ordinary way; return why it was left out, if it was."""
    document = planned.document | {"input": planned.id}
    document.pop("run_on_create", None)  # it was created long ago
    try:
        await node.order(PutSchedule(planned.id, document))
        if planned.paused_until is not None and planned.paused_until > node.clock.now():
            await node.order(PauseSchedule(planned.id, until=planned.paused_until))
        for due in planned.skips if planned.paused_until is None else ():
            await node.order(SkipDue(planned.id, at=due))
    except (Invalid, Refused) as error:
        return [f"{planned.id} was left out: {error}"]
    return []


def _part(node: VirtualNode, tally: Tally, left_out: list[str]) -> Part:
    left = {state: int(count) for state, count in read(node.database, lambda db: rows(db, _LEFT))}
    omitted = [tuple(row) for row in read(node.database, lambda db: rows(db, _OMITTED, MOST_OMITTED + 1))]
    return Part(
        tally.lines,
        tally.starts,
        tally.ends,
        tally.flashes,
        omitted,
        left.get("running", 0),
        left.get("queued", 0),
        left_out,
    )
