import time

import trio

from callsheet.clock import VirtualClock, WallClock
from callsheet.instants import HOUR, SECOND, parse_instant

START = parse_instant("2026-03-01T00:00:00Z")


def test_the_wall_clock_is_the_machine_s():
    before = time.time()
    now = WallClock().now()
    assert before - 1 <= now / SECOND <= time.time() + 1


async def test_the_virtual_clock_goes_with_trio_s(autojump_clock):
    clock = VirtualClock(START)
    assert clock.now() == START
    await trio.sleep(1.5)
    assert clock.now() == START + 3 * SECOND // 2
    await trio.sleep(3 * 86_400)
    assert clock.now() == START + 3 * SECOND // 2 + 72 * HOUR


async def test_a_step_moves_the_time_of_day_and_not_the_time_that_passes(autojump_clock):
    clock = VirtualClock(START)
    await trio.sleep(1)
    before = trio.current_time()
    clock.step(-HOUR)
    assert clock.now() == START + SECOND - HOUR
    clock.step(2 * HOUR)
    assert clock.now() == START + SECOND + HOUR
    assert trio.current_time() == before
