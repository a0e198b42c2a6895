"""The real `callsheet serve`, as a process of its own on a free port, with SQLite in a folder of its own."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from attrs import frozen

from benchmarks import machine
from benchmarks.client import Client

TASKS = Path(__file__).with_name("tasks.py")
PATIENCE = 120.0  # seconds after which what we wait for is not going to happen
SETTLED = 1.0  # seconds after which a service that just became ready is at rest


@frozen
class Service:
    """A service that is ready; `seconds_to_ready` counts from the start of its process."""

    pid: int
    port: int
    client: Client
    seconds_to_ready: float

    def outcomes(self, task: str) -> dict[str, int]:
        """Return how many instances of a task there are in each state, as committed."""
        stats = self.client.get(f"/v1/stats?task={task}")
        return {**stats["outcomes"], "running": stats["running"], "queued": stats["queued"]}

    def wait_for(self, task: str, state: str, count: int) -> None:
        """Wait until so many are in a state, looking every 20 ms at most."""
        wait_until(lambda: self.outcomes(task)[state] >= count, pause=0.02)

    def resident(self) -> int:
        """Return its resident memory in bytes, once it is at rest."""
        time.sleep(SETTLED)
        return machine.resident(self.pid)


@contextmanager
def serving(folder: Path) -> Iterator[Service]:
    """Start the service on a folder, and stop it in order; RuntimeError if it does not end well."""
    folder.mkdir(exist_ok=True)
    port, began = free_port(), time.perf_counter()
    with (folder / "service.log").open("ab") as log:
        process = subprocess.Popen(_command(port), cwd=folder, env=_environment(), stdout=log, stderr=log)
    try:
        with closing(Client(port)) as client:
            wait_until(lambda: _ready(process, client, folder), pause=0.002)
            yield Service(process.pid, port, client, time.perf_counter() - began)
        _stop(process, folder)
    finally:
        process.kill()  # it is gone by now, unless something failed
        process.wait()


@contextmanager
def fresh(directory: Path | None) -> Iterator[Service]:
    """Start the service on an empty folder that goes with it."""
    with temporary(directory) as folder, serving(folder) as service:
        yield service


@contextmanager
def temporary(directory: Path | None) -> Iterator[Path]:
    """Make a folder that goes at the end."""
    with tempfile.TemporaryDirectory(prefix="callsheet-bench-", dir=directory) as folder:
        yield Path(folder)


def database_in(folder: Path) -> Path:
    """Return where a service in a folder keeps its database."""
    return folder / "callsheet.db"


def wait_until(holds: Callable[[], bool], pause: float) -> None:
    """Look again and again until something holds; TimeoutError if it never does."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"gave up after {PATIENCE:g} s")
        time.sleep(pause)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _command(port: int) -> list[str]:
    serve = [sys.executable, "-m", "callsheet", "serve", "--port", str(port)]
    return [
        *serve,
        "--database",
        "sqlite:///callsheet.db",
        "--tasks",
        str(TASKS),
        "--drain",
        "1s",
        "--rate-limit",
        "off",
    ]


def _environment() -> dict[str, str]:
    """Return our environment without settings of somebody's own service."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CALLSHEET_")}


def _ready(process: subprocess.Popen[bytes], client: Client, folder: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"the service ended at once, with {process.returncode}:\n{_last_words(folder)}")
    try:
        client.get("/readyz")
    except (OSError, RuntimeError):
        client.close()
        return False
    return True


def _stop(process: subprocess.Popen[bytes], folder: Path) -> None:
    process.send_signal(signal.SIGTERM)
    if process.wait(PATIENCE) != 0:
        raise RuntimeError(f"the service stopped with {process.returncode}:\n{_last_words(folder)}")


def _last_words(folder: Path) -> str:
    return (folder / "service.log").read_text()[-2000:]
