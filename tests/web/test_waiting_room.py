"""The waiting room: many wait, the fact wakes them, nobody polls, and nobody is left behind."""

from uuid import UUID

import pytest
import trio
import trio.testing

from storage.journal.facts import InstanceEnded, NodeSaid
from web.waiting_room import WaitingRoom

RUN, OTHER = UUID(int=1), UUID(int=2)


def ended(instance):
    return InstanceEnded(instance, "quick", None, "succeeded", 0.0)


class Looks:
    """Tells whether the instance is over, and counts how often that was asked."""

    def __init__(self, *, over=False):
        self.over, self.count = over, 0

    async def __call__(self):
        self.count += 1
        return self.over


async def test_thousands_wait_and_one_fact_wakes_them(autojump_clock):
    room, looks, answers = WaitingRoom(), Looks(), []

    async def wait():
        answers.append(await room.wait(RUN, 60, looks))

    async with trio.open_nursery() as nursery:
        for _ in range(5_000):
            nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert room.waiting == 5_000
        await trio.sleep(30)
        room.take((ended(OTHER), ended(RUN)))

    assert answers == [True] * 5_000
    assert looks.count == 5_000  # each once, at the door
    assert room.waiting == 0
    assert trio.current_time() < 31


async def test_what_was_over_before_is_not_waited_for(autojump_clock):
    began = trio.current_time()

    assert await WaitingRoom().wait(RUN, 60, Looks(over=True))
    assert trio.current_time() == began


async def test_what_ends_between_the_look_and_the_wait_is_seen(autojump_clock):
    room = WaitingRoom()

    async def look():
        room.take((ended(RUN),))
        return False

    with trio.fail_after(1):
        assert await room.wait(RUN, 60, look)


async def test_who_has_waited_long_enough_goes(autojump_clock):
    room = WaitingRoom()

    assert not await room.wait(RUN, 10, Looks())
    assert trio.current_time() == pytest.approx(10, abs=0.1)
    assert room.waiting == 0


async def test_who_leaves_is_forgotten(autojump_clock):
    room = WaitingRoom()
    with trio.move_on_after(1):
        await room.wait(RUN, 60, Looks())

    assert room.waiting == 0
    room.take((ended(RUN),))


async def test_it_closes_when_the_service_stops(autojump_clock):
    room, answers = WaitingRoom(), []

    async def wait(instance):
        answers.append(await room.wait(instance, 60, Looks()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, RUN)
        nursery.start_soon(wait, OTHER)
        await trio.testing.wait_all_tasks_blocked()
        room.take((NodeSaid("node.draining"),))
    await wait(RUN)

    assert answers == [False] * 3
    assert trio.current_time() < 1
