"""Promises of the door: whoever writes knows what became of it, one at a time, and nobody waits for ever."""

import gc
import threading
import weakref

import pytest
import trio
import trio.testing

from callsheet.errors import Unavailable
from storage.door import InlineDoor, ThreadDoor


@pytest.fixture
def door():
    door = ThreadDoor(readers=2)
    yield door
    door.close()


class Gate:
    """A function for a thread that says when it has begun, and ends when it is let."""

    def __init__(self):
        self.begun, self.let, self.ended = threading.Event(), threading.Event(), False

    def __call__(self):
        self.begun.set()
        assert self.let.wait(10)
        self.ended = True
        return "done"


async def began(*gates):
    for gate in gates:
        await trio.to_thread.run_sync(gate.begun.wait, 10)


@pytest.mark.parametrize("kind", [InlineDoor, ThreadDoor])
async def test_a_door_gives_back_what_the_function_gave_or_raised(kind):
    door = kind()
    assert await door.write(divmod, 7, 3) == (2, 1)
    assert await door.read(divmod, 7, 3) == (2, 1)
    for go in (door.write, door.read):
        with pytest.raises(ZeroDivisionError):
            await go(divmod, 7, 0)
        with pytest.raises(SystemExit):
            await go(exit_now)
    door.close()


def exit_now():
    raise SystemExit(3)


async def test_an_inline_door_runs_on_the_spot_but_lets_others_run():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 0)
        assert await InlineDoor().write(threading.current_thread) is threading.current_thread()


async def test_a_write_is_never_abandoned(door):
    """A cancelled caller waits until it is known what became of its write."""
    gate, seen = Gate(), []

    async def write():
        with trio.CancelScope() as scope:
            scope.cancel()
            seen.append(await door.write(gate))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await began(gate)
        await trio.testing.wait_all_tasks_blocked()
        assert seen == []
        gate.let.set()

    assert (seen, gate.ended) == (["done"], True)


async def test_the_failure_of_a_write_reaches_even_a_cancelled_caller(door):
    with trio.CancelScope() as scope:
        scope.cancel()
        with pytest.raises(ZeroDivisionError):
            await door.write(divmod, 7, 0)


async def test_there_is_one_writer_and_it_goes_in_order(door):
    order, threads = [], set()

    def write(number):
        threads.add(threading.current_thread().name)
        order.append((number, "begin"))
        order.append((number, "end"))

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(door.write, write, number)
            await trio.testing.wait_all_tasks_blocked()

    assert threads == {"callsheet-write"}
    assert order == [(number, what) for number in range(20) for what in ("begin", "end")]


async def test_readers_read_while_the_writer_writes(door):
    gate = Gate()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(door.write, gate)
        await began(gate)
        assert await door.read(threading.current_thread) is not threading.current_thread()
        gate.let.set()


async def test_readings_are_spread_over_the_readers(door):
    first, second = Gate(), Gate()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(door.read, first)
        nursery.start_soon(door.read, second)
        await began(first, second)  # at the same time
        first.let.set()
        second.let.set()


async def test_too_many_readings_are_refused_rather_than_kept_waiting(door, monkeypatch):
    monkeypatch.setattr(ThreadDoor, "MAX_WAITING", 1)
    gates = [Gate(), Gate()]
    async with trio.open_nursery() as nursery:
        for gate in gates:
            nursery.start_soon(door.read, gate)
        await began(*gates)
        with pytest.raises(Unavailable, match="Too many"):
            await door.read(divmod, 7, 3)
        for gate in gates:
            gate.let.set()

    assert await door.read(divmod, 7, 3) == (2, 1)


async def test_a_reading_that_takes_too_long_is_given_up_and_the_next_is_answered(door, monkeypatch):
    monkeypatch.setattr(ThreadDoor, "READ_DEADLINE", 0.01)
    gate = Gate()
    with pytest.raises(Unavailable, match="in time"):
        await door.read(gate)
    monkeypatch.undo()
    gate.let.set()

    assert await door.read(divmod, 7, 3) == (2, 1)


async def test_a_reader_whose_caller_left_reads_on_for_others(door):
    gates = [Gate(), Gate()]
    with trio.move_on_after(1) as scope:
        async with trio.open_nursery() as nursery:
            for gate in gates:
                nursery.start_soon(door.read, gate)
            await began(*gates)
            scope.cancel()
    for gate in gates:
        gate.let.set()

    assert [await door.read(pow, 2, n) for n in range(4)] == [1, 2, 4, 8]


async def test_the_door_keeps_nothing_of_what_it_has_done(door):
    class Thing:
        pass

    thing = Thing()
    ghost = weakref.ref(thing)
    await door.write(id, thing)
    del thing
    gc.collect()

    assert ghost() is None


async def test_closing_lets_the_threads_finish_what_they_have():
    door, gate = ThreadDoor(), Gate()
    before = {thread.name for thread in threading.enumerate()}
    assert {"callsheet-write", "callsheet-read-0"} <= before
    async with trio.open_nursery() as nursery:
        nursery.start_soon(door.write, gate)
        await began(gate)
        gate.let.set()
    door.close()

    assert gate.ended
    assert not {thread.name for thread in threading.enumerate()} & {"callsheet-write", "callsheet-read-0"}


def test_a_loop_that_ends_while_a_write_goes_on_leaves_the_thread_whole():
    """A write outlives even the loop that asked for it, and harms nothing when it reports to nobody."""
    door, gate = ThreadDoor(), Gate()

    async def main():
        with trio.move_on_after(0.01):
            await door.read(gate)

    trio.run(main)
    gate.let.set()

    async def again():
        return await door.read(divmod, 7, 3)

    assert trio.run(again) == (2, 1)
    door.close()
