"""Processes that we measure: started on a free port, waited for, asked to stop; and scripts that print JSON."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PATIENCE = 120.0  # seconds after which what we wait for is not going to happen


@contextmanager
def started(command: list[str], folder: Path, port: int, ready: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server in a folder and wait until the path `ready` answers 200; RuntimeError if it does not end well."""
    log = folder / "service.log"
    with log.open("ab") as file:
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=file, stderr=file)
    try:
        wait_until(lambda: _ready(process, port, ready, log), pause=0.002)
        yield process
        process.send_signal(signal.SIGTERM)
        if process.wait(PATIENCE) not in (0, -signal.SIGTERM):
            raise RuntimeError(f"the service stopped with {process.returncode}:\n{_last_words(log)}")
    finally:
        process.kill()  # it is gone by now, unless something failed
        process.wait()


def script(python: str, path: str, *arguments: object, directory: Path | None = None) -> dict[str, Any]:
    """Run a script of this folder, and give the JSON of its last line."""
    where = [] if directory is None else ["--directory", str(directory)]
    command = [python, str(ROOT / "benchmarks" / path), *map(str, arguments), *where]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    if ended.returncode != 0:
        raise RuntimeError(f"{path} failed:\n{ended.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def versions(python: Path, *packages: str) -> str:
    """Return the versions of packages in another environment."""
    code = "import sys, importlib.metadata as m; print(' '.join(f'{p} {m.version(p)}' for p in sys.argv[1:]))"
    return subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=True).stdout.strip()


def environment() -> dict[str, str]:
    """Return our environment without settings of somebody's own service, and with this folder to import from."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("CALLSHEET_")}
    return own | {"PYTHONPATH": str(ROOT)}


def wait_until(holds: Callable[[], bool], pause: float, patience: float = PATIENCE) -> None:
    """Look again and again until something holds; TimeoutError if it never does."""
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"gave up after {patience:g} s")
        time.sleep(pause)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _ready(process: subprocess.Popen[bytes], port: int, path: str, log: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"the service ended at once, with {process.returncode}:\n{_last_words(log)}")
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _last_words(log: Path) -> str:
    return log.read_text()[-2000:]
