import sys
import threading
from types import FrameType

import trio

from callsheet.capture import current_pen
from callsheet.watchdog import Watchdog, blame


class NamedPen:
    def __str__(self) -> str:
        return "instance 7"

    def write_line(self, level: str, text: str) -> None: ...

    def write_text(self, level: str, text: str) -> None: ...


def here() -> FrameType:
    return sys._getframe()


async def test_a_frame_is_blamed_on_the_instance_whose_task_is_running():
    current_pen.set(NamedPen())
    name, where = blame(here())
    assert name == "instance 7"
    assert where.endswith("in here")


async def test_a_frame_of_a_task_without_an_instance_is_blamed_on_nobody():
    assert blame(here())[0] is None


def test_a_frame_outside_of_any_loop_is_blamed_on_nobody():
    name, where = blame(here())
    assert (name, where.rpartition(" ")[2]) == (None, "here")
    assert blame(None) == (None, "unknown")


async def test_a_loop_that_goes_round_has_no_lag_to_speak_of():
    dog = Watchdog(lambda *_: None)
    try:
        for _ in range(5):
            await trio.sleep(0.02)
            assert dog.lag() < 0.5
    finally:
        dog.close()


def test_the_thread_ends_by_itself_when_the_loop_is_gone(monkeypatch):
    monkeypatch.setattr("callsheet.watchdog.BEAT", 0.02)

    async def main() -> None:
        Watchdog(lambda *_: None)
        await trio.sleep(0.05)

    trio.run(main)
    for thread in threading.enumerate():
        if thread.name == "callsheet-watchdog":
            thread.join(2)
            assert not thread.is_alive()
