"""What the scripts of all peers share: their arguments, and the one line of JSON that they print."""

import argparse
import gc
import json
import logging
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

TASK = "noop"


class Stopwatch:
    """Seconds of the wall clock and of the CPU, this process's own, since it was made."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def stop(self) -> "Stopwatch":
        """Keep how long it was."""
        self.wall, self.cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        return self


def options(doc: str | None, *, runs: int, settings: tuple[str, ...] = ()) -> argparse.Namespace:
    """Read the arguments: `--url` is the PostgreSQL database that is empty, `--directory` where files go."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=runs)
    parser.add_argument("--directory", type=Path, help="where to put the database, if it is a file")
    parser.add_argument("--url", help="a PostgreSQL database that is empty")
    if settings:
        parser.add_argument("--setting", choices=settings, default=settings[0])
    gc.freeze()  # and collect as seldom as callsheet does
    gc.set_threshold(50_000, 20, 100)
    logging.disable(logging.WARNING)
    return parser.parse_args()


@contextmanager
def file_in(directory: Path | None) -> Iterator[Path]:
    """Give a file that does not exist yet, in a folder that goes at the end."""
    with tempfile.TemporaryDirectory(prefix="callsheet-bench-", dir=directory) as folder:
        yield Path(folder) / "peer.db"


def wait_for(count: Callable[[], int], target: int, pause: float = 0.02, patience: float = 300.0) -> None:
    """Wait until so many are counted; RuntimeError if they never are."""
    deadline = time.monotonic() + patience
    while (found := count()) < target:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {found} of {target} after {patience:g} s")
        time.sleep(pause)


def report(name: str, packages: tuple[str, ...], runs: int, took: Stopwatch, **more: Any) -> None:
    """Print the result; `keeps` says what is stored and how durably, `outcomes` whether outcomes are."""
    found = {
        "name": name,
        "runs": runs,
        "seconds": round(took.wall, 4),
        "cpu_seconds": round(took.cpu, 4),
        "runs_per_second": round(runs / took.wall, 1),
        "resident_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "versions": " ".join(f"{package} {version(package)}" for package in packages),
        "python": platform.python_version(),
    }
    print(json.dumps(found | more))
