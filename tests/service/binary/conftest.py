"""The one-file binary, started with no variables, and unpacked in the test's own folder.

`make prove-binary` builds it and runs the files `prove_*.py`, which `make test` does not collect: it builds nothing.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

BINARY = Path(__file__).parents[3] / "dist" / "callsheet"


@frozen
class Binary:
    """The one-file binary in one folder."""

    path: Path
    launch: Any
    until: Callable[..., Any]

    @property
    def folder(self) -> Path:
        """Return where it works."""
        return Path(self.launch.folder)

    def unpacked(self) -> list[Path]:
        """Return the folders in which it lies unpacked."""
        return list((self.folder / "unpacked").iterdir())

    def serve(self, *flags: str, tasks: str, variables: dict[str, str] | None = None, **options: Any) -> Any:
        """Start it as a service, with hardly a variable set."""
        given = {"PATH": "", "TMPDIR": str(self.folder / "unpacked")} | (variables or {})
        through = ("env", "-i", *(f"{name}={value}" for name, value in given.items()))
        return self.launch(*flags, program=(str(self.path),), tasks=tasks, **{"through": through} | options)

    def call(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run one of its commands."""
        command = [self.path, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=self.folder, check=False)

    def at(self, port: int) -> Any:
        """Return a service that it was started as in some other way, once that is ready."""
        service = sys.modules[type(self.launch).__module__].Service(self.folder, None, url=f"http://127.0.0.1:{port}")

        def is_ready() -> bool:
            with suppress(OSError):
                return bool(service.get("/readyz").status == 200)
            return False

        self.until(is_ready)
        return service

    @staticmethod
    def child_of(pid: int) -> int:
        """Return the number of a process's only child."""
        [child] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(child)

    @staticmethod
    def alive(pid: int) -> bool:
        """Tell whether a process is there and not a mere entry in the table."""
        try:
            return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return False


@pytest.fixture
def binary(launch: Any, until: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Binary:
    """Return the binary, which is to be there."""
    assert BINARY.exists(), "make binary builds it"
    found = Binary(BINARY, launch, until)
    (found.folder / "unpacked").mkdir()
    monkeypatch.setenv("TMPDIR", str(found.folder / "unpacked"))
    for name in [name for name in os.environ if name.startswith(("CALLSHEET_", "LD_LIBRARY_PATH"))]:
        monkeypatch.delenv(name)
    return found
