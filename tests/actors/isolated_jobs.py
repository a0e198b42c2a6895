"""Tasks that run in worker processes; tests/actors/test_isolated.py loads this file as a service would."""

# ruff: noqa: ASYNC220, ASYNC221 - blocking is what these bodies are for

import ctypes
import faulthandler
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import trio
from msgspec import Meta, Struct

from callsheet import Out, Retry, SyncOut, task

CHILD = [sys.executable, "-c", "import time; time.sleep(60)"]


class Where(Struct):
    """A folder in which a body leaves notes about itself."""

    folder: str
    how: str = ""


def note(folder: str, name: str, pid: int | None = None) -> None:
    """Leave the number of a process in a file."""
    path = Path(folder) / name
    path.with_suffix(".new").write_text(str(pid or os.getpid()))
    path.with_suffix(".new").rename(path)


@task(isolate="process")
async def talks(_in: str, out: Out[str]) -> str:
    """Say something in every way there is."""
    await out.progress(1, 2, "half")
    await out.log("logged", number=7)
    print("printed", "in", "pieces")
    print("to stderr", file=sys.stderr)
    logging.getLogger("jobs").warning("warned")
    os.write(1, b"raw\n")
    subprocess.run(["echo", "from a program"], check=True)
    await out.send(_in)
    print("begun", end="")
    return f"{out.task} {out.attempt} {out.due_at} {out.deadline > trio.current_time()}"


@task(isolate="process")
def plain(_in: int, out: SyncOut[int]) -> int:
    """Be a plain function."""
    out.send(_in)
    out.progress(1)
    out.log("from a thread")
    print("printed in a thread")
    return _in + 1


@task(isolate="process")
class Total:
    """Keep a number."""

    value: int = 0

    async def __call__(self, _in: Annotated[int, Meta(ge=0)], out: Out[int]) -> None:
        """Add to it."""
        self.value += _in
        await out.send(self.value)
        if _in == 13:
            raise ValueError("unlucky")


@task(isolate="process")
async def whose(_in: None, out: Out[int]) -> None:
    """Tell which process it is."""
    await out.send(os.getpid())


class Odd(Exception):
    """Something of our own."""


@task(isolate="process", retries=Retry(3, on=(OSError,)))
async def fails(_in: str, out: Out[None]) -> None:
    """Fail in many ways."""
    raise {"odd": Odd("as\ud800 told"), "exit": SystemExit(3), "stop": KeyboardInterrupt(), "os": OSError("try again")}[
        _in
    ]


@task(isolate="process", max_outputs=3)
async def sends(_in: str, out: Out[int | str]) -> None:
    """Send what is not right."""
    if _in == "type":
        await out.send(1.5)
    if _in == "large":
        await out.send("x" * 2_000_000)
    for number in range(10):
        await out.send(number)


def bursts_in_python() -> None:
    while True:
        pass


def holds_the_lock() -> None:
    re.match("(a*)*b", "a" * 40)


def sleeps_in_c() -> None:
    ctypes.PyDLL(None).sleep(60)


BUSY: dict[str, Callable[[], None]] = {"python": bursts_in_python, "lock": holds_the_lock, "c": sleeps_in_c}


@task(isolate="process")
async def busy(_in: Where, out: Out[None]) -> None:
    """Never come to a checkpoint again; have two children."""
    note(_in.folder, "child", subprocess.Popen(CHILD).pid)
    note(_in.folder, "stray", subprocess.Popen(CHILD, start_new_session=True).pid)
    note(_in.folder, "body")
    BUSY[_in.how]()


@task(isolate="process")
def busy_thread(_in: Where, out: SyncOut[None]) -> None:
    """Do it as a plain function."""
    note(_in.folder, "body")
    bursts_in_python()


@task(isolate="process")
async def waits(_in: Where, out: Out[None]) -> None:
    """Wait for ever, as one should."""
    note(_in.folder, "body")
    await trio.sleep_forever()


DEATHS: dict[str, Callable[[], object]] = {
    "segfault": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(3),
    "kill": lambda: os.kill(os.getpid(), 9),
    "abort": os.abort,
    "hang up": lambda: os.closerange(3, 100),
}


@task(isolate="process")
async def dies(_in: str, out: Out[int]) -> None:
    """Take the process along."""
    await out.send(1)
    print("last words", flush=True)
    if _in != "segfault":
        faulthandler.disable()
    DEATHS[_in]()


@task(isolate="process")
async def leaves(_in: Where, out: Out[int]) -> None:
    """Leave something behind."""
    await out.send(os.getpid())
    if _in.how == "thread":
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    if _in.how == "program":
        note(_in.folder, "child", subprocess.Popen(CHILD).pid)
    if _in.how == "nursery":
        nursery = await trio.open_nursery().__aenter__()
        nursery.start_soon(trio.sleep_forever)
    if _in.how == "fork" and os.fork() == 0:
        print("who am I")
        os._exit(0)


@task(isolate="process", max_outputs=1_000_000)
async def floods(_in: int, out: Out[str]) -> None:
    """Send more than anything holds, while a clock of its own ticks."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 0.01)
        for _ in range(_in):
            await out.send("x" * 10_000)


@task(isolate="process", max_log_bytes=10_000)
async def chatters(_in: None, out: Out[None]) -> None:
    """Print more than a log holds."""
    for number in range(100_000):
        print(f"line {number}")


def make() -> Callable[..., object]:
    """Make a task that has no place of its own."""

    @task(isolate="process")
    async def made(_in: None, out: Out[str]) -> None:
        await out.send("made")

    return made


made = make()
