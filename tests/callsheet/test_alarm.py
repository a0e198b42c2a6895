"""Those who sleep until the same moment share a deadline, and notice nothing of it."""

import pytest
import trio

from callsheet.virtual.alarm import Alarm
from callsheet.virtual.clock import JumpingClock


def sleepers(act, grain=1):
    """Run `act(alarm, sleep)`; `sleep(name, seconds)` returns a scope and notes by name when it was over."""
    clock = JumpingClock(grain)
    woken = {}

    async def main():
        alarm = Alarm(clock)
        clock.run_until(1000.0)
        async with trio.open_nursery() as nursery:

            def sleep(name, seconds):
                scope = trio.CancelScope()
                nursery.start_soon(noted, name, seconds, scope)
                return scope

            async def noted(name, seconds, scope):
                with scope:
                    await alarm.sleep(seconds)
                woken[name] = clock.current_time()

            await act(clock, sleep)

    trio.run(main, clock=clock)
    return woken


def test_all_of_a_moment_wake_at_it():
    async def act(clock, sleep):
        for name in "abcde":
            sleep(name, 10.0)
        sleep("later", 11.0)

    assert sleepers(act) == {**dict.fromkeys("abcde", 10.0), "later": 11.0}


def test_what_lies_within_the_grain_is_one_moment():
    async def act(clock, sleep):
        for number in range(1, 6):
            sleep(number, 10 + number / 10)

    assert sleepers(act, grain=1_000_000) == dict.fromkeys(range(1, 6), 11.0)


@pytest.mark.parametrize("gone", [["a"], ["b"], ["a", "b", "c"], ["a", "b", "c", "d"]])
def test_who_is_cancelled_leaves_the_others_asleep(gone):
    async def act(clock, sleep):
        scopes = {}
        for name in "abcd":
            scopes[name] = sleep(name, 10.0)
            await trio.lowlevel.checkpoint()  # a is the first, whatever the dice say
        await trio.sleep(4)
        for name in gone:
            scopes[name].cancel()

    assert sleepers(act) == {name: 4.0 if name in gone else 10.0 for name in "abcd"}


def test_who_joins_later_wakes_with_the_others():
    async def act(clock, sleep):
        sleep("early", 10.0)
        await trio.sleep(4)
        sleep("late", 6.0)

    assert sleepers(act) == {"early": 10.0, "late": 10.0}


def test_no_time_at_all_is_still_a_checkpoint():
    async def act(clock, sleep):
        sleep("none", 0.0).cancel()

    assert sleepers(act) == {"none": 0.0}


def test_all_of_a_moment_go_on_in_the_same_turn_of_the_loop():
    turns = []

    class Turns(trio.abc.Instrument):
        def before_io_wait(self, timeout):
            turns.append(timeout)

    async def main():
        alarm = Alarm(clock)
        clock.run_until(1000.0)
        seen = []

        async def one():
            await alarm.sleep(5.0)
            seen.append(len(turns))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(one)
        assert len(set(seen)) == 1

    clock = JumpingClock()
    trio.run(main, clock=clock, instruments=[Turns()])
