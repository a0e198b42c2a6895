"""The pytest fixture `callsheet_engine`; pytest finds it by itself wherever callsheet is installed.

It imports nothing of callsheet until a test asks for it.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from callsheet.testing import TaskSource, VirtualEngine


class EngineMaker(Protocol):
    """Makes a virtual engine, which is closed at the end of the test."""

    def __call__(
        self,
        tasks: "Iterable[TaskSource]" = (),
        *,
        start: str | datetime = ...,
        seed: int = 0,
        max_running: int | None = None,
    ) -> "VirtualEngine": ...


@pytest.fixture
def callsheet_engine() -> Iterator[EngineMaker]:
    """Make engines on virtual time: `callsheet_engine([task, …], start="2026-03-01T00:00:00Z")`.

    They are closed at the end of the test.
    """
    from callsheet.testing import VirtualEngine  # noqa: PLC0415 - see above
    from callsheet.testing.engine import START  # noqa: PLC0415

    with ExitStack() as engines:

        def make(
            tasks: "Iterable[TaskSource]" = (),
            *,
            start: str | datetime = START,
            seed: int = 0,
            max_running: int | None = None,
        ) -> "VirtualEngine":
            engine = VirtualEngine(tasks, start=start, seed=seed, max_running=max_running)
            return engines.enter_context(engine)

        yield make
