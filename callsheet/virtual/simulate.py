"""The future, simulated: the real engine runs what is planned on a clock that jumps, with stand-ins for the tasks.

The same plan gives the same answer, byte for byte.
"""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import trio

from callsheet.errors import Invalid
from callsheet.instants import SECOND, format_instant, to_seconds
from callsheet.simulation import DEFAULT_SECONDS, Plan, Planned
from callsheet.tasks import Registry
from callsheet.virtual.clock import JumpingClock
from callsheet.virtual.dice import seeded_scheduling
from callsheet.virtual.node import RULES, VirtualNode
from callsheet.virtual.stand_in import Fates, stand_in
from callsheet.virtual.tally import Line, Tally
from storage.journal.commands import PauseSchedule, PutSchedule
from storage.queries.reading import read, rows

MOST_OMITTED = 1000  # rows of omissions that an answer lists
BUSIEST = 10  # minutes that it lists
_OMITTED = (
    "SELECT schedule, fate, reason, first_due, last_due, count FROM omission ORDER BY first_due, schedule LIMIT ?"
)
_LEFT = "SELECT state, count(*) FROM instance WHERE state IN ('queued', 'running') GROUP BY state"
_SOURCES = {
    "given": "durations as given",
    "schedule": "drawn from the latest runs of this schedule",
    "task": "drawn from the latest runs of its task, as this schedule has none",
    "default": f"nothing is known: {DEFAULT_SECONDS:g} s each, and none fails",
}


def simulate(plan: Plan) -> dict[str, Any]:
    """Run a plan and return what would happen, as JSON built-ins."""
    clock = JumpingClock()
    with seeded_scheduling(plan.seed), _calm_collector():
        answer: dict[str, Any] = trio.run(_simulate, plan, clock, clock=clock)
    return answer


@contextmanager
def _calm_collector() -> Iterator[None]:
    """Collect cycles less often: hardly any arise."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*before)


async def _simulate(plan: Plan, clock: JumpingClock) -> dict[str, Any]:
    fates = Fates(plan.seed, plan.schedules)
    tasks = Registry(stand_in(policy, fates) for policy in plan.tasks)
    node = VirtualNode.make(tasks, plan.start - 1, plan.seed, RULES)  # what is due at the start is part of it
    tally = Tally(node.clock, {planned.id: Line() for planned in plan.schedules})
    async with trio.open_nursery() as nursery:
        await node.boot(nursery)
        left_out = [note for planned in plan.schedules for note in await _put(node, planned)]
        node.watchers.append(tally.watch)
        over = trio.Event()
        clock.when_quiet(over.set)
        clock.run_until((plan.end - plan.start) / SECOND)
        await over.wait()
        answer = _answer(plan, node, tally, left_out)
        nursery.cancel_scope.cancel()
    if node.failure is not None:
        raise node.failure
    return answer


async def _put(node: VirtualNode, planned: Planned) -> list[str]:
    """Put a schedule by the ordinary way; return why it was left out, if it was."""
    document = planned.document | {"input": planned.id}
    document.pop("run_on_create", None)  # it was created long ago
    try:
        await node.order(PutSchedule(planned.id, document))
        if planned.paused_until is not None and planned.paused_until > node.clock.now():
            await node.order(PauseSchedule(planned.id, until=planned.paused_until))
    except Invalid as error:
        return [f"{planned.id} was left out: {error}"]
    return []


def _answer(plan: Plan, node: VirtualNode, tally: Tally, left_out: list[str]) -> dict[str, Any]:
    lines = tally.lines.values()
    omitted = read(node.database, lambda db: rows(db, _OMITTED, MOST_OMITTED + 1))
    left = {state: int(count) for state, count in read(node.database, lambda db: rows(db, _LEFT))}
    return {
        "from": format_instant(plan.start),
        "to": format_instant(plan.end),
        "seed": plan.seed,
        "firings": sum(line.firings for line in lines),
        "retries": sum(line.retries for line in lines),
        "queued": sum(line.queued for line in lines),
        "outcomes": _counts(Counter(), *(line.outcomes for line in lines)),
        "omissions": _reasons(*(line.omissions for line in lines)),
        "unfinished": {"running": left.get("running", 0), "queued": left.get("queued", 0)},
        "peak": {
            "running": tally.peak,
            "at": None if tally.peak_at is None else format_instant(tally.peak_at),
        },
        "busy_seconds": round(sum(line.busy for line in lines), 3),
        "busiest": [
            {"minute": format_instant(minute), "running": peak, "started": started}
            for minute, peak, started in tally.busiest(BUSIEST)
        ],
        "schedules": [_schedule(planned, tally.lines[planned.id]) for planned in plan.schedules],
        "omitted": [_omitted(row) for row in omitted[:MOST_OMITTED]],
        "omitted_complete": len(omitted) <= MOST_OMITTED,
        "assumptions": [*plan.notes, *left_out],
    }


def _counts(total: Counter[str], *counts: Counter[str]) -> dict[str, int]:
    for one in counts:
        total.update(one)
    return dict(sorted(total.items()))


def _reasons(*counts: Counter[tuple[str, str]]) -> list[dict[str, Any]]:
    total: Counter[tuple[str, str]] = Counter()
    for one in counts:
        total.update(one)
    return [{"fate": fate, "reason": reason, "count": count} for (fate, reason), count in sorted(total.items())]


def _schedule(planned: Planned, line: Line) -> dict[str, Any]:
    seconds = sorted(fate[0] for fate in planned.fates)
    return {
        "schedule": planned.id,
        "task": planned.document["task"],
        "firings": line.firings,
        "retries": line.retries,
        "queued": line.queued,
        "outcomes": _counts(line.outcomes),
        "omissions": _reasons(line.omissions),
        "peak_running": line.peak,
        "busy_seconds": round(line.busy, 3),
        "latest_by": to_seconds(line.latest),
        "assumed": {
            "source": planned.source,
            "text": _SOURCES[planned.source],
            "runs": 0 if planned.source == "default" else len(planned.fates),
            "median_seconds": seconds[len(seconds) // 2],
            "longest_seconds": seconds[-1],
            "unlucky": round(sum(fate[1] != "succeeded" for fate in planned.fates) / len(seconds), 4),
        },
    }


def _omitted(row: Any) -> dict[str, Any]:
    schedule, fate, reason, first, last, count = row
    return {
        "schedule": schedule,
        "fate": fate,
        "reason": reason,
        "first_due": format_instant(first),
        "last_due": format_instant(last),
        "count": count,
    }
