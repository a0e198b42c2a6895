"""The fine sleep lasts as long as it was told, ends when it is cancelled, and may be used again."""

import time
from pathlib import Path

import pytest
import trio

from callsheet import timer
from callsheet.timer import Timer


@pytest.fixture(params=["timerfd", "without"])
def fine(request, monkeypatch):
    if request.param == "without":
        monkeypatch.setattr(timer, "_create", lambda: None)
    return Timer()


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 0.0004, 0.0031, 0.05])
async def test_it_never_sleeps_less_than_it_was_told(fine, seconds):
    for _ in range(5):
        began = time.monotonic()
        await fine.sleep(seconds)
        assert time.monotonic() - began >= seconds


async def test_it_can_be_cancelled_and_used_again(fine):
    with trio.move_on_after(0.01) as scope:
        await fine.sleep(3600)
    assert scope.cancelled_caught
    with trio.move_on_after(0.002):
        await fine.sleep(0.003)
    await trio.sleep(0.01)  # by now the sleep that was left would be over

    began = time.monotonic()
    await fine.sleep(0.02)
    assert time.monotonic() - began >= 0.02


def test_it_leaves_no_file_open():
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        Timer()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
