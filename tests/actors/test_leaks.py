"""A task that leaves a nursery or a cancel scope open has failed, and nobody else notices."""

import pytest
import trio

from actors.leaks import close_leaks, leaves_open


async def enter_a_nursery():
    await trio.open_nursery().__aenter__()


async def enter_a_scope():
    trio.CancelScope().__enter__()


async def enter_both():
    nursery = await trio.open_nursery().__aenter__()
    nursery.start_soon(trio.sleep_forever)
    trio.move_on_after(5).__enter__()


async def actor(body, said):
    task = trio.lowlevel.current_task()
    try:
        with trio.CancelScope():
            await body()
    except RuntimeError as error:
        said.append(str(error))
    if leaves_open(task):
        said.append(str(await close_leaks(task)))
    await trio.sleep(1)


# Trio warns of the generator, rightly; and its finalizer finds the nursery closed that it wanted to close
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
async def test_whatever_is_left_open_is_closed_and_the_others_go_on(autojump_clock):
    for body in (enter_a_nursery, enter_a_scope, enter_both):
        said = []
        async with trio.open_nursery() as stage:
            stage.start_soon(actor, body, said)
            stage.start_soon(actor, trio.lowlevel.checkpoint, said)

        assert said, body
