"""The service as the first process of a container: told to stop it stops, and the dead do not pile up."""

import os
import pty
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

CONTAINER = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
CTRL_C = b"\x03"
TASKS = """
import subprocess

@task
def leaves_an_orphan(_in: None, out: Out[None]) -> None:
    subprocess.run(["sh", "-c", "setsid sh -c 'sleep 0.2; touch orphan-is-over' &"], check=True)

@task
def asks_later_how_its_child_ended(_in: None, out: Out[int]) -> None:
    child = subprocess.Popen(["sh", "-c", "exit 3"])
    time.sleep(0.5)
    out.send(child.wait())

@task
async def takes_a_while(_in: None, out: Out[str]) -> None:
    await trio.sleep(1)
    await out.send("finished")

@task
async def never_ends(_in: None, out: Out[None]) -> None:
    await trio.sleep_forever()
"""


@pytest.fixture
def contained(launch: Any) -> Any:
    """Return a function that starts a service as process 1 of a container of its own; skip where that may not be."""
    tried = subprocess.run([*CONTAINER, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"processes cannot be given numbers of their own here: {tried.stderr.strip()}")
    return lambda *flags, **options: launch(*flags, **{"tasks": TASKS, "through": CONTAINER} | options)


def at_a_terminal(contained: Any) -> tuple[Any, int]:
    """Start a service that a terminal controls; return it, and where to type."""
    keyboard, terminal = pty.openpty()
    service = contained(through=("setsid", "--ctty", *CONTAINER), stdin=terminal)
    os.close(terminal)
    return service, keyboard


def children(pid: int) -> list[int]:
    """Return the numbers of a process's children."""
    return [int(pid) for listing in Path(f"/proc/{pid}/task").glob("*/children") for pid in listing.read_text().split()]


def first(service: Any) -> int:
    """Return the number that process 1 of the container has outside of it."""
    [pid] = children(service.process.pid)
    return pid


def the_dead(service: Any) -> list[int]:
    """Return what has ended in the container, was left to its first process, and was not reaped."""
    return [pid for pid in children(first(service)) if is_dead(pid)]


def is_dead(pid: int) -> bool:
    """Tell whether all that is left of a process is its entry in the table."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_an_orphan_that_ends_is_reaped(contained: Any, until: Any) -> None:
    service = contained()
    service.over(service.start("leaves_an_orphan"))
    until((service.folder / "orphan-is-over").exists)

    until(lambda: not the_dead(service))
    os.kill(first(service), signal.SIGTERM)
    assert service.ended()[0] == 0


def test_what_a_task_started_is_left_for_it_to_reap(contained: Any) -> None:
    service = contained()
    assert service.over(service.start("asks_later_how_its_child_ended"))["outputs"] == [3]


def test_sigterm_reaches_the_service_and_its_code_is_the_containers(contained: Any) -> None:
    service = contained()
    uri = service.start("takes_a_while")
    service.running(uri)
    os.kill(first(service), signal.SIGTERM)

    code, took = service.ended()
    assert code == 0
    assert took < 10
    assert "stopped; nothing was left running\n" in service.out


def test_ctrl_c_at_a_terminal_is_heard_once(contained: Any) -> None:
    service, keyboard = at_a_terminal(contained)
    service.running(service.start("takes_a_while"))
    os.write(keyboard, CTRL_C)

    assert service.ended()[0] == 0
    assert "stopped; nothing was left running\n" in service.out
    assert any("succeeded" in line for line in service.out)  # heard twice, it would have been interrupted
    os.close(keyboard)


def test_a_second_ctrl_c_skips_the_drain(contained: Any) -> None:
    service, keyboard = at_a_terminal(contained)
    service.running(service.start("never_ends"))
    os.write(keyboard, CTRL_C)
    service.told("stopping:")
    os.write(keyboard, CTRL_C)
    code, took = service.ended()
    os.close(keyboard)
    assert code == 0
    assert took < 10


def test_a_refusal_is_told_by_the_exit_code(contained: Any) -> None:
    service = contained("--host", "0.0.0.0", up=False)
    assert service.ended()[0] == 78


def test_a_service_that_was_killed_is_told_as_a_shell_would(contained: Any) -> None:
    service = contained()
    [child] = children(first(service))
    os.kill(child, signal.SIGKILL)
    assert service.ended()[0] == 128 + signal.SIGKILL
