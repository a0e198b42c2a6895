"""One node on virtual time: a whole engine over a database in memory, that can crash and boot again."""

import random
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

import trio
from attrs import define, field

from actors.inbox import order
from actors.messages import Nudge
from actors.supervisor import Engine, Rules, engine
from callsheet.clock import VirtualClock
from callsheet.errors import CallsheetError, Unavailable
from callsheet.ids import IdMaker
from callsheet.tasks import Task
from callsheet.virtual.clock import JumpingClock
from storage.database import Database, this_node
from storage.door import InlineDoor
from storage.journal.commands import Command
from storage.journal.facts import Fact
from storage.journal.journal import Applied, Journal
from storage.memory import open_in_memory

T = TypeVar("T")

# Nobody outside is told; the clock is only ever set through `step`, which says so to the scheduler.
RULES = Rules(longest_wait=86_400.0, tells_webhooks=False, counts=False)


class VirtualDoor(InlineDoor):
    """Runs everything on the spot, shows what was committed, and fails while `error` is set."""

    def __init__(self, told: Callable[[list[Fact]], object]) -> None:
        self.error: CallsheetError | None = None
        self._told = told

    async def write(self, function: Callable[..., T], *args: Any) -> T:
        """Run it now; the bus, which calls this, gives way to others by itself."""
        if self.error is not None:
            await trio.lowlevel.checkpoint()
            raise self.error
        result = function(*args)
        if isinstance(result, Applied):
            self._told(result.facts)
        return result


@define
class VirtualNode:
    """The parts of one node; `watchers` are shown all facts once they are committed.

    Make it, and use it, in one thread and inside one run of Trio on a JumpingClock.
    """

    tasks: Mapping[str, Task[Any, Any]]
    clock: VirtualClock
    ids: IdMaker
    rules: Rules
    database: Database
    max_running: int | None = None
    keeps_events: bool = True
    watchers: list[Callable[[list[Fact]], object]] = field(factory=list)
    door: VirtualDoor = field(init=False)
    engine: Engine | None = None
    failure: BaseException | None = None
    _ends_at_once: trio.CancelScope = field(factory=trio.CancelScope)

    @door.default
    def _door(self) -> VirtualDoor:
        return VirtualDoor(self._show)

    @classmethod
    def make(
        cls,
        tasks: Mapping[str, Task[Any, Any]],
        start: int,
        seed: int,
        max_running: int | None = None,
        rules: Rules = RULES,
        without: Iterable[str] = (),
        *,
        keeps_events: bool = True,
    ) -> "VirtualNode":
        """Return a node whose clock shows `start` (an instant); its ids are drawn from `seed`.

        `without` names indexes that its database can do without; nor need it keep events that nobody asks for.
        """
        ids = IdMaker(partial(random.Random(seed).getrandbits, 62))  # noqa: S311 - ids, not secrets
        jumping = trio.lowlevel.current_clock()
        assert isinstance(jumping, JumpingClock)
        clock = VirtualClock(start, jumping.current_time, jumping.settled)
        return cls(tasks, clock, ids, rules, open_in_memory(start, without), max_running, keeps_events)

    async def boot(self, nursery: trio.Nursery) -> None:
        """Start the engine: a boot of its own, that settles what an earlier one left."""
        now = self.clock.now()
        node = this_node("virtual", self.ids.make(now))
        journal = Journal(
            self.database, node, self.tasks, self.clock, self.ids, self.max_running, keeps_events=self.keeps_events
        )
        journal.register()
        self._ends_at_once = trio.CancelScope()
        self.engine = await nursery.start(self._run, journal)

    async def _run(self, journal: Journal, *, task_status: trio.TaskStatus[Engine]) -> None:
        try:
            with self._ends_at_once:
                await engine(journal, self.door, self.tasks, self.clock, self.rules, None, task_status=task_status)
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever uses the node is told
            self.failure = error
        finally:
            self.engine = None

    def close(self) -> None:
        """Let go of the database, with all that it holds; the engine must have ended."""
        self.database.close()

    def kill(self) -> None:
        """End the engine on the spot, as a crash would: nothing more is written."""
        self._ends_at_once.cancel()

    async def order(self, command: Command) -> Any:
        """Have a command committed and return its answer."""
        return await order(self.running().bus, command)

    def running(self) -> Engine:
        """Return the engine; Unavailable while there is none."""
        if self.engine is None:
            raise Unavailable("The engine is not running: it crashed or was stopped, and was not started again.")
        return self.engine

    def step(self, microseconds: int) -> None:
        """Set the time of day forward or back; the scheduler notices at once rather than within 30 s."""
        self.clock.step(microseconds)
        if self.engine is not None:
            try:
                self.engine.scheduler.send_nowait(Nudge())
            except trio.WouldBlock:
                return

    def _show(self, facts: list[Fact]) -> None:
        for watch in self.watchers:
            watch(facts)
