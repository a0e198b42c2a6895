"""A month of a service in seconds: 200 schedules of every kind, and everything that can happen to them.

`python tests/simulation/month.py 0 200` plays the seeds 0 to 199, prints a line for each that breaks a promise, and
exits with 1 then. The same seed is the same month: dice, ids, and the order in which Trio runs its tasks.
"""

import gc
import logging
import random
import sys
import tempfile
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

sys.path.insert(0, str(Path(__file__).parent))

import promises
from world import World

from actors.inbox import order
from actors.supervisor import Engine, Rules, engine
from callsheet.clock import VirtualClock
from callsheet.errors import CallsheetError
from callsheet.ids import IdMaker
from callsheet.instants import DAY, HOUR, SECOND, parse_instant
from callsheet.tasks import Registry
from callsheet.virtual.clock import JumpingClock
from storage.database import Database, open_database, this_node
from storage.door import InlineDoor
from storage.journal import commands
from storage.journal.journal import Journal

START = parse_instant("2026-03-10T00:00:00Z")  # both changes of clocks, in America and in Europe, lie ahead
LENGTH = 31 * DAY / SECOND
HOUSEKEEPING = 6 * HOUR / SECOND  # a hundred looks of the janitor and of the auditor, each at a slice
MOST_RUNNING = 25
PATIENCE = 30 * DAY / SECOND  # for what still goes on at the end


@define
class Month:
    """One run of the world: its database, its clock, and what was done to it."""

    world: World
    database: Database
    clock: VirtualClock
    dice: random.Random
    ids: IdMaker
    boots: int = 0
    bus: Any = None
    done: dict[str, int] = field(factory=dict)

    async def order(self, command: commands.Command) -> Any:
        """Have a command committed; what is refused is None."""
        try:
            return await order(self.bus, command)
        except CallsheetError:
            return None

    @asynccontextmanager
    async def boot(self, *, whole: bool = False) -> AsyncIterator[trio.CancelScope]:
        """Run one boot of the engine, with the `whole` code at will; to cancel the scope is to kill it."""
        self.boots += 1
        tasks = Registry(self.world.tasks_of_boot(1 if whole else self.boots))
        node = this_node("n1", self.ids.make(self.clock.now()))
        journal = Journal(self.database, node, tasks, self.clock, self.ids, MOST_RUNNING)
        journal.register()
        rules = Rules(
            drain=self.dice.choice([0, 5, 60]), longest_wait=3600.0, tells_webhooks=False, housekeeping=HOUSEKEEPING
        )
        async with trio.open_nursery() as nursery:
            running: Engine = await nursery.start(engine, journal, InlineDoor(), tasks, self.clock, rules, None)
            self.bus = running.bus
            yield nursery.cancel_scope
            running.stop.set()

    async def put_all(self) -> None:
        """Create the schedules."""
        for slug, document in self.world.documents(self.clock.now()).items():
            _, record = await order(self.bus, commands.PutSchedule(slug, document))
            self.world.note(slug, record)

    async def disturb(self) -> None:
        """Do one thing that a person, or the world, might do."""
        slug = self.dice.choice(self.world.slugs)
        what = self.dice.choice(DEEDS)
        self.done[what.__name__] = self.done.get(what.__name__, 0) + 1
        record = await what(self, slug)
        if record is not None:
            self.world.note(slug, record)


async def patch(month: Month, slug: str) -> Any:
    """Change something."""
    change = month.world.change(slug)
    return await month.order(commands.PatchSchedule(slug, change))


async def pause(month: Month, slug: str) -> Any:
    """Pause, for ever or for a while."""
    until = month.clock.now() + month.dice.randint(1, 72) * HOUR if month.dice.random() < 0.5 else None
    return await month.order(commands.PauseSchedule(slug, "a whim", until))


async def resume(month: Month, slug: str) -> Any:
    """Go on."""
    return await month.order(commands.ResumeSchedule(slug))


async def recreate(month: Month, slug: str) -> Any:
    """Delete a schedule and make it again."""
    deleted = await month.order(commands.DeleteSchedule(slug, month.dice.random() < 0.5))
    if deleted is None:
        return None
    month.world.note_deleted(slug, promises.last_due_of(month.database, slug))
    document = month.world.document(slug, month.clock.now())
    made = await month.order(commands.PutSchedule(slug, document))
    return None if made is None else made[1]


async def skip(month: Month, slug: str) -> Any:
    """Leave out what comes next."""
    return await month.order(commands.SkipDue(slug, count=month.dice.randint(1, 3)))


async def unskip(month: Month, slug: str) -> Any:
    """Think better of it."""
    return await month.order(commands.UnskipDue(slug))


async def trigger(month: Month, slug: str) -> Any:
    """Run by hand."""
    await month.order(commands.TriggerSchedule(slug))


async def backfill(month: Month, slug: str) -> Any:
    """Make up for some days."""
    end = month.clock.now() - month.dice.randint(0, 48) * HOUR
    start = end - month.dice.randint(1, 72) * HOUR
    filled = await month.order(commands.BackfillSchedule(slug, start, end))
    month.world.note_backfill(slug, filled or [])


async def cancel(month: Month, slug: str) -> Any:
    """Cancel all of a schedule."""
    await month.order(commands.CancelInstances(None, slug, None, "a whim", "tester"))


async def rerun(month: Month, slug: str) -> Any:
    """Run the latest one again."""
    latest = promises.latest_instance(month.database, slug)
    if latest is not None:
        await month.order(commands.RerunInstance(latest))


async def step(month: Month, _: str) -> Any:
    """Set the clock."""
    month.clock.step(month.dice.choice([-3000, -60, -1, 1, 45, 4000]) * SECOND)


async def start_by_hand(month: Month, _: str) -> Any:
    """Start something that belongs to no schedule."""
    await month.order(commands.StartInstances((commands.Start("work", b'"by hand"'),) * month.dice.randint(1, 5)))


DEEDS = (
    patch, patch, patch, pause, resume, resume, recreate, skip, unskip, trigger, trigger, backfill, cancel, rerun, step,
    start_by_hand,
)  # fmt: skip


async def live(month: Month) -> None:
    """Live through the month: boots that end in a stop or a crash, and nights in between."""
    left, first = LENGTH, True
    while left > 0:
        async with month.boot() as kill:
            if first:
                await month.put_all()
                first = False
            ends = min(left, month.dice.uniform(0.2, 6) * DAY / SECOND)
            while ends > 0:
                pause_for = month.dice.uniform(60, 4 * 3600)
                await trio.sleep(pause_for)
                ends, left = ends - pause_for, left - pause_for
                await month.disturb()
            if month.dice.random() < 0.5:
                kill.cancel()
        night = month.dice.choice([0.1, 30, 600, 7200, 30_000])
        await trio.sleep(night)
        left -= night
    await settle(month)


async def settle(month: Month) -> None:
    """Let all that still goes on come to its end."""
    async with month.boot(whole=True):
        for slug in month.world.slugs:
            record = await month.order(commands.PauseSchedule(slug))
            if record is not None:
                month.world.note(slug, record)
        with trio.fail_after(PATIENCE):
            while promises.unfinished(month.database):
                await trio.sleep(1800)


def play(seed: int) -> Month:
    """Play one month and check every promise; AssertionError names the one that was broken."""
    trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[attr-defined]
    trio._core._run._r.seed(seed)  # type: ignore[attr-defined]
    random.seed(seed)  # the jitter of retries
    folder = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="callsheet-month-", dir=folder) as where:
        database = open_database(f"sqlite:///{where}/month.db", START)
        with closing(database):
            dice = random.Random(seed)
            ids = IdMaker(lambda: dice.getrandbits(62))
            month = Month(World(random.Random(seed + 1)), database, VirtualClock(START), dice, ids)
            clock = JumpingClock()
            clock.run_until(2 * (LENGTH + PATIENCE))
            trio.run(live, month, clock=clock)
            promises.check(month.world, database, MOST_RUNNING)
    return month


def main(first: int, until: int) -> int:
    """Play a range of seeds; return 1 if any of them broke a promise."""
    broken = 0
    logging.disable(logging.CRITICAL)  # of clocks that jump
    for seed in range(first, until):
        try:
            month = play(seed)
        except Exception:
            broken += 1
            print(f"seed {seed} broke a promise:\n{traceback.format_exc(limit=-6)}", flush=True)
        else:
            runs = len(month.world.bodies)
            print(f"seed {seed}: {runs} runs, {month.boots} boots, {sum(month.done.values())} deeds", flush=True)
        gc.collect()
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
