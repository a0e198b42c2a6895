"""Trio's own dice, by which it picks who runs first: seeded for one thread, as they were for all others.

Trio has one global generator and one global switch. While any thread here is seeded, the generator is one that looks
who asks, so that engines in several threads, and the loop of whoever uses them, do not disturb each other.
"""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trio._core import _run

_own = threading.local()
_lock = threading.Lock()
_seeded = 0
_before: tuple[random.Random, bool] = (_run._r, False)


class _Dice:
    """Stands in for Trio's generator."""

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(_own, "dice", _before[0]), name)

    def shuffle(self, tasks: list[Any]) -> None:
        """Shuffle the tasks that can go on, which are mostly one."""
        if len(tasks) > 1:
            getattr(_own, "dice", _before[0]).shuffle(tasks)


@contextmanager
def seeded_scheduling(seed: int) -> Iterator[None]:
    """Make what Trio does in this thread repeatable: the same seed, the same order."""
    _own.dice = random.Random(seed)  # noqa: S311 - dice, not secrets
    _begin()
    try:
        yield
    finally:
        del _own.dice
        _end()


def _begin() -> None:
    global _seeded, _before  # noqa: PLW0603 - what it guards is global to Trio
    with _lock:
        _seeded += 1
        if _seeded == 1:
            _before = (_run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING)
            vars(_run).update(_r=_Dice(), _ALLOW_DETERMINISTIC_SCHEDULING=True)


def _end() -> None:
    global _seeded  # noqa: PLW0603 - what it guards is global to Trio
    with _lock:
        _seeded -= 1
        if _seeded == 0:
            vars(_run).update(_r=_before[0], _ALLOW_DETERMINISTIC_SCHEDULING=_before[1])
