"""Fan out: one run finds the files of a folder and starts a run for each, all in one request, all or none.

Each has its own retries, outcome and place in the history, no more than four go on at once, and all of one fan-out
carry a tag, so that they can be listed, or cancelled, together.

    callsheet serve --tasks examples/fan_out.py
    callsheet schedule put sums --task fan_out --every 1h folder=/srv/photos
"""

import hashlib
from pathlib import Path

import trio
from msgspec import Struct

from callsheet import AsyncClient, Out, SyncOut, task


class Folder(Struct, forbid_unknown_fields=True):
    """The folder, and which of its files."""

    folder: str
    pattern: str = "*"


class Sum(Struct):
    """The SHA-256 of one file."""

    path: str
    sha256: str


@task(max_running=4, retries=2)
def checksum(_in: str, out: SyncOut[Sum]) -> None:
    """Read one file, in a thread, and send its sum."""
    with Path(_in).open("rb") as file:
        out.send(Sum(_in, hashlib.file_digest(file, "sha256").hexdigest()))


@task
async def fan_out(_in: Folder, out: Out[int]) -> None:
    """Start a run of `checksum` for each file, and send how many these are."""
    files = await trio.to_thread.run_sync(files_of, _in)
    tags = [f"of:{out.id}"]
    async with AsyncClient() as client:  # this very service: CALLSHEET_URL, CALLSHEET_TOKEN
        for first in range(0, len(files), 10_000):
            some = files[first : first + 10_000]
            await client.tasks.start_batch([{"task": "checksum", "input": path, "tags": tags} for path in some])
    await out.send(len(files))


def files_of(wanted: Folder) -> list[str]:
    """Return the paths that match."""
    return sorted(str(path) for path in Path(wanted.folder).glob(wanted.pattern) if path.is_file())
