"""Tasks that do their worst: each gets the outcome it deserves, and everything else goes on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import reduce
from typing import Any, NoReturn

import msgspec
import pytest
import trio
from trio.testing import MockClock

from callsheet import Out, task
from storage.journal.commands import CancelInstances, Start, StartInstances


class Mean(Exception):
    """Cannot be shown."""

    def __init__(self, how: type[BaseException]) -> None:
        self.how = how

    def __str__(self) -> str:
        raise self.how

    __repr__ = __str__


class MeanGroup(BaseExceptionGroup):
    """Cannot be taken apart."""

    def derive(self, excs: Any) -> NoReturn:
        raise SystemExit("derive")


class HidingGroup(BaseExceptionGroup):
    """Does not show what it holds."""

    @property
    def exceptions(self) -> NoReturn:  # type: ignore[override]
        raise SystemExit("exceptions")


@task
async def tick(_in: None, out: Out[None]) -> None:
    """Be the neighbour that must not notice."""


@asynccontextmanager
async def among_neighbours(stage: Any, *tasks: Any) -> AsyncIterator[Any]:
    """Play with a schedule and a run beside the tasks, and see that neither was harmed."""

    @task
    async def neighbour(_in: None, out: Out[str]) -> None:
        await trio.sleep(100)
        await out.send("unharmed")

    async with stage.play([tick, neighbour, *tasks]) as play:
        await play.put("ticks", tick, {"every": "10s"})
        beside = await play.start(neighbour)
        yield play
        assert (await play.ended(beside, within=200)).outcome == "succeeded"
        assert play.outputs(beside) == ["unharmed"]
        fired = [play.seconds(one.due_at) for one in play.instances(schedule="ticks")]
        assert fired == [10 * n for n in range(1, len(fired) + 1)]
        assert len(fired) >= 9


RAISED = {
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "StopIteration": StopIteration,
    "StopAsyncIteration": StopAsyncIteration,
    "BaseException": BaseException,
    "RecursionError": RecursionError,
    "MemoryError": MemoryError,
    "BrokenResourceError": trio.BrokenResourceError,
    "RunFinishedError": trio.RunFinishedError,
    "TrioInternalError": trio.TrioInternalError,
    "ExceptionGroup": lambda: ExceptionGroup("several", [ValueError("a"), ExceptionGroup("more", [KeyError("b")])]),
    "BaseExceptionGroup": lambda: BaseExceptionGroup("worse", [SystemExit(1), KeyboardInterrupt()]),
    "MeanGroup": lambda: MeanGroup("mean", [SystemExit(1), ValueError("b")]),
    "HidingGroup": lambda: HidingGroup("hiding", [ValueError("a")]),
    "thousands of groups": lambda: reduce(
        lambda inner, _: ExceptionGroup("deep", [inner]), range(5000), ValueError("a")
    ),
    "Mean": lambda: Mean(ValueError),
    "lone surrogates": lambda: ValueError("\ud800\0 odd"),
    "a long message": lambda: ValueError("x" * 1_000_000),
}


@pytest.mark.parametrize("what", RAISED)
async def test_whatever_a_task_raises_is_its_own_failure(autojump_clock, stage, what):
    @task
    async def raises(_in: None, out: Out[None]) -> None:
        await trio.sleep(5)
        raise RAISED[what]()

    async with among_neighbours(stage, raises) as play:
        instance = await play.start(raises)
        assert (await play.ended(instance)).outcome == "failed"
        error = play.error(instance)
        assert {"type", "message", "traceback"} == set(error)
        assert len(error["message"]) <= 16_000
        if what[-1] not in "se":
            assert error["type"] in (what, "RuntimeError")


@pytest.mark.parametrize("how", [SystemExit, KeyboardInterrupt, ValueError, RecursionError])
async def test_an_exception_that_cannot_be_shown_is_a_failure_all_the_same(autojump_clock, stage, how):
    @task
    async def raises(_in: None, out: Out[None]) -> None:
        raise Mean(how)

    async with among_neighbours(stage, raises) as play:
        instance = await play.start(raises)
        assert (await play.ended(instance)).outcome == "failed"
        assert (play.error(instance)["type"], play.error(instance)["message"]) == (
            "Mean",
            "<the exception's str() failed>",
        )


async def _a_cancelled() -> trio.Cancelled:
    """Catch a Cancelled, as one should not, and keep it."""
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.sleep_forever()
        except trio.Cancelled as kept:
            return kept
    raise AssertionError


@pytest.mark.parametrize("group", [None, BaseExceptionGroup, MeanGroup])
async def test_a_kept_cancelled_that_is_raised_again_is_a_failure(autojump_clock, stage, group):
    @task
    async def raises(_in: None, out: Out[None]) -> None:
        kept = await _a_cancelled()
        raise group("kept", [kept, ValueError("beside it")]) if group else kept

    async with among_neighbours(stage, raises) as play:
        instance = await play.start(raises)
        assert (await play.ended(instance)).outcome == "failed"
        assert play.error(instance)["type"] == (group.__name__ if group else "Cancelled")


@pytest.mark.parametrize("group", [None, BaseExceptionGroup, MeanGroup])
async def test_a_kept_cancelled_that_is_raised_by_a_cancelled_task_ends_it(autojump_clock, stage, group):
    @task
    async def raises(_in: None, out: Out[None]) -> None:
        kept = await _a_cancelled()
        try:
            await trio.sleep_forever()
        finally:
            raise group("kept", [kept, ValueError("beside it")]) if group else kept

    async with among_neighbours(stage, raises) as play:
        instance = await play.start(raises)
        await trio.sleep(1)
        await play.cancel(instance)
        assert (await play.ended(instance)).outcome == "cancelled"


async def test_a_task_that_cancels_its_own_scopes_hurts_nobody(autojump_clock, stage):
    @task
    async def suicidal(_in: None, out: Out[str]) -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await trio.sleep_forever()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.cancel_scope.cancel()
        await out.send("alive")

    async with among_neighbours(stage, suicidal) as play:
        instance = await play.start(suicidal)
        assert (await play.ended(instance)).outcome == "succeeded"
        assert play.outputs(instance) == ["alive"]


async def test_a_nursery_whose_children_fail_is_a_failure_with_all_of_their_errors(autojump_clock, stage):
    async def child(error: BaseException) -> None:
        raise error

    @task
    async def family(_in: None, out: Out[None]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, ValueError("first"))
            nursery.start_soon(child, SystemExit("second"))
            nursery.start_soon(trio.sleep_forever)

    async with among_neighbours(stage, family) as play:
        instance = await play.start(family)
        assert (await play.ended(instance)).outcome == "failed"
        assert play.error(instance)["type"] == "BaseExceptionGroup"
        assert "first" in play.error(instance)["traceback"]
        assert "second" in play.error(instance)["traceback"]


async def test_a_task_that_shields_itself_for_ever_stays_running_and_only_it_does(autojump_clock, stage):
    freed = trio.Event()

    @task(timeout="5s")
    async def deaf(_in: None, out: Out[None]) -> None:
        while not freed.is_set():
            try:
                with trio.CancelScope(shield=True):
                    await trio.sleep(1)
                await trio.sleep(1)
            except trio.Cancelled:
                continue

    async with among_neighbours(stage, deaf) as play:
        instance = await play.start(deaf)
        await trio.sleep(60)
        assert play.instance(instance).state == "running"
        assert "in deaf" in play.instance(instance).stuck
        freed.set()
        assert (await play.ended(instance)).outcome == "timed_out"


def test_a_task_that_spins_on_its_cancellation_stops_nobody(stage):
    """It keeps the loop busy, so time has to go by itself: fifty times as fast as outside."""
    spinning = True

    @task
    async def spins(_in: None, out: Out[None]) -> None:
        while spinning:
            try:
                await trio.sleep(0.01)
            except trio.Cancelled:
                continue

    async def main() -> None:
        nonlocal spinning
        async with stage.play([spins, tick]) as play:
            await play.put("ticks", tick, {"every": "5s"})
            instance = await play.start(spins)
            await trio.sleep(1)
            await play.cancel(instance)
            await trio.sleep(25)
            assert len(play.outcomes(schedule="ticks")) >= 4
            assert play.instance(instance).state == "running"
            assert play.instance(instance).stuck is not None
            spinning = False
            assert (await play.ended(instance)).outcome == "succeeded"

    trio.run(main, clock=MockClock(rate=50))


BAD_OUTPUTS = {
    "object": (object, "does not fit Out[int]"),
    "NaN": (lambda: float("nan"), "does not fit Out[int]"),
    "a set": (lambda: {1}, "does not fit Out[int]"),
    "a wrong type": (lambda: "1", "does not fit Out[int]"),
}


@pytest.mark.parametrize("returned", [False, True])
@pytest.mark.parametrize("what", BAD_OUTPUTS)
async def test_an_output_that_does_not_fit_its_type_is_a_failure_that_says_so(autojump_clock, stage, what, returned):
    make, sentence = BAD_OUTPUTS[what]

    @task
    async def liar(_in: None, out: Out[int]) -> Any:
        if returned:
            return make()
        await out.send(make())
        return None

    async with among_neighbours(stage, liar) as play:
        instance = await play.start(liar)
        assert (await play.ended(instance)).outcome == "failed"
        assert play.error(instance)["type"] == "TypeError"
        assert sentence in play.error(instance)["message"]
        assert play.outputs(instance) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, "\ud800", b"\xff", 1 << 80])
async def test_an_output_of_any_type_that_json_cannot_hold_fails_or_is_made_safe(autojump_clock, stage, value):
    @task
    async def odd(_in: None, out: Out[Any]) -> None:
        await out.send(value)

    async with among_neighbours(stage, odd) as play:
        instance = await play.start(odd)
        record = await play.ended(instance)
        assert record.outcome in ("failed", "succeeded")
        assert len(play.outputs(instance)) == (record.outcome == "succeeded")


async def test_a_million_outputs_end_at_the_limit_while_others_go_on(autojump_clock, stage):
    @task
    async def flood(_in: None, out: Out[int]) -> None:
        for number in range(1_000_000):
            await out.send(number)

    async with among_neighbours(stage, flood) as play:
        instance = await play.start(flood)
        assert (await play.ended(instance)).outcome == "failed"
        assert play.error(instance)["type"] == "OutputLimit"
        assert "more than its 10000 outputs" in play.error(instance)["message"]
        assert play.outputs(instance) == list(range(10_000))


async def test_an_input_that_the_code_no_longer_takes_is_a_failure(autojump_clock, stage):
    class New(msgspec.Struct, forbid_unknown_fields=True):
        size: int

    @task
    async def renamed(_in: New, out: Out[None]) -> None:
        raise AssertionError

    async with among_neighbours(stage, renamed) as play:
        (instance,) = await play.order(StartInstances((Start("renamed", b'{"length": 1}'),)))
        assert (await play.ended(instance)).outcome == "failed"
        assert play.error(instance)["type"] == "Invalid"


async def test_a_state_that_cannot_be_saved_is_a_failure_and_the_old_one_stays(autojump_clock, stage):
    @task
    class Hoarder:
        things: list[int] = []  # noqa: RUF012 - what is meant

        async def __call__(self, _in: bool, out: Out[int]) -> None:
            self.things.append(object() if _in else 1)
            await out.send(len(self.things))

    async with among_neighbours(stage, Hoarder) as play:
        outcomes = []
        for spoil in (False, True, False):
            instance = await play.start(Hoarder, spoil)
            outcomes.append((await play.ended(instance)).outcome)
        assert outcomes == ["succeeded", "failed", "succeeded"]
        assert play.outputs(instance) == [2]


async def test_a_constructor_that_fails_is_a_failure(autojump_clock, stage):
    built = 0

    @task
    class Moody:
        value: int = 0

        def __init__(self) -> None:
            nonlocal built
            built += 1
            if built > 1:
                raise SystemExit("not today")

        async def __call__(self, _in: None, out: Out[None]) -> None: ...

    async with among_neighbours(stage, Moody) as play:
        built = 1
        instance = await play.start(Moody)
        assert (await play.ended(instance)).outcome == "failed"
        assert play.error(instance)["type"] == "SystemExit"


async def test_a_child_that_outlives_nothing_is_ended_with_its_instance(autojump_clock, stage):
    """A task cannot leave a Trio child behind: its nursery waits, and a cancel reaches all of it."""
    ended = []

    async def child(number: int) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(number)

    @task
    async def parent(_in: None, out: Out[None]) -> None:
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(child, number)

    async with among_neighbours(stage, parent) as play:
        await play.start(parent)
        await trio.sleep(1)
        assert await play.order(CancelInstances("parent", None, None, None, "ada")) == 1
        await trio.sleep(1)
        assert sorted(ended) == list(range(100))
