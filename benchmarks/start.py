"""Measure how long callsheet takes to start, in its environment and as one file.

    python benchmarks/start.py [COMMAND]...

Without commands: the `callsheet` beside this interpreter, and `dist/callsheet` if it has been built, unpacked in /tmp
and in memory. The figures are medians of nine.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROUNDS = 9
MIB = 1024


def main() -> None:
    """Measure each, and print a table."""
    plain, binary = Path(sys.executable).with_name("callsheet"), Path(__file__).parents[1] / "dist" / "callsheet"
    found = [Path(one).resolve() for one in sys.argv[1:]] or [plain, *([binary] if binary.exists() else [])]
    print(f"{'seconds to print the version':>40} {'to listen':>10} {'MiB':>6}   load {os.getloadavg()[0]:.1f}")
    for command in found:
        for place in ("/tmp",) if command == plain else ("/tmp", "/dev/shm"):
            environment = os.environ | {"TMPDIR": place}
            version = median(_version(command, environment) for _ in range(ROUNDS))
            seconds, memory = zip(*(_listening(command, environment) for _ in range(ROUNDS)), strict=True)
            print(
                f"{command.parent.name}/{command.name} {place:10} {version:>{25}.2f} {median(seconds):>10.2f}", end=""
            )
            print(f" {median(memory) / MIB:>6.0f}")


def _version(command: Path, environment: dict[str, str]) -> float:
    began = time.monotonic()
    subprocess.run([command, "--version"], check=True, capture_output=True, env=environment)
    return time.monotonic() - began


def _listening(command: Path, environment: dict[str, str]) -> tuple[float, int]:
    """Return the seconds until it says that it listens, and the KiB that its processes hold then."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        process = subprocess.Popen(
            [command, "serve", "--port", "0"], cwd=folder, stdout=subprocess.PIPE, env=environment
        )
        with process:
            assert process.stdout is not None
            assert b" listens on " in process.stdout.readline()
            took = time.monotonic() - began
            memory = sum(map(_share, _family(process.pid)))
            process.terminate()
    return took, memory


def _family(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        found += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
    return found


def _share(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    main()
