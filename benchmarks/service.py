"""The real `callsheet serve`, as a process of its own on a free port, with its database in a folder of its own."""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from attrs import frozen

from benchmarks import machine
from benchmarks.client import Client
from benchmarks.processes import free_port, started, wait_until

TASKS = Path(__file__).with_name("tasks.py")
SQLITE = "sqlite:///callsheet.db"
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
def serving(folder: Path, database: str = SQLITE, *more: str) -> Iterator[Service]:
    """Start the service on a folder, and stop it in order; RuntimeError if it does not end well."""
    folder.mkdir(exist_ok=True)
    port, began = free_port(), time.perf_counter()
    with started(_command(port, database, *more), folder, port, "/readyz") as process, closing(Client(port)) as client:
        yield Service(process.pid, port, client, time.perf_counter() - began)


@contextmanager
def fresh(directory: Path | None, database: str = SQLITE) -> Iterator[Service]:
    """Start the service on an empty folder that goes with it."""
    with temporary(directory) as folder, serving(folder, database) as service:
        yield service


@contextmanager
def temporary(directory: Path | None) -> Iterator[Path]:
    """Make a folder that goes at the end."""
    with tempfile.TemporaryDirectory(prefix="callsheet-bench-", dir=directory) as folder:
        yield Path(folder)


def database_in(folder: Path) -> Path:
    """Return where a service in a folder keeps its database."""
    return folder / "callsheet.db"


def _command(port: int, database: str, *more: str) -> list[str]:
    serve = [sys.executable, "-m", "callsheet", "serve", "--port", str(port), "--database", database]
    return [*serve, "--tasks", str(TASKS), "--drain", "1s", "--rate-limit", "off", *more]
