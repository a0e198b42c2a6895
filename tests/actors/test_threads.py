"""Tasks that are plain functions, in worker threads: real time, for threads know no other."""

from threading import Event

import trio

from actors.supervisor import Rules
from callsheet import Out, SyncOut, task

HASTY = Rules(cleanup_timeout=0.1, drain=0.2, last_cleanup=0.1)


async def test_a_def_task_that_raises_or_exits_is_a_failure(real_stage, thread_door):
    @task
    def leaves(_in: str, out: SyncOut[None]) -> None:
        raise {"exit": SystemExit, "interrupt": KeyboardInterrupt, "value": ValueError}[_in]

    @task
    def works(_in: None, out: SyncOut[str]) -> str:
        out.send("from a thread")
        return "and back"

    async with real_stage.play([leaves, works], door=thread_door) as play:
        for how in ("exit", "interrupt", "value"):
            instance = await play.start(leaves, how)
            assert (await play.ended(instance)).outcome == "failed"
        instance = await play.start(works)
        assert (await play.ended(instance)).outcome == "succeeded"
        assert play.outputs(instance) == ["from a thread", "and back"]


async def test_a_def_task_ends_at_its_next_word_once_it_is_cancelled(real_stage, thread_door):
    going, cancelled = Event(), Event()

    @task
    def works(_in: None, out: SyncOut[int]) -> None:
        going.set()
        cancelled.wait(10)
        out.send(1)
        raise AssertionError("it was told to end")

    async with real_stage.play([works], door=thread_door) as play:
        instance = await play.start(works)
        await trio.to_thread.run_sync(going.wait, 10)
        await play.cancel(instance, "enough")
        cancelled.set()
        assert (await play.ended(instance)).outcome == "cancelled"
        assert play.outputs(instance) == []


async def test_a_def_task_that_says_nothing_stays_running_until_it_ends_and_holds_up_nobody(real_stage, thread_door):
    going, released = Event(), Event()

    @task
    def silent(_in: None, out: SyncOut[str]) -> None:
        going.set()
        released.wait(10)

    @task
    async def quick(_in: None, out: Out[str]) -> None:
        await out.send("done")

    async with real_stage.play([silent, quick], door=thread_door, rules=HASTY) as play:
        instance = await play.start(silent)
        await trio.to_thread.run_sync(going.wait, 10)
        await play.cancel(instance)
        with trio.fail_after(10):
            while play.instance(instance).stuck is None:
                await trio.sleep(0.02)
        assert play.instance(instance).state == "running"
        assert "threading.py" in play.instance(instance).stuck  # the wait itself, in the worker thread
        assert any("test_threads.py" in line and line.endswith("in silent") for line in await play.stack(instance))
        assert (await play.ended(await play.start(quick))).outcome == "succeeded"
        await play.finish()
        assert play.engine.left.running == play.engine.left.stuck == (instance,)
        released.set()


async def test_more_def_tasks_than_threads_take_turns(real_stage, thread_door):
    @task
    def quick(_in: int, out: SyncOut[int]) -> int:
        return _in

    async with real_stage.play([quick], door=thread_door) as play:
        instances = [await play.start(quick, number) for number in range(200)]
        for instance in instances:
            assert (await play.ended(instance)).outcome == "succeeded"
        assert [play.outputs(instance) for instance in instances] == [[number] for number in range(200)]


async def test_a_def_task_stands_where_its_thread_is(real_stage, thread_door):
    going, released = Event(), Event()

    def deeper() -> None:
        going.set()
        while not released.is_set():
            pass

    @task
    def works(_in: None, out: SyncOut[str]) -> None:
        deeper()

    async with real_stage.play([works], door=thread_door) as play:
        instance = await play.start(works)
        await trio.to_thread.run_sync(going.wait, 10)

        lines = await play.stack(instance)
        assert [line.rpartition(" in ")[2] for line in lines[:2]] == ["works", "deeper"]
        released.set()
        assert (await play.ended(instance)).outcome == "succeeded"
