"""The tasks that the measured services run."""

from time import perf_counter

import msgspec
import trio

from callsheet import Out, task

LOOK = 0.005  # seconds between two looks at the loop
TOLD = 0.5  # seconds of looks that one output tells of


class Many(msgspec.Struct):
    """How many values to send."""

    count: int


@task
async def noop(_in: None, out: Out[None]) -> None:
    """Do nothing."""


@task(max_outputs=10_000_000)
async def send_many(wanted: Many, out: Out[int]) -> None:
    """Send small values, one after the other."""
    for value in range(wanted.count):
        await out.send(value)


@task(max_outputs=1_000_000)
async def watch_loop(_in: None, out: Out[float]) -> None:
    """Send every half a second by how many seconds at most this loop woke us up too late."""
    while True:
        worst, until = 0.0, perf_counter() + TOLD
        while (now := perf_counter()) < until:
            await trio.sleep(LOOK)
            worst = max(worst, perf_counter() - now - LOOK)
        await out.send(worst)
