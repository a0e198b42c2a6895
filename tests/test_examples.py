"""The examples do what their first lines say; each is run as its author would test it."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from zipfile import ZipFile

import pytest

import callsheet
from callsheet import run_sync
from callsheet.builtin.command import command
from callsheet.commands.sheets import read_sheet
from callsheet.embedded import IN_MEMORY
from callsheet.tasks import Registry

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name):
    """Load a task the way `--tasks` does."""
    tasks = Registry()
    tasks.load(str(EXAMPLES / f"{name}.py"))
    return tasks[name]


SHEET = read_sheet((EXAMPLES / "backup.toml").read_text())
PROGRAM = "embedded"  # it has its engine inside


@pytest.mark.parametrize(
    "path", [path for path in sorted(EXAMPLES.glob("*.py")) if path.stem != PROGRAM], ids=lambda path: path.stem
)
def test_every_example_holds_the_task_of_its_name_and_says_how_to_load_it(path):
    assert load(path.stem).doc
    assert f"--tasks examples/{path.name}" in path.read_text()


def test_new_lines_sends_each_line_once(tmp_path):
    log = tmp_path / "app.log"
    log.write_text("one\ntwo\nhalf a li")

    first = run_sync(load("new_lines"), {"path": str(log)})
    assert first.outputs == ["one", "two"]

    log.write_text("one\ntwo\nhalf a line\n")
    second = run_sync(load("new_lines"), {"path": str(log)}, state=first.state)
    assert second.outputs == ["half a line"]


def test_new_lines_goes_on_from_the_same_place_after_a_failure(tmp_path):
    log = tmp_path / "app.log"
    log.write_text("one\n")
    first = run_sync(load("new_lines"), {"path": str(log)})

    log.unlink()
    failed = run_sync(load("new_lines"), {"path": str(log)}, state=first.state)
    assert failed.outcome == "failed"
    assert failed.state == first.state == {"offset": 4}


def test_new_lines_begins_again_when_the_file_was_replaced(tmp_path):
    log = tmp_path / "app.log"
    log.write_text("new\n")

    result = run_sync(load("new_lines"), {"path": str(log)}, state={"offset": 1000})
    assert result.outputs == ["new"]
    assert result.logs[0].fields == {"offset": 1000}


def test_probe_tells_open_from_closed():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as other:
        here, gone = (f"127.0.0.1:{one.getsockname()[1]}" for one in (server, other))
        other.close()
        result = run_sync(load("probe"), {"addresses": [here, gone, "nonsense"]}, real_time=True)

    assert result.outcome == "succeeded"
    assert {answer.address: answer.open for answer in result.outputs} == {here: True, gone: False, "nonsense": False}


def test_probe_fails_when_nothing_is_open():
    with socket.create_server(("127.0.0.1", 0)) as server:
        gone = f"127.0.0.1:{server.getsockname()[1]}"
    result = run_sync(load("probe"), {"addresses": [gone]}, real_time=True)

    assert result.outcome == "failed"
    assert isinstance(result.error, ConnectionError)
    assert [answer.open for answer in result.outputs] == [False]


def test_archive_packs_a_folder_and_tells_how_far_it_is(tmp_path):
    folder = tmp_path / "photos"
    (folder / "2026").mkdir(parents=True)
    (folder / "a.txt").write_text("a" * 1000)
    (folder / "2026" / "b.txt").write_text("b" * 500)

    wanted = {"folder": str(folder), "archive": str(tmp_path / "photos.zip")}
    result = run_sync(load("archive"), wanted, real_time=True)

    assert result.outcome == "succeeded"
    assert [step.done for step in result.progress] == [0, 1, 2]
    assert result.outputs[0].bytes_before == 1500 > result.outputs[0].bytes_after
    assert ZipFile(tmp_path / "photos.zip").namelist() == ["2026/b.txt", "a.txt"]


def test_archive_leaves_the_old_archive_alone_when_it_fails_half_way(tmp_path):
    (tmp_path / "photos.zip").write_bytes(b"old")
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    (folder / "b.txt").write_text("b")
    os.utime(folder / "b.txt", (0, 0))  # ZIP knows no time before 1980

    wanted = {"folder": str(folder), "archive": str(tmp_path / "photos.zip")}
    result = run_sync(load("archive"), wanted, real_time=True)

    assert result.outcome == "failed"
    assert "1980" in str(result.error)
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "photos.zip"}
    assert (tmp_path / "photos.zip").read_bytes() == b"old"


async def test_fan_out_starts_a_run_for_each_file_and_each_has_its_own_outcome(tmp_path, monkeypatch):
    for name in ("a.jpg", "b.jpg", "c.txt"):
        (tmp_path / name).write_text(name)
    async with callsheet.engine(IN_MEMORY, [str(EXAMPLES / "fan_out.py")], http="127.0.0.1:0") as engine:
        monkeypatch.setenv("CALLSHEET_URL", engine.url)
        out = await engine.wait(await engine.start("fan_out", {"folder": str(tmp_path), "pattern": "*.jpg"}))
        runs = [await engine.wait(run) for run in await engine.instances(tag=f"of:{out.id}")]
        sums = [await engine.outputs(run) for run in runs]

        assert (out.outcome, await engine.outputs(out)) == ("succeeded", [2])
        assert {run.outcome for run in runs} == {"succeeded"}
        wanted = [hashlib.sha256(name.encode()).hexdigest() for name in ("a.jpg", "b.jpg")]
        assert sorted(one["sha256"] for [one] in sums) == sorted(wanted)


async def test_the_backup_is_a_sheet_that_the_service_takes(autojump_clock):
    async with callsheet.engine(IN_MEMORY, ["callsheet.builtin.command"]) as engine:
        for slug, document in SHEET.schedules.items():
            assert (await engine.put_document(slug, document)).state == "active"


def test_the_backup_keeps_the_seven_newest_and_leaves_no_half_ones(tmp_path):
    order = SHEET.schedules["nightly-backup"]["input"]
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "orders.csv").write_text("1,2,3")
    env = {"FOLDER": str(tmp_path / "shop"), "BACKUPS": str(tmp_path / "backups"), "CALLSHEET_INSTANCE": "one"}

    for number in range(8):
        result = run_sync(command, order | {"env": env | {"CALLSHEET_INSTANCE": f"run{number}"}}, real_time=True)
        assert result.outcome == "succeeded", result.error
    kept = sorted(path.name for path in (tmp_path / "backups").iterdir())
    assert [name.rpartition("-")[2] for name in kept] == [f"run{number}.tgz" for number in range(1, 8)]
    with tarfile.open(tmp_path / "backups" / kept[-1]) as archive:
        assert "./orders.csv" in archive.getnames()

    failed = run_sync(command, order | {"env": env | {"FOLDER": str(tmp_path / "gone")}}, real_time=True)
    assert failed.outcome == "failed"
    assert sorted(path.name for path in (tmp_path / "backups").iterdir()) == kept


def test_the_embedded_engine_counts_visitors_and_stops_as_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    call = f"import embedded, trio; trio.run(embedded.main, 'sqlite:///visitors.db', {port})"
    program = subprocess.Popen(
        [sys.executable, "-c", call], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(EXAMPLES)},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert visited(port) == b"Welcome.\n"
        program.send_signal(signal.SIGTERM)
        said, _ = program.communicate(timeout=20)
    finally:
        program.kill()
    assert said == "{'127.0.0.1': 1}\n"
    assert program.returncode == 0


def visited(port):
    """Connect as soon as there is somebody, and return what is said."""
    deadline = time.monotonic() + 20
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as visitor:
                return visitor.recv(100)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
