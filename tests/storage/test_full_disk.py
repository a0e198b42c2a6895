"""Promises about a disk without room: nothing acknowledged is lost, and it goes on as soon as there is room again."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pony import orm

from callsheet.errors import StorageFull
from storage.journal.commands import KeepOutput, Start, StartInstances
from storage.journal.journal import Interrupted
from storage.queries.instances import list_outputs

START_ONE = StartInstances((Start("noop", b"null"),))
LONG = b'"' + b"x" * 100_000 + b'"'


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """Mount a file system of 3 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if shutil.which("mount") is None:
        pytest.skip("a file system cannot be mounted here: there is no mount")
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def database_url(request) -> str:
    """Return the URL of a file on the small disk, or of one that SQLite itself keeps small."""
    if request.param == "small disk":
        return f"sqlite:///{request.getfixturevalue('small_disk')}/callsheet.db"
    return str(request.getfixturevalue("sqlite_url"))


def fill(bench, run) -> int:
    """Keep outputs until there is no room, and return how many were acknowledged."""
    for number in range(1000):
        try:
            bench.journal.apply([KeepOutput(run.id, number, 1, LONG)])
        except Interrupted as error:
            interrupted = error
            break
    else:
        raise AssertionError("the disk has more room than it should")
    assert type(interrupted.reason) is StorageFull
    assert interrupted.applied.verdicts == []
    return number


def kept(bench, run) -> int:
    return len(list_outputs(bench.database, run.id, 1000, None).items)


@pytest.mark.parametrize("database_url", ["small disk"], indirect=True)
def test_a_full_disk_is_told_and_all_that_was_acknowledged_stays(bench, database_url):
    run = bench.start()
    ballast = Path(database_url.removeprefix("sqlite:///")).with_name("ballast")
    ballast.write_bytes(b"\0" * 1_000_000)
    acknowledged = fill(bench, run)
    assert acknowledged > 3
    assert kept(bench, run) == acknowledged
    with pytest.raises(Interrupted):
        bench.journal.apply([KeepOutput(run.id, acknowledged, 1, LONG)])

    ballast.unlink()
    bench.ask(KeepOutput(run.id, acknowledged, 1, LONG))
    bench.ask(START_ONE)
    assert kept(bench, run) == acknowledged + 1
    assert bench.rows("PRAGMA integrity_check")[0][0] == "ok"


@pytest.mark.parametrize("database_url", ["kept small"], indirect=True)
def test_a_full_database_is_told_and_all_that_was_acknowledged_stays(bench):
    run = bench.start()
    limit(bench, 200)
    acknowledged = fill(bench, run)
    assert kept(bench, run) == acknowledged

    limit(bench, 1_000_000)
    bench.ask(KeepOutput(run.id, acknowledged, 1, LONG))
    assert kept(bench, run) == acknowledged + 1


@pytest.mark.parametrize("database_url", ["kept small"], indirect=True)
def test_of_a_batch_that_finds_no_room_nothing_is_done(bench):
    run = bench.start()
    limit(bench, 200)
    batch = [START_ONE] + [KeepOutput(run.id, number, 1, LONG) for number in range(20)] + [START_ONE]
    with pytest.raises(Interrupted) as interrupted:
        bench.journal.apply(batch)

    assert isinstance(interrupted.value.reason, StorageFull)
    assert (interrupted.value.applied.verdicts, interrupted.value.applied.facts) == ([], [])
    assert (len(bench.instances()), kept(bench, run)) == (1, 0)
    bench.ask(START_ONE)


def limit(bench, pages: int) -> None:
    """Let the database have no more than so many pages of 4 KiB."""
    with orm.db_session:
        bench.database.db._exec_sql(f"PRAGMA max_page_count = {pages}")
