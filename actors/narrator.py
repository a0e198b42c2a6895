"""The narrator: one plain line per start, end and omission, for whoever watches the terminal."""

from collections import Counter
from collections.abc import Callable, Iterator

import msgspec
import trio

from callsheet.instants import format_instant
from storage.journal.facts import (
    CancelRequested,
    DueOmitted,
    Fact,
    InstanceEnded,
    InstanceStarted,
    InstanceStuck,
)

CROWD = 40  # facts at once, of which only the sum is told


async def narrator(facts: trio.MemoryReceiveChannel[tuple[Fact, ...]], write: Callable[[str], object]) -> None:
    """Tell what happens; `write` takes text and may block, so it is called in a thread."""
    async for told in facts:
        lines = list(_lines(told))
        if lines:
            await trio.to_thread.run_sync(write, "\n".join(lines) + "\n", abandon_on_cancel=True)


def _lines(facts: tuple[Fact, ...]) -> Iterator[str]:
    if len(facts) > CROWD:
        yield _sum(facts)
        return
    for fact in facts:
        line = _line(fact)
        if line:
            yield line


def _sum(facts: tuple[Fact, ...]) -> str:
    kinds = Counter(map(type, facts))
    return f"...      {kinds[InstanceStarted]} started, {kinds[InstanceEnded]} ended, {kinds[DueOmitted]} omitted"


def _line(fact: Fact) -> str:
    match fact:
        case InstanceStarted():
            return f"started  {_name(fact.schedule, fact.task)}  {fact.id}"
        case InstanceEnded():
            how = "lost" if fact.outcome == "lost" else f"{fact.outcome} after {fact.seconds:.3f} s"
            return f"ended    {_name(fact.schedule, fact.task)}  {how}{_why(fact)}"
        case DueOmitted():
            times = "" if fact.count == 1 else f" ({fact.count} due times)"
            blocker = f", blocked by {fact.blocked_by}" if fact.blocked_by else ""
            last = format_instant(fact.last_due)
            return f"{fact.fate:8} {fact.schedule}  due {last}{times}: {fact.reason}{blocker}"
        case CancelRequested():
            return f"cancel   {fact.id}  by {fact.by}" + (f": {fact.reason}" if fact.reason else "")
        case InstanceStuck():
            return f"stuck    {fact.id}  at {fact.where}"
    return ""


def _name(schedule: str | None, task: str) -> str:
    return f"{schedule} ({task})" if schedule else task


def _why(fact: InstanceEnded) -> str:
    if fact.error is None:
        return ""
    error = msgspec.json.decode(fact.error)
    return f": {error.get('type')}: {error.get('message', '')[:200]!r}"
