"""The life of an engine inside another program: opened, run beside the program's own tasks, stopped in order.

It stands in a nursery of its own and behind a shield: what cancels the program stops the engine in a hurry, but still
in order, so that each run that was cut off has its outcome written.
"""

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio
from attrs import define, field

import callsheet.builtin.fetching  # now, as the next, so that they are not loaded in the loop of the program
import callsheet.wrong_fields  # noqa: F401
from actors.supervisor import Engine as Tree
from actors.supervisor import engine as run_tree
from callsheet.builtin import addresses
from callsheet.capture import routed
from callsheet.embedded.handle import Engine
from callsheet.embedded.options import Options, options_of
from callsheet.errors import GaveUp, RefusedToStart
from callsheet.handle.verbs import Duration, Instant
from callsheet.logs import told
from callsheet.node import IN_MEMORY, Node, open_inline, open_node, report_block
from callsheet.tasks import Registry
from callsheet.tasks.registry import TaskSource, registry_of
from callsheet.watchdog import Watchdog

if TYPE_CHECKING:
    from callsheet.embedded.http import Facade

log = logging.getLogger("callsheet.embedded")


@define
class Stay:
    """One engine in one program: its tree once that runs, why it failed, and the scopes of both sides."""

    node: Node
    options: Options
    tree: Tree | None = None
    handle: Engine | None = None
    dog: Watchdog | None = None
    failure: BaseException | None = None
    body: trio.CancelScope = field(factory=trio.CancelScope)  # what the program does in its `async with`
    _scope: trio.CancelScope = field(factory=trio.CancelScope)
    _settled: trio.Event = field(factory=trio.Event)  # it runs, or has failed to
    _over: trio.Event = field(factory=trio.Event)

    async def perform(self) -> None:
        """Run the tree; how it fails is kept rather than raised, as the program's own error may matter more."""
        node = self.node
        addresses.allow(self.options.allowed)  # in this task, and those below it
        try:
            await node.door.write(node.journal.register)
            with self._scope:
                await run_tree(
                    node.journal, node.door, node.tasks, node.clock, self.options.rules, None, task_status=self
                )
        except trio.Cancelled:
            raise
        except BaseException as error:  # noqa: BLE001 - KeyboardInterrupt, too, may strike here: it is raised in the end
            self.fall(self.tree.failure if self.tree and self.tree.failure else error)
        finally:
            self._settled.set()
            self._over.set()

    def started(self, value: Tree | None = None) -> None:
        """Take the tree, which runs: from here on only `stop` ends it."""
        self.tree, self._scope.shield = value, True
        self._settled.set()

    async def running(self) -> Tree:
        """Wait until the tree runs; GaveUp when it fails instead."""
        await self._settled.wait()
        if self.tree is None:
            raise reason(self.failure)
        return self.tree

    def fall(self, failure: BaseException) -> None:
        """Note why it ended, and end what the program does with it."""
        self.failure = self.failure or failure
        self.body.cancel()

    async def stop(self, *, hurry: bool) -> None:
        """Stop the tree and wait until that is done; in a hurry, what runs is cancelled, and nothing cuts us short."""
        if self.tree is None:  # it never came so far, and ends with its nursery
            return
        self.tree.stop.set()
        if hurry:
            self.tree.hurry.set()
        with trio.CancelScope(shield=hurry):
            await self._over.wait()

    async def attend(self) -> None:
        """Notice at once when a part of the tree fails: a run that never ends may hold up the rest of it."""
        assert self.tree is not None
        await self.tree.falling.wait()
        if not self.tree.stopped.is_set() and self.tree.failure is not None:
            self.fall(self.tree.failure)
        left = self.tree.left.running if self.tree.left else ()
        if left:
            names = ", ".join(map(str, left[:20]))
            log.warning("the engine has stopped, but waits for %s, which do not end", names, extra=told("engine.waits"))


@asynccontextmanager
async def engine(
    database: str,
    tasks: Iterable[TaskSource] = (),
    *,
    node: str | None = None,
    drain: Duration = 20.0,
    max_running: int | None = None,
    keep_for: Duration | None = "90d",
    keep_last: int | None = None,
    keep_events: Duration | None = "7d",
    http_allow: Iterable[str] = (),
    http: str | None = None,
    api_key: str | None = None,
    start: Instant | None = None,
) -> AsyncIterator[Engine]:
    """Run a whole engine inside this Trio program, for as long as the `async with` lasts.

    Leaving it stops as the service does: what runs gets `drain` to finish. An exception or a cancellation cancels what
    runs instead. RefusedToStart says why there is no engine, GaveUp that it failed for good.
    """
    options = options_of(drain, max_running, (keep_for, keep_last, keep_events), http_allow, start)
    facade = None if http is None else await _listening(http, api_key, database, options)
    try:
        opened = await _open(database, registry_of(tasks), options, node)
        try:
            if facade is not None:
                await facade.prepare(opened)
            async with _staying(Stay(opened, options), facade) as running:
                yield running
        finally:
            with trio.CancelScope(shield=True):
                await _close(opened)
    finally:
        if facade is not None:
            facade.close()


@asynccontextmanager
async def _staying(stay: Stay, facade: "Facade | None") -> AsyncIterator[Engine]:
    """Keep the engine running beside the body, and raise in the end what the program has to know."""
    left_by: BaseException | None = None
    try:
        with routed:
            async with trio.open_nursery() as nursery:
                try:
                    running = await _begin(stay, facade, nursery)
                    with stay.body:
                        yield running
                    await stay.stop(hurry=False)
                except BaseException as error:  # noqa: BLE001 - raised below, as it is: a nursery would wrap it up
                    left_by = error
                    await stay.stop(hurry=True)
                await _end(stay, facade)
                nursery.cancel_scope.cancel()
    finally:
        if stay.failure is not None and not _matters_more(left_by):
            raise reason(stay.failure, left_by)
        if left_by is not None:
            raise left_by


async def _begin(stay: Stay, facade: "Facade | None", nursery: trio.Nursery) -> Engine:
    nursery.start_soon(stay.perform)
    tree = await stay.running()
    nursery.start_soon(stay.attend)
    if not stay.options.jumps:
        stay.dog = Watchdog(partial(report_block, tree.bus))
    if facade is not None:
        await nursery.start(facade.serve, stay)
    stay.handle = Engine(stay.node, tree, None if facade is None else facade.url)
    return stay.handle


async def _end(stay: Stay, facade: "Facade | None") -> None:
    if stay.handle is not None:
        stay.handle.close()
    if facade is not None:
        with trio.CancelScope(shield=True):
            await facade.finish()
    if stay.dog is not None:
        stay.dog.close()


async def _listening(http: str, api_key: str | None, database: str, options: Options) -> "Facade":
    """Open the address before there is anything on disk."""
    from callsheet.embedded.http import listening  # noqa: PLC0415 - most of the imports, which few need

    if options.jumps:
        raise ValueError("http needs real time: on a clock that jumps there is nobody to answer")
    return await listening(http, api_key, database)


async def _open(database: str, tasks: Registry, options: Options, name: str | None) -> Node:
    if options.jumps or database == IN_MEMORY:
        return open_inline(database, tasks, options.clock, name, options.max_running)
    opening = partial(open_node, database, tasks, options.clock, name, options.max_running)
    return await trio.to_thread.run_sync(opening)


async def _close(opened: Node) -> None:
    if opened.inline:
        opened.close()
    else:
        await trio.to_thread.run_sync(opened.close)


def _matters_more(error: BaseException | None) -> bool:
    """Tell whether the program is being ended by something that must not be hidden."""
    return error is not None and not isinstance(error, Exception | trio.Cancelled)


def reason(failure: BaseException | None, meanwhile: BaseException | None = None) -> BaseException:
    """Return what to raise for a failure of the engine, with a note of what the program raised meanwhile."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    if isinstance(failure, GaveUp | RefusedToStart | KeyboardInterrupt | SystemExit):
        error: BaseException = failure
    else:
        error = GaveUp(f"The engine failed: {failure!r}")
        error.__cause__ = failure
    if isinstance(meanwhile, Exception):
        error.add_note(f"The program meanwhile raised {meanwhile!r}")
    return error
