import time
from uuid import UUID

import pytest
import trio
import trio.lowlevel

from actors.inbox import ask, order
from actors.messages import Census, WhenIdle
from actors.supervisor import Budget, Rules, restarted
from callsheet import Out, task
from callsheet.clock import VirtualClock
from callsheet.errors import GaveUp, Unavailable
from storage.journal.commands import Start, StartInstances

DOWN = Unavailable("The database does not answer.")


@task
async def quick(_in: None, out: Out[None]) -> None: ...


@task
async def nap(_in: float, out: Out[str]) -> None:
    await trio.sleep(_in)
    await out.send("awake")


@task
async def cleans_up(_in: float, out: Out[str]) -> None:
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(_in)
            await out.send("clean")


@task
class Queue:
    length: int = 0

    async def __call__(self, _in: float, out: Out[int]) -> None:
        await trio.sleep(_in)
        self.length += 1
        await out.send(self.length)


class Moody(VirtualClock):
    """A clock that fails as often as it is told to."""

    failures = 0

    def now(self) -> int:
        if self.failures > 0:
            self.failures -= 1
            raise OSError("the clock is broken")
        return super().now()


@pytest.fixture
def moody(stage):
    return stage.with_clock(Moody)


async def test_a_scheduler_that_crashes_is_started_again_and_goes_on_firing(autojump_clock, moody):
    async with moody.play([quick]) as play:
        await play.put("often", quick, {"every": "10s"})
        await trio.sleep(5)
        for _ in range(5):
            moody.clock.failures = 1
            await trio.sleep(60)
            assert moody.clock.failures == 0
        fired = [play.seconds(one.due_at) for one in play.instances()]
        assert fired == [10 * n for n in range(1, 31)]
        assert set(play.outcomes()) <= {"succeeded", "failed"}


async def test_a_used_up_budget_ends_the_engine_with_the_reason(autojump_clock, moody):
    async def go_on_until_it_fails():
        async with moody.play([quick]) as play:
            await play.put("often", quick, {"every": "10s"})
            await trio.sleep(5)
            moody.clock.failures = 100
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await go_on_until_it_fails()
    assert caught.group_contains(GaveUp, match="The scheduler crashed 6 times within 60 s.*clock is broken", depth=None)
    assert caught.value.split(GaveUp)[1] is None


@pytest.mark.parametrize("when", ["before", "while draining", "while interrupting"])
async def test_a_database_that_fails_for_good_is_the_only_reason_that_is_given(autojump_clock, stage, door, when):
    async def go_on_until_it_fails():
        async with stage.play([cleans_up, nap], door=door) as play:
            for some_task, seconds in ((nap, 30.0), (cleans_up, 1.0), (cleans_up, 60.0)):
                await play.start(some_task, seconds)
            await trio.sleep(1)
            if when == "before":
                door.error = GaveUp("The disk lies.")
            play.engine.stop.set()
            await trio.sleep(1)
            if when == "while interrupting":
                play.engine.hurry.set()
            door.error = GaveUp("The disk lies.")
            await play.engine.stopped.wait()
            pytest.fail("it did not stop as told")

    with pytest.raises(ExceptionGroup) as caught:
        await go_on_until_it_fails()
    assert caught.value.split(GaveUp)[1] is None


async def test_crashes_that_are_far_apart_do_not_use_up_the_budget(autojump_clock):
    crashes = 0

    async def actor() -> None:
        nonlocal crashes
        await trio.sleep(13)
        crashes += 1
        if crashes < 50:
            raise ValueError(crashes)

    await restarted("actor", actor, Budget(restarts=5, seconds=60))
    assert crashes == 50


async def test_stopping_lets_running_tasks_finish_and_fires_nothing_more(autojump_clock, stage):
    async with stage.play([quick, nap]) as play:
        await play.put("often", quick, {"every": "1s"})
        instance = await play.start(nap, 10.0)
        await trio.sleep(2.5)
        before = trio.current_time()
        await play.finish()
        assert trio.current_time() - before == pytest.approx(7.5, abs=0.1)
        assert play.instance(instance).outcome == "succeeded"
        assert len(play.instances(schedule="often")) == 2
        assert play.engine.left.running == ()
        assert [len(play.events(type_)) for type_ in ("node.draining", "node.stopped")] == [1, 1]


async def test_what_still_runs_after_the_drain_is_interrupted_with_clean_up(autojump_clock, stage):
    async with stage.play([cleans_up], rules=Rules(drain=20)) as play:
        instance = await play.start(cleans_up, 1.0)
        await trio.sleep(1)
        await play.finish()
        record = play.instance(instance)
        assert (record.outcome, play.seconds(record.finished_at)) == ("interrupted", 22)
        assert play.outputs(instance) == ["clean"]
        assert play.engine.left.running == ()


async def test_a_second_signal_skips_the_drain(autojump_clock, stage):
    async with stage.play([nap]) as play:
        instance = await play.start(nap, 600.0)
        play.engine.stop.set()
        await trio.sleep(3)
        assert play.instance(instance).state == "running"
        play.engine.hurry.set()
        await play.engine.stopped.wait()
        assert play.instance(instance).outcome == "interrupted"
        assert play.seconds(play.instance(instance).finished_at) == 3


async def test_a_task_that_never_ends_is_left_and_stays_running_in_the_database(autojump_clock, stage):
    freed = trio.Event()

    @task
    async def deaf(_in: None, out: Out[None]) -> None:
        with trio.CancelScope(shield=True):
            await freed.wait()

    async with stage.play([deaf, nap]) as play:
        deaf_one, other = await play.start(deaf), await play.start(nap, 600.0)
        before = trio.current_time()
        await play.finish()
        assert trio.current_time() - before < 22
        assert play.engine.left.running == (deaf_one,)
        assert (play.instance(deaf_one).state, play.instance(other).state) == ("running", "interrupted")
        for question in (Census, WhenIdle):
            with trio.fail_after(5), pytest.raises(Unavailable):
                await ask(play.engine.tipman, question)
        freed.set()


async def test_nothing_is_started_while_the_engine_stops(autojump_clock, stage):
    async with stage.play([nap]) as play:
        await play.start(nap, 10.0)
        play.engine.stop.set()
        await trio.sleep(1)
        assert not play.engine.takes_orders
        with pytest.raises(Unavailable, match="stopping"):
            await play.start(nap, 1.0)
        await play.engine.stopped.wait()
        assert play.outcomes() == ["succeeded"]


async def test_a_claim_that_is_on_its_way_when_the_engine_stops_is_no_lost_run(autojump_clock, stage, door):
    async with stage.play([nap], door=door) as play:
        await play.put("soon", nap, {"every": "10s"}, input=5.0)
        await trio.sleep(9.99)
        door.closed = True
        await trio.sleep(0.05)
        play.engine.stop.set()
        await trio.sleep(0.05)
        door.closed = False
        await play.engine.stopped.wait()
        assert play.outcomes() == ["succeeded"]


async def test_starts_that_were_handed_over_before_the_stop_run_or_are_refused(autojump_clock, stage, door):
    accepted, refused = [], 0

    async def start_one(play):
        nonlocal refused
        try:
            accepted.extend(await order(play.engine.bus, StartInstances((Start("nap", b"1"),))))
        except Unavailable:
            refused += 1

    async with stage.play([nap], door=door) as play:
        async with trio.open_nursery() as nursery:
            door.closed = True
            for number in range(40):
                nursery.start_soon(start_one, play)
                await trio.sleep(0.01)
                if number == 20:
                    play.engine.stop.set()
                    door.closed = False
        await play.engine.stopped.wait()
        assert len(accepted) + refused == 40
        assert accepted
        assert refused
        assert {play.instance(one).state for one in accepted} == {"succeeded"}
        assert len(play.instances()) == len(accepted)


async def test_what_waits_in_a_queue_at_the_stop_is_not_begun_but_kept_for_the_next_boot(autojump_clock, stage):
    async with stage.play([Queue], rules=Rules(drain=20)) as play:
        for _ in range(5):
            await play.start(Queue, 15.0)
        await trio.sleep(1)
        assert play.outcomes() == ["running", "queued", "queued", "queued", "queued"]
        await play.finish()
        assert play.outcomes() == ["succeeded", "queued", "queued", "queued", "queued"]
    async with stage.play([Queue]) as play:
        assert play.engine.lost == 0
        await trio.sleep(70)
        assert play.outcomes() == ["succeeded"] * 5
        assert [play.outputs(one.id) for one in play.instances()] == [[1], [2], [3], [4], [5]]


async def test_whoever_asks_after_the_end_is_told_so_at_once(autojump_clock, stage):
    async with stage.play([nap]) as play:
        await play.finish()
    for _ in range(2):
        with pytest.raises(Unavailable, match="stopping"):
            await play.start(nap, 1.0)
        with pytest.raises(Unavailable, match="stopping"):
            await ask(play.engine.tipman, Census)


async def test_whoever_waits_for_an_answer_when_the_engine_is_killed_is_told_so(autojump_clock, stage, door):
    answers = []

    async def try_to(what, *args):
        with trio.CancelScope(shield=True), trio.move_on_after(60):
            try:
                answers.append(await what(*args))
            except Unavailable as error:
                answers.append(str(error))

    async with trio.open_nursery() as askers, stage.play([nap], door=door) as play:
        await play.start(nap, 600.0)
        door.closed = True
        askers.start_soon(try_to, play.start, nap, 1.0)
        await trio.sleep(1)
        askers.start_soon(try_to, play.start, nap, 1.0)
        askers.start_soon(try_to, ask, play.engine.tipman, WhenIdle)
        await trio.sleep(1)
        play.kill()
    assert len(answers) == 3
    assert answers.count("The service is stopping.") == 2
    assert sum(isinstance(one, UUID) for one in answers) == 1  # it was committed, and so it was answered


async def test_a_crowd_that_ends_just_when_the_engine_is_killed_does_not_hold_it_up(autojump_clock, stage):
    @task
    async def swallows(_in: None, out: Out[None]) -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            for number in range(20):
                print("line", number)

    with trio.fail_after(60):
        async with stage.play([swallows]) as play:
            start = Start("swallows", b"null")
            await play.order(StartInstances((start,) * 2000))
            await trio.sleep(1)
            play.kill()


async def test_the_engine_stops_in_order_while_storage_fails(autojump_clock, stage, door):
    async with stage.play([nap], door=door) as play:
        instance = await play.start(nap, 5.0)
        await trio.sleep(1)
        door.error = DOWN
        await play.finish()
        assert play.engine.left.running == (instance,)


async def test_the_engine_waits_for_a_database_that_is_not_there_yet(autojump_clock, stage, door):
    door.error = DOWN

    async def heal() -> None:
        await trio.sleep(30)
        door.error = None

    async with trio.open_nursery() as nursery:
        nursery.start_soon(heal)
        async with stage.play([quick], door=door) as play:
            assert trio.current_time() == pytest.approx(30, abs=1)
            assert (await play.ended(await play.start(quick))).outcome == "succeeded"


async def until_told(told, text, times=1):
    """Wait in real time, for the teller sits in a thread, but let it pass on the other clock, too."""
    deadline = time.monotonic() + 20
    while "".join(told).count(text) < times:
        assert time.monotonic() < deadline
        await trio.sleep(0.001)


async def test_starts_and_ends_are_told_to_whoever_watches(autojump_clock, stage):
    told = []
    async with stage.play([quick], write=told.append) as play:
        instance = await play.start(quick)
        await until_told(told, "ended")
    assert "".join(told).splitlines() == [f"started  quick  {instance}", "ended    quick  succeeded after 0.000 s"]


async def test_a_watcher_who_fails_now_and_then_is_not_the_end_of_the_engine(autojump_clock, stage):
    told = []

    def broken(text: str) -> None:
        told.append(text)
        raise OSError("nobody reads this")

    async with stage.play([quick], write=broken) as play:
        for number in range(1, 11):
            await trio.sleep(40)
            instance = await play.start(quick)
            assert (await play.ended(instance)).outcome == "succeeded"
            await until_told(told, "ended", number)
