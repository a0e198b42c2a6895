"""The examples do what their first lines say; each is run as its author would test it."""

import os
import socket
from pathlib import Path
from zipfile import ZipFile

import pytest

from callsheet import run_sync
from callsheet.tasks import Registry

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name):
    """Load a task the way `--tasks` does."""
    tasks = Registry()
    tasks.load(str(EXAMPLES / f"{name}.py"))
    return tasks[name]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
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
