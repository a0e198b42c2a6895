"""Worker processes and programs of the real service: none outlives it, however it ends."""

import signal
from pathlib import Path
from typing import Any

import pytest

TASKS = """
import re, subprocess, sys

def note(name, pid=None):
    with open(name + ".new", "w") as file:
        file.write(str(pid or os.getpid()))
    os.rename(name + ".new", name)

@task(isolate="process")
async def busy(_in: str, out: Out[None]) -> None:
    note("child", subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid)
    note("body")
    if _in == "lock":
        re.match("(a*)*b", "a" * 40)
    while True:
        pass

@task(isolate="process")
async def quick(_in: None, out: Out[int]) -> None:
    await out.send(os.getpid())

@task
async def holds_the_loop(_in: None, out: Out[None]) -> None:
    await trio.sleep(0.1)
    note("held")
    time.sleep(60)
"""


def alive(pid: int) -> bool:
    """Tell whether a process is there and not a mere entry in the table."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def noted(service: Any, until: Any, *names: str) -> list[int]:
    """Return the numbers of processes that a body has noted."""
    until(lambda: all((service.folder / name).exists() for name in names))
    return [int((service.folder / name).read_text()) for name in names]


def idle_worker(service: Any) -> int:
    """Have a worker process started that then has nothing to do; return its number."""
    return int(service.over(service.start("quick"))["outputs"][0])


@pytest.mark.parametrize("how", ["python", "lock"])
def test_kill_9_of_the_service_leaves_no_worker_behind(launch: Any, until: Any, how: str) -> None:
    service = launch(tasks=TASKS)
    pids = [idle_worker(service)]
    uris = [service.start("busy", input=how)]
    pids += noted(service, until, "body", "child")
    pids += [idle_worker(service)]
    assert all(map(alive, pids))

    service.ended(service.signal(signal.SIGKILL))

    until(lambda: not any(map(alive, pids)), within=5)
    assert launch(tasks=TASKS).get(uris[0])["outcome"] == "lost"


def test_the_stop_interrupts_a_busy_worker_and_leaves_none(launch: Any, until: Any) -> None:
    service = launch("--drain", "0.2s", tasks=TASKS)
    pids = [idle_worker(service)]
    uri = service.start("busy", input="lock")
    pids += noted(service, until, "body", "child")

    assert service.stop() == 0

    until(lambda: not any(map(alive, pids)), within=1)
    assert "busy  interrupted" in "".join(service.out)
    assert launch(tasks=TASKS).get(uri)["outcome"] == "interrupted"


def test_a_service_that_ends_by_force_leaves_no_worker(launch: Any, until: Any) -> None:
    service = launch("--drain", "0.2s", tasks=TASKS)
    service.start("busy", input="python")
    pids = noted(service, until, "body", "child")
    service.start("holds_the_loop")
    noted(service, until, "held")

    service.stop()

    assert "stopped by force" in "".join(service.out)
    until(lambda: not any(map(alive, pids)), within=1)


def test_a_cancelled_worker_is_gone_at_once_over_http(launch: Any, until: Any) -> None:
    service = launch(tasks=TASKS)
    uri = service.start("busy", input="python")
    pids = noted(service, until, "body", "child")
    stack = service.get(f"{uri}/stack")
    assert any("jobs.py" in line and line.endswith("in busy") for line in stack["frames"]), stack

    assert service.post(f"{uri}/cancel").status == 202

    assert service.over(uri)["outcome"] == "cancelled"
    assert not any(map(alive, pids))
