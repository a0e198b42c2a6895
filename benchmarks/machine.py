"""The machine that is measured on, and what a process takes of it (Linux)."""

import os
import platform
import sqlite3
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
KIB, MIB = 1024, 1024 * 1024
KB, MB = 1000, 1000 * 1000
PACKAGES = ("trio", "hypercorn", "quart", "quart-trio", "pony", "psycopg2-binary")


def describe(directory: Path | None) -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "packages": {name: version(name) for name in PACKAGES},
        "fsync_ms": round(fsync_seconds(directory) * 1000, 2),
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def line(machine: dict[str, Any]) -> str:
    """Return all of it in one line."""
    packages = ", ".join(f"{name} {known}" for name, known in machine["packages"].items())
    return (
        f"{machine['cores']} cores ({machine['processor']}), {machine['system']}, Python {machine['python']}, "
        f"SQLite {machine['sqlite']}, {packages}, fsync {machine['fsync_ms']} ms, load {machine['load_at_start']} "
        "at the start"
    )


def _processor() -> str:
    for text in Path("/proc/cpuinfo").read_text().splitlines():
        if text.startswith("model name"):
            return text.partition(":")[2].strip()
    return platform.machine()


def fsync_seconds(directory: Path | None, times: int = 20) -> float:
    """Return how long the disk takes to make a page durable: the median."""
    found = []
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(times):
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            found.append(time.perf_counter() - began)
    return median(found)


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    for text in Path(f"/proc/{pid}/status").read_text().splitlines():
        if text.startswith("VmRSS:"):
            return int(text.split()[1]) * KIB
    raise RuntimeError(f"process {pid} has no memory: is it gone?")


def resident_here() -> float:
    """Return the resident memory of this process in MiB."""
    return round(resident(os.getpid()) / MIB, 1)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has taken so far, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
