"""The worker processes of a service: a bounded number of them, kept for a while when they have nothing to do."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf

import trio

from callsheet.workers.worker import Worker, start_worker

MOST = 2 * (os.cpu_count() or 1) + 6
"""How many workers there are at most, unless told otherwise; further runs wait for one."""
KEPT = 60.0  # seconds that a worker with nothing to do is kept


class Pool:
    """Lends workers out; somebody must `tend` it, and when that ends nothing is left of it."""

    def __init__(self, most: int = MOST) -> None:
        self._room = trio.CapacityLimiter(most)
        self._idle: list[Worker] = []  # the one that was used last comes last, and is used first
        self._changed = trio.Event()
        self._closed = False

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Worker]:
        """Borrow a worker for one job; one that has not ended its job by then is killed."""
        async with self._room:
            worker = await self._idle_one() or await start_worker()
            try:
                yield worker
            finally:
                if worker.fit and not self._closed:
                    self._put_back(worker)
                else:
                    await worker.end()

    async def tend(self) -> None:
        """End workers that nobody has needed for a while; when this is cancelled, all of them."""
        try:
            while True:
                self._changed = trio.Event()
                wait = self._idle[0].idle_since + KEPT - trio.current_time() if self._idle else inf
                with trio.move_on_after(wait):
                    await self._changed.wait()
                while self._idle and self._idle[0].idle_since + KEPT <= trio.current_time():
                    await self._idle.pop(0).end()
        finally:
            self._closed = True
            for worker in self._idle:
                worker.child.kill()  # all first, then wait for each
            while self._idle:
                await self._idle.pop().end()

    async def _idle_one(self) -> Worker | None:
        while self._idle:
            worker = self._idle.pop()
            if not worker.child.has_exited():
                return worker
            await worker.end()
        return None

    def _put_back(self, worker: Worker) -> None:
        worker.idle_since = trio.current_time()
        self._idle.append(worker)
        self._changed.set()
