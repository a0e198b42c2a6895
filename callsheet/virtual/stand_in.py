"""Stand-ins for tasks: all of a task but its body, which only takes as long as a run of it does, and fails as often."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Literal, cast
from uuid import UUID

from attrs import evolve

from callsheet import Out, task
from callsheet.simulation import Fate, Planned, Policy
from callsheet.tasks import Retry, Task
from callsheet.virtual.alarm import Alarm

MILLISECOND = 1000
_NOISE = 1e-6  # seconds: less than that makes no difference
_SAME = 0.001  # seconds by which a run that timed out may have ended before its time-out: figures are rounded


class Unlucky(Exception):
    """This run fails, as some before it did."""


class Fates:
    """How each run goes. The same seed, schedule, due time and attempt meet the same fate, whatever else is planned."""

    def __init__(self, seed: int, schedules: Sequence[Planned]) -> None:
        self._seed = seed
        self._fates: Mapping[str, Sequence[Fate]] = {planned.id: planned.fates for planned in schedules}
        self.met: dict[UUID, float] = {}  # by those who run: the seconds of their fate

    def of(self, schedule: str, due_at: datetime | None, attempt: int) -> Fate:
        """Draw a fate from those of a schedule."""
        choices = self._fates[schedule]
        if len(choices) == 1:
            return choices[0]
        key = f"{self._seed}\0{schedule}\0{due_at}\0{attempt}".encode()
        return choices[int.from_bytes(blake2b(key, digest_size=8).digest(), "big") % len(choices)]


def stand_in(policy: Policy, fates: Fates, alarm: Alarm) -> Task[Any, Any]:
    """Make the task that stands in; its input is the id of the schedule."""

    async def live(_in: str, out: Out[None]) -> None:
        seconds, outcome = fates.of(_in, out.due_at, out.attempt)
        fates.met[out.id] = seconds
        if out.deadline <= alarm.now() + seconds + (_SAME if outcome == "timed_out" else _NOISE):
            seconds += 1  # it goes on until it times out
        await alarm.sleep(seconds)
        if outcome != "succeeded":
            raise Unlucky(f"It {outcome.replace('_', ' ')}, as runs before it did.")

    made = _stateful(policy, live) if policy.state else task(name=policy.name)(live)
    return evolve(
        cast("Task[Any, Any]", made),
        timeout=policy.timeout,
        retries=Retry(policy.retries, backoff=_backoff(policy)) if policy.retries else None,
        max_running=policy.max_running,
    )


Live = Callable[[str, Out[None]], Any]


def _stateful(policy: Policy, live: Live) -> Any:
    class Stand:
        runs: int = 0

        async def __call__(self, _in: str, out: Out[None]) -> None:
            await live(_in, out)
            self.runs += 1

    return task(name=policy.name, state=cast("Literal['schedule', 'task']", policy.state))(Stand)


def _backoff(policy: Policy) -> str:
    return f"{policy.first_delay // MILLISECOND}ms..{policy.longest_delay // MILLISECOND}ms"
