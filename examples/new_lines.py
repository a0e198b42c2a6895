"""Follow a file that grows: each run sends what came since the last one.

How far it has read is the task's state. It is saved in the same transaction as the outcome, and only when the
run succeeds: a run that fails half-way reads the same lines again, so none is ever left out.

    callsheet serve --tasks examples/new_lines.py
"""

from pathlib import Path

from msgspec import Struct

from callsheet import SyncOut, task


class Log(Struct, forbid_unknown_fields=True):
    """The file to follow, and how many lines a run takes at most."""

    path: str
    at_most: int = 1000


@task
class NewLines:
    """Send the lines that were added to a file since the last run."""

    offset: int = 0  # annotated attributes persist: how many bytes were read so far

    def __call__(self, _in: Log, out: SyncOut[str]) -> None:
        """Run in a worker thread, as it is a plain `def`: it may read files and block."""
        file = Path(_in.path)
        if file.stat().st_size < self.offset:
            out.log("the file has shrunk: reading it from its start", offset=self.offset)
            self.offset = 0
        with file.open("rb") as lines:
            lines.seek(self.offset)
            for _ in range(_in.at_most):
                line = lines.readline()
                if not line.endswith(b"\n"):
                    break  # it is still being written
                out.send(line.decode(errors="replace").rstrip("\r\n"))
                self.offset += len(line)
