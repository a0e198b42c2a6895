from itertools import pairwise
from time import perf_counter
from typing import Annotated
from uuid import uuid4

import msgspec
import pytest
import trio

from actors.inbox import ask
from actors.messages import Census, Order, WhenIdle
from callsheet import Out, Retry, task
from callsheet.errors import Unknown
from callsheet.instants import SECOND
from storage.journal.commands import CancelInstance, CancelInstances, Start, StartInstances


class Nap(msgspec.Struct):
    seconds: Annotated[float, msgspec.Meta(ge=0)] = 0


@task
async def nap(_in: Nap, out: Out[str]) -> None:
    await out.send("asleep")
    await trio.sleep(_in.seconds)
    await out.send("awake")


@task(timeout="10s")
async def hasty(_in: Nap, out: Out[None]) -> None:
    await trio.sleep(_in.seconds)


@task(timeout="10s")
async def too_slow(_in: None, out: Out[None]) -> None:
    with trio.fail_after(1):
        await trio.sleep_forever()


class Shield(msgspec.Struct):
    cleanup: float


@task(timeout="10s")
async def cleans_up(_in: Shield, out: Out[str]) -> None:
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(_in.cleanup)
            await out.send("clean")


async def test_an_instance_that_succeeds_has_its_outputs_and_times(autojump_clock, stage):
    async with stage.play([nap]) as play:
        instance = await play.start(nap, {"seconds": 5})
        await trio.sleep(1)
        assert (play.instance(instance).state, play.outputs(instance)) == ("running", ["asleep"])
        record = await play.ended(instance)
        assert (record.outcome, record.error, play.outputs(instance)) == ("succeeded", None, ["asleep", "awake"])
        assert record.finished_at - record.started_at == 5 * SECOND
        (event,) = play.events("instance.ended")
    assert event == {"task": "nap", "outcome": "succeeded", "seconds": 5.0}


async def test_the_directory_knows_what_runs_and_forgets_what_ended(autojump_clock, stage):
    @task
    async def steps(_in: None, out: Out[None]) -> None:
        await out.progress(1, 3, "first")
        await trio.sleep(10)

    async with stage.play([steps]) as play:
        instance = await play.start(steps)
        await trio.sleep(1)
        sighting = await play.sighting(instance)
        stack = await play.stack(instance)
        await play.ended(instance)
        after = await play.sighting(instance), await play.stack(instance)
    assert (play.seconds(sighting.started_at), sighting.stuck, sighting.progress) == (0, None, (1, 3, "first"))
    assert any("test_instance.py" in line and "in steps" in line for line in stack)
    assert after == (None, None)


async def test_a_run_over_its_time_is_timed_out(autojump_clock, stage):
    async with stage.play([hasty]) as play:
        fast, slow = await play.start(hasty, {"seconds": 9}), await play.start(hasty, {"seconds": 11})
        record = await play.ended(slow)
        assert (record.outcome, record.finished_at - record.started_at) == ("timed_out", 10 * SECOND)
        assert play.error(slow) == {"type": "TimedOut", "message": "ran 10.000 s, more than its limit of 10 s"}
        assert play.instance(fast).outcome == "succeeded"


async def test_the_shorter_of_two_time_outs_counts(autojump_clock, stage):
    async with stage.play([hasty]) as play:
        shorter = await play.start(hasty, {"seconds": 60}, timeout=2 * SECOND)
        longer = await play.start(hasty, {"seconds": 60}, timeout=20 * SECOND)
        ends = [await play.ended(one) for one in (shorter, longer)]
    assert [(one.outcome, one.finished_at - one.started_at) for one in ends] == [
        ("timed_out", 2 * SECOND),
        ("timed_out", 10 * SECOND),
    ]


async def test_a_too_slow_error_of_the_task_itself_is_a_failure(autojump_clock, stage):
    async with stage.play([too_slow]) as play:
        instance = await play.start(too_slow)
        assert (await play.ended(instance)).outcome == "failed"
        assert play.error(instance)["type"] == "TooSlowError"


@pytest.mark.parametrize("ends_by", ["returning", "raising"])
async def test_a_body_that_overran_without_a_checkpoint_is_timed_out(autojump_clock, stage, ends_by):
    @task(timeout="10s")
    async def deaf(_in: None, out: Out[None]) -> None:
        autojump_clock.jump(11)  # as if it had computed for so long
        if ends_by == "raising":
            raise ValueError("too late")

    async with stage.play([deaf]) as play:
        instance = await play.start(deaf)
        record = await play.ended(instance)
    assert (record.outcome, record.finished_at - record.started_at) == ("timed_out", 11 * SECOND)


async def test_a_task_that_swallows_its_time_out_and_returns_is_timed_out(autojump_clock, stage):
    @task(timeout="10s")
    async def swallows(_in: None, out: Out[None]) -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            return

    async with stage.play([swallows]) as play:
        assert (await play.ended(await play.start(swallows))).outcome == "timed_out"


async def test_a_clean_up_that_fails_after_the_time_out_is_timed_out_with_its_error(autojump_clock, stage):
    @task(timeout="10s")
    async def messy(_in: None, out: Out[None]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("mess")

    async with stage.play([messy]) as play:
        instance = await play.start(messy)
        assert (await play.ended(instance)).outcome == "timed_out"
        assert (play.error(instance)["type"], play.error(instance)["message"]) == ("ValueError", "mess")


async def test_a_cancelled_instance_says_who_and_why(autojump_clock, stage):
    async with stage.play([nap]) as play:
        instance = await play.start(nap, {"seconds": 3600})
        await trio.sleep(5)
        assert await play.cancel(instance, "not needed", by="ada") is True
        record = await play.ended(instance)
        assert (record.outcome, record.cancel_by, record.cancel_reason) == ("cancelled", "ada", "not needed")
        assert play.seconds(record.cancel_at) == play.seconds(record.finished_at) == 5
        assert play.outputs(instance) == ["asleep"]
        assert await play.cancel(instance, "again", by="bob") is False
        assert play.instance(instance).cancel_by == "ada"


async def test_an_instance_cancelled_in_the_batch_that_starts_it_never_gets_past_a_checkpoint(autojump_clock, stage):
    async with stage.play([nap]) as play:
        start = Start("nap", nap.check_input({"seconds": 60}), tags=("mine",))
        for command in (StartInstances((start,)), CancelInstances(None, None, "mine", "changed my mind", "ada")):
            play.engine.bus.send_nowait(Order(command))
        await trio.sleep(1)
        (record,) = play.instances()
    assert (record.outcome, play.seconds(record.finished_at), play.outputs(record.id)) == ("cancelled", 0, [])


async def test_a_shielded_clean_up_within_its_time_works(autojump_clock, stage):
    async with stage.play([cleans_up]) as play:
        instance = await play.start(cleans_up, {"cleanup": 4.5})
        await trio.sleep(1)
        await play.cancel(instance)
        record = await play.ended(instance)
        assert (record.outcome, record.stuck, play.outputs(instance)) == ("cancelled", None, ["clean"])
        assert play.events("instance.stuck") == []


@pytest.mark.parametrize(("told", "outcome"), [("cancel", "cancelled"), ("time-out", "timed_out")])
async def test_an_instance_that_does_not_end_stays_running_and_says_where_it_stands(
    autojump_clock, stage, told, outcome
):
    async with stage.play([cleans_up, nap]) as play:
        instance = await play.start(cleans_up, {"cleanup": 60})
        if told == "cancel":
            await play.cancel(instance, "enough")
        else:
            await trio.sleep(10)
        await trio.sleep(4.9)
        assert play.instance(instance).stuck is None
        await trio.sleep(0.2)
        record = play.instance(instance)
        sighting = await play.sighting(instance)
        assert record.state == "running"
        assert "test_instance.py" in record.stuck
        assert "in cleans_up" in record.stuck
        assert sighting.stuck == record.stuck
        assert [event["where"] for event in play.events("instance.stuck")] == [record.stuck]
        assert (await play.ended(await play.start(nap))).outcome == "succeeded"

        record = await play.ended(instance, within=120)
        assert (record.outcome, record.stuck, play.outputs(instance)) == (outcome, None, ["clean"])
        assert await play.sighting(instance) is None


async def test_an_end_and_a_cancel_at_the_same_moment_leave_one_outcome(autojump_clock, stage):
    async with stage.play([nap]) as play:
        instance = await play.start(nap, {"seconds": 10})
        await trio.sleep(10)
        accepted = await play.cancel(instance, "too late?")
        record = await play.ended(instance)
        await trio.sleep(1)
        assert play.instance(instance) == record
        assert len(play.events("instance.ended")) == 1
    assert (record.outcome, accepted) in {("succeeded", True), ("succeeded", False), ("cancelled", True)}


async def test_an_end_that_is_committed_before_the_cancel_wins(autojump_clock, stage, door):
    async with stage.play([nap], door=door) as play:
        instance = await play.start(nap, {"seconds": 10})
        await trio.sleep(1)
        async with trio.open_nursery() as nursery:
            await trio.sleep_until(trio.current_time() + 9.5)
            nursery.start_soon(play.cancel, instance, "too late")
        record = play.instance(instance)
    assert (record.outcome, record.cancel_at) == ("succeeded", None)


async def test_a_cancel_that_is_committed_before_the_end_leaves_the_truth(autojump_clock, stage, door):
    async with stage.play([nap], door=door) as play:
        instance = await play.start(nap, {"seconds": 10})
        await trio.sleep(9.9)
        door.closed = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(play.cancel, instance, "in time, but it did end by itself")
            await trio.sleep(1)
            door.closed = False
        record = await play.ended(instance)
    assert (record.outcome, record.cancel_by) == ("succeeded", "tester")


async def test_a_task_that_returns_although_it_was_cancelled_has_succeeded(autojump_clock, stage):
    @task
    async def obstinate(_in: None, out: Out[str]) -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            return

    async with stage.play([obstinate]) as play:
        instance = await play.start(obstinate)
        await trio.sleep(1)
        await play.cancel(instance)
        assert (await play.ended(instance)).outcome == "succeeded"


async def test_an_unknown_instance_cannot_be_cancelled(autojump_clock, stage):
    async with stage.play([nap]) as play:
        with pytest.raises(Unknown):
            await play.order(CancelInstance(uuid4(), None, "ada"))


@task(retries=Retry(2, backoff="10s..40s"))
async def flaky(_in: Nap, out: Out[int]) -> None:
    await out.send(out.attempt)
    if out.attempt < 3:
        raise ConnectionError("not yet")


async def test_a_failed_attempt_is_tried_again_later_until_one_succeeds(autojump_clock, stage):
    async with stage.play([flaky]) as play:
        first = await play.start(flaky)
        await trio.sleep(120)
        runs = play.instances()
    assert [(one.state, one.attempt, one.cause) for one in runs] == [
        ("failed", 1, "manual"),
        ("failed", 2, "retry"),
        ("succeeded", 3, "retry"),
    ]
    assert {one.retry_of for one in runs[1:]} == {first}
    waits = [(later.started_at - sooner.finished_at) / SECOND for sooner, later in pairwise(runs)]
    assert 10 <= waits[0] <= 20
    assert 20 <= waits[1] <= 40


async def test_a_cancelled_run_is_not_tried_again(autojump_clock, stage):
    @task(retries=5)
    async def sleeper(_in: None, out: Out[None]) -> None:
        await trio.sleep_forever()

    async with stage.play([sleeper]) as play:
        await play.start(sleeper)
        await trio.sleep(1)
        await play.cancel(play.instances()[0].id)
        await trio.sleep(600)
        assert play.outcomes() == ["cancelled"]


async def test_a_retry_that_waits_can_be_cancelled(autojump_clock, stage):
    async with stage.play([flaky]) as play:
        await play.start(flaky)
        await trio.sleep(1)
        failed, waiting = play.instances()
        assert (failed.state, waiting.state) == ("failed", "queued")
        assert await play.cancel(waiting.id, "no more") is True
        await trio.sleep(600)
        assert play.outcomes() == ["failed", "cancelled"]


async def test_ten_thousand_sleepers_are_cancelled_and_the_loop_still_breathes(real_stage, thread_door):
    longest = 0.0

    async def breathe() -> None:
        nonlocal longest
        while True:
            before = perf_counter()
            await trio.sleep(0.005)
            longest = max(longest, perf_counter() - before)

    async with real_stage.play([nap], door=thread_door) as play, trio.open_nursery() as nursery:
        start = Start("nap", nap.check_input({"seconds": 3600}), tags=("crowd",))
        await play.order(StartInstances((start,) * 10_000))
        while len((await ask(play.engine.tipman, Census)).running) < 10_000:
            await trio.sleep(0.05)
        nursery.start_soon(breathe)
        assert await play.order(CancelInstances(None, None, "crowd", "enough", "ada")) == 10_000
        await ask(play.engine.tipman, WhenIdle)
        nursery.cancel_scope.cancel()
        assert play.outcomes() == ["cancelled"] * 10_000
    assert longest < 3.0  # seconds; about 0.1 when nobody else is at work


async def test_who_looks_need_not_wait_until_a_crowd_has_begun(autojump_clock, stage):
    begun = []

    @task
    async def note(_in: None, out: Out[int]) -> None:
        """Note that it has begun."""
        begun.append(1)
        await trio.sleep(1)

    async with stage.play([nap, note]) as play:
        sleeper = await play.start(nap, {"seconds": 60})
        await play.order(StartInstances((Start("note", b"null"),) * 2_000))
        assert await play.sighting(sleeper) is not None
        assert len(begun) < 1_000
        await trio.sleep(100)
        assert play.outcomes() == ["succeeded"] * 2_001
