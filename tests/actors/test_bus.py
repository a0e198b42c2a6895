from contextlib import suppress

import pytest
import trio

from actors.inbox import ask
from actors.messages import Census, Order
from callsheet import Out, task
from callsheet.errors import GaveUp, Refused, StorageFull, Unavailable, Unknown
from storage.journal.commands import DeleteSchedule, KeepEvent, Start, StartInstances, TriggerSchedule

DOWN = Unavailable("The database does not answer.")


@task
async def quick(_in: int, out: Out[int]) -> None:
    await out.send(_in)


@task
async def nap(_in: float, out: Out[str]) -> None:
    await trio.sleep(_in)
    await out.send("awake")
    await out.log("as said")


def start(task, value=0):
    return StartInstances((Start(task.name, task.check_input(value)),))


async def test_a_command_that_is_refused_leaves_the_rest_of_its_batch_intact(autojump_clock, stage, door):
    answers = {}

    async def try_it(play, name, command):
        try:
            answers[name] = await play.order(command)
        except Exception as error:
            answers[name] = error

    async with stage.play([quick], door=door) as play:
        await play.put("busy", quick, {"every": "1h"}, input=1)
        door.closed = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(try_it, play, "first", start(quick, 1))
            nursery.start_soon(try_it, play, "unknown", DeleteSchedule("nobody"))
            nursery.start_soon(try_it, play, "no task", StartInstances((Start("nothing", b"1"),)))
            nursery.start_soon(try_it, play, "fails", StartInstances((Start("quick", None),)))
            nursery.start_soon(try_it, play, "last", start(quick, 2))
            await trio.sleep(1)
            door.closed = False
        await trio.sleep(1)
        assert [type(answers[name]) for name in ("unknown", "no task")] == [Unknown, Unknown]
        assert isinstance(answers["fails"], AttributeError)
        assert sorted(play.outputs(answers[name][0])[0] for name in ("first", "last")) == [1, 2]
        assert play.outcomes() == ["succeeded"] * 2


async def test_nothing_is_started_and_nobody_is_answered_before_the_commit(autojump_clock, stage, door):
    answered = []

    async def start_one(play):
        answered.append(await play.order(start(nap, 60)))

    async with stage.play([nap], door=door) as play:
        door.closed = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(start_one, play)
            await trio.sleep(100)
            assert (answered, play.instances()) == ([], [])
            assert (await ask(play.engine.tipman, Census)).running == ()
            door.closed = False
        ((instance,),) = answered
        await trio.sleep(1)
        assert (await ask(play.engine.tipman, Census)).running == (instance,)


async def test_facts_are_told_in_the_order_of_their_commit(autojump_clock, stage, door):
    async with stage.play([quick], door=door) as play:
        for number in range(50):
            play.engine.bus.send_nowait(Order(start(quick, number)))
        await trio.sleep(1)
        runs = play.instances()
        assert [play.outputs(one.id) for one in runs] == [[number] for number in range(50)]
        assert [one.id for one in runs] == sorted(one.id for one in runs)


async def test_a_crowd_is_committed_in_few_transactions(autojump_clock, stage, door):
    async with stage.play([quick], door=door) as play:
        before = door.writes
        for number in range(900):
            play.engine.bus.send_nowait(Order(start(quick, number)))
        await trio.sleep(10)
        assert play.outcomes() == ["succeeded"] * 900
        assert door.writes - before < 20


@pytest.mark.parametrize("error", [DOWN, StorageFull("The disk is full.")])
async def test_what_has_happened_is_kept_while_storage_fails_and_committed_afterwards(
    autojump_clock, stage, door, error
):
    async with stage.play([nap], door=door) as play:
        instance = await play.start(nap, 5)
        await trio.sleep(1)
        door.error = error
        await trio.sleep(60)
        assert play.instance(instance).state == "running"
        assert play.engine.health.storage is error
        door.error = None
        await trio.sleep(3)
        record = play.instance(instance)
        assert (record.outcome, record.finished_at - record.started_at) == ("succeeded", 5_000_000)
        assert (play.outputs(instance), play.log(instance)) == (["awake"], ["as said"])
        assert play.engine.health.storage is None
        assert await play.sighting(instance) is None


async def test_callers_learn_at_once_that_storage_fails(autojump_clock, stage, door):
    async with stage.play([nap], door=door) as play:
        await play.start(nap, 5)
        door.error = DOWN
        for delay in (0, 10, 10):
            await trio.sleep(delay)
            before = trio.current_time()
            with pytest.raises(Unavailable, match="does not answer"):
                await play.start(nap, 5)
            assert trio.current_time() - before <= 1.5
        door.error = None
        await trio.sleep(2)
        await play.ended(await play.start(nap, 5))


async def test_due_times_of_a_long_outage_are_for_the_catch_up_policy(autojump_clock, stage, door):
    async with stage.play([quick], door=door) as play:
        await play.put("latest", quick, {"every": "10s"}, input=1)
        await play.put("none", quick, {"every": "10s"}, input=1, catch_up="none")
        await trio.sleep(15)
        door.error = DOWN
        await trio.sleep(40)
        door.error = None
        await trio.sleep(2)
        fates = {slug: [(one.fate, one.reason, one.count) for one in play.ledger(slug)] for slug in ("latest", "none")}
        assert fates == {
            "latest": [("ran", None, 1), ("missed", "downtime", 3), ("ran", None, 1)],
            "none": [("ran", None, 1), ("missed", "downtime", 4)],
        }
        await trio.sleep(10)
        assert [one.fate for one in play.ledger("none")] == ["ran", "missed", "ran"]


async def test_a_hiccup_of_storage_costs_no_due_time(autojump_clock, stage, door):
    async with stage.play([quick], door=door) as play:
        await play.put("none", quick, {"every": "10s"}, input=1, catch_up="none")
        await trio.sleep(9.5)
        door.error = DOWN
        await trio.sleep(1)
        door.error = None
        await trio.sleep(2)
        assert [one.fate for one in play.ledger("none")] == ["ran"]


async def test_a_full_queue_gives_unavailable_and_not_a_hang(autojump_clock, stage, door):
    async with stage.play([quick], door=door) as play:
        door.closed = True
        await trio.sleep(0.1)
        play.engine.bus.send_nowait(Order(KeepEvent("test.first", b"{}")))
        await trio.sleep(0.1)
        sent = 0
        with suppress(trio.WouldBlock):
            while True:
                play.engine.bus.send_nowait(Order(KeepEvent("test.flood", b"{}")))
                sent += 1
        before = trio.current_time()
        with pytest.raises(Unavailable, match="more to do than it can take"):
            await play.start(quick, 1)
        assert trio.current_time() - before == pytest.approx(2, abs=0.1)
        door.closed = False
        assert (await play.ended(await play.start(quick, 1))).outcome == "succeeded"
        assert len(play.events("test.flood")) == sent > 100


async def test_an_asker_who_leaves_harms_nobody_and_its_order_stands(autojump_clock, stage, door):
    async with stage.play([quick], door=door) as play:
        door.closed = True
        with trio.move_on_after(1):
            await play.start(quick, 1)
        door.closed = False
        await trio.sleep(2)
        assert play.outcomes() == ["succeeded"]


async def test_a_database_that_cannot_be_trusted_ends_the_engine_and_leaves_nobody_waiting(autojump_clock, stage, door):
    answers = []

    async def start_one(play):
        with trio.CancelScope(shield=True), trio.move_on_after(60):
            try:
                await play.start(quick, 1)
            except Unavailable as error:
                answers.append(str(error))

    async def go_on_until_it_fails():
        async with trio.open_nursery() as askers, stage.play([quick], door=door) as play:
            door.closed = True
            for _ in range(3):
                askers.start_soon(start_one, play)
                await trio.sleep(1)
            door.error = GaveUp("The disk lies.")
            door.closed = False
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await go_on_until_it_fails()
    assert caught.group_contains(GaveUp, match="The disk lies", depth=None)
    assert caught.value.split(GaveUp)[1] is None
    assert answers == ["The service is stopping."] * 3


async def test_a_trigger_is_refused_while_a_run_goes_on_and_names_it(autojump_clock, stage):
    async with stage.play([nap]) as play:
        await play.put("once", nap, {"every": "1h"}, input=60)
        instance = await play.order(TriggerSchedule("once"))
        with pytest.raises(Refused) as caught:
            await play.order(TriggerSchedule("once"))
        assert caught.value.blocked_by == f"/v1/instances/{instance}"
        another = await play.order(TriggerSchedule("once", overlap="allow"))
        await trio.sleep(61)
        assert [play.instance(one).outcome for one in (instance, another)] == ["succeeded"] * 2


async def test_an_end_that_somebody_else_has_written_ends_it_here_too(autojump_clock, stage):
    """As another node would, that believes this one dead."""
    async with stage.play([nap]) as play:
        instance = await play.start(nap, 5)
        await trio.sleep(1)
        play.sql("UPDATE instance SET state = 'lost', finished_at = started_at")
        await trio.sleep(5)
        assert play.outcomes() == ["lost"]
        assert await play.sighting(instance) is None
        await play.finish()
        assert play.engine.left.running == ()
