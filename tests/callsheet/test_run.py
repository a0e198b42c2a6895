import signal
from typing import Any

import pytest
import trio
from msgspec import Struct

from callsheet import Out, SyncOut, run, run_sync, task
from callsheet.errors import Invalid
from callsheet.tasks import LogLine, Progress


class Step(Struct):
    by: int = 1


class Slept(Struct):
    seconds: int


@task(timeout="1h")
async def nap(_in: Step, out: Out[Slept]) -> None:
    await out.progress(0, _in.by, "lying down")
    await trio.sleep(_in.by)
    await out.log("awake", again=True)
    await out.send(Slept(_in.by))


@task
class Counter:
    value: int = 0

    async def __call__(self, _in: Step, out: Out[int]) -> None:
        self.value += _in.by
        await out.send(self.value)


def test_a_task_is_tested_in_one_line():
    assert run_sync(Counter, Step(4), state={"value": 3}).state == {"value": 7}


def test_a_run_tells_all_that_was_said():
    result = run_sync(nap, Step(60))
    assert result.outcome == "succeeded"
    assert result.outputs == [Slept(60)]
    assert result.progress == [Progress(0, 60, "lying down")]
    assert result.logs == [LogLine("info", "awake", {"again": True})]
    assert (result.error, result.state) == (None, None)


async def test_run_is_for_async_tests_on_their_own_clock(autojump_clock):
    result = await run(nap, {"by": 1800})
    assert result.outputs == [Slept(1800)]
    assert trio.current_time() == pytest.approx(1800)


def test_a_task_that_takes_too_long_is_timed_out():
    result = run_sync(nap, Step(3601))
    assert (result.outcome, result.outputs, result.error) == ("timed_out", [], None)
    assert run_sync(nap, Step(5), timeout="4s").outcome == "timed_out"
    assert run_sync(nap, Step(5), timeout=6).outcome == "succeeded"


def test_a_task_that_raises_has_failed_with_its_error():
    @task
    async def failing(_in: str, out: Out[str]) -> None:
        await out.send("so far")
        raise {"exit": SystemExit, "slow": trio.TooSlowError}[_in]

    result = run_sync(failing, "exit")
    assert (result.outcome, result.outputs) == ("failed", ["so far"])
    assert isinstance(result.error, SystemExit)
    assert run_sync(failing, "slow").outcome == "failed"


def test_a_clean_up_that_fails_after_the_timeout_is_told():
    @task(timeout=1)
    async def messy(_in: None, out: Out[str]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("mess")

    result = run_sync(messy, None)
    assert result.outcome == "timed_out"
    assert isinstance(result.error, ValueError)


def test_an_input_that_does_not_fit_is_the_callers_mistake():
    with pytest.raises(Invalid, match="/by: must be an integer"):
        run_sync(nap, {"by": "x"})


def test_what_is_not_a_task_is_refused():
    async def plain(_in: Any, out: Any) -> None: ...

    with pytest.raises(TypeError, match="run takes a task, made by @task"):
        run_sync(plain, None)


async def test_cancelling_the_caller_cancels_the_run(autojump_clock):
    with trio.move_on_after(5) as scope:
        await run(nap, Step(60))
    assert scope.cancelled_caught
    assert trio.current_time() == pytest.approx(5)


def test_a_def_task_runs_on_the_real_clock():
    @task(timeout="1h")
    def threaded(_in: Step, out: SyncOut[float]) -> None:
        before = trio.from_thread.run_sync(trio.current_time)
        sum(range(200_000))
        out.send(trio.from_thread.run_sync(trio.current_time) - before)

    (seconds,) = run_sync(threaded, Step()).outputs
    assert seconds < 60


def test_a_task_sees_its_deadline():
    @task(timeout=30)
    async def looks(_in: None, out: Out[float]) -> None:
        await out.send(out.deadline - trio.current_time())

    assert run_sync(looks, None).outputs == pytest.approx([30])
    assert run_sync(looks, None, real_time=True).outputs == pytest.approx([30], abs=1)


@pytest.mark.parametrize("how", ["in the body", "in a task of the body"])
def test_ctrl_c_ends_the_program_and_not_just_the_run(how):
    @task
    async def struck(_in: None, out: Out[None]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 1)
            if how == "in the body":
                signal.raise_signal(signal.SIGINT)
            nursery.start_soon(_strike)

    with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)) as caught:
        run_sync(struck, None)
    assert caught.type is KeyboardInterrupt or caught.group_contains(KeyboardInterrupt)


async def _strike():
    signal.raise_signal(signal.SIGINT)
