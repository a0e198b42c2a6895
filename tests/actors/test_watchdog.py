"""The watchdog beside a real engine: these tests take real seconds."""

import time

import trio

from callsheet import Out, SyncOut, task
from callsheet.watchdog import Watchdog


@task
async def blocks(_in: float, out: Out[None]) -> None:
    time.sleep(_in)  # noqa: ASYNC251 - what it is about


@task
async def blocks_in_a_child(_in: float, out: Out[None]) -> None:
    async def child() -> None:
        await trio.sleep(0.01)
        time.sleep(_in)  # noqa: ASYNC251

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 0.02)
        nursery.start_soon(child)


@task
def blocks_a_thread(_in: float, out: SyncOut[None]) -> None:
    time.sleep(_in)


async def test_a_task_that_blocks_the_loop_is_noticed_and_named(real_stage, thread_door, caplog):
    reports = []
    async with real_stage.play([blocks, blocks_a_thread], door=thread_door) as play:
        dog = Watchdog(lambda *report: reports.append(report))
        try:
            assert dog.lag() < 0.5
            innocent = await play.start(blocks_a_thread, 1.0)
            instance = await play.start(blocks, 1.6)
            await play.ended(instance)
            await play.ended(innocent)
            await trio.sleep(0.3)
            assert dog.lag() < 0.5
        finally:
            dog.close()
    ((name, seconds, where),) = reports
    assert name == f"{instance} of blocks"
    assert seconds > 1
    assert where.endswith("in blocks")
    (said,) = [record.getMessage() for record in caplog.records if record.name == "callsheet.watchdog"]
    assert f"by instance {instance} of blocks at" in said
    assert "time.sleep(_in)" in said


async def test_a_block_in_a_child_of_the_task_names_the_instance_too(real_stage, thread_door, monkeypatch):
    monkeypatch.setattr("callsheet.watchdog.BEAT", 0.05)
    monkeypatch.setattr("callsheet.watchdog.LATE", 0.2)
    reports = []
    async with real_stage.play([blocks_in_a_child], door=thread_door) as play:
        dog = Watchdog(lambda *report: reports.append(report))
        try:
            instance = await play.start(blocks_in_a_child, 0.6)
            await play.ended(instance)
            await trio.sleep(0.2)
        finally:
            dog.close()
    assert [(name, where.rpartition(" ")[2]) for name, _, where in reports] == [
        (f"{instance} of blocks_in_a_child", "child")
    ]


async def test_a_block_by_nobody_s_task_names_nobody(monkeypatch):
    monkeypatch.setattr("callsheet.watchdog.BEAT", 0.05)
    monkeypatch.setattr("callsheet.watchdog.LATE", 0.2)
    reports = []
    dog = Watchdog(lambda *report: reports.append(report))
    try:
        await trio.sleep(0.1)
        time.sleep(0.6)  # noqa: ASYNC251
        await trio.sleep(0.2)
    finally:
        dog.close()
    assert [(name, where.endswith("names_nobody")) for name, _, where in reports] == [(None, True)]
