"""Pack a folder into a ZIP file, and tell how far it is: GET /v1/instances/{id} shows the progress while it runs.

Cancelled, timed out or failed, it removes what it had begun to write, and an older archive stays as it was.

    callsheet serve --tasks examples/archive.py
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import trio
from msgspec import Struct

from callsheet import Out, task


class Folder(Struct, forbid_unknown_fields=True):
    """What to pack, and the archive to write (not inside that folder)."""

    folder: str
    archive: str


class Packed(Struct):
    """How much went into the archive; sizes are in bytes."""

    files: int
    bytes_before: int
    bytes_after: int


@task(timeout="1h")
async def archive(_in: Folder, out: Out[Packed]) -> None:
    """Pack all files of a folder, one after the other."""
    folder, target = Path(_in.folder), Path(_in.archive)
    files = await trio.to_thread.run_sync(files_in, folder)
    with packing(target) as pack:
        for done, file in enumerate(files):
            await out.progress(done, len(files), str(file.relative_to(folder)))
            await trio.to_thread.run_sync(pack.write, file, file.relative_to(folder))
        before = sum(part.file_size for part in pack.infolist())
    await out.progress(len(files), len(files), "done")
    await out.send(Packed(len(files), before, (await trio.Path(target).stat()).st_size))


def files_in(folder: Path) -> list[Path]:
    """Return the files under a folder; an error if there is no such folder."""
    if not folder.is_dir():
        raise NotADirectoryError(f"there is no folder {folder}")
    return sorted(path for path in folder.rglob("*") if path.is_file())


@contextmanager
def packing(target: Path) -> Iterator[ZipFile]:
    """Write beside the target; the archive takes its place once it is complete."""
    part = target.with_name(target.name + ".part")
    try:
        with ZipFile(part, "w", ZIP_DEFLATED) as pack:
            yield pack
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
