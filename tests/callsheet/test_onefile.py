"""What the one-file binary needs; the rest is proven in it: tests/service/binary/."""

import fcntl
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from callsheet import onefile


@pytest.fixture
def frozen(monkeypatch, tmp_path):
    """Pretend to be a one-file binary, unpacked in this folder."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path), raising=False)
    return tmp_path


def test_another_callsheet_is_started_by_the_interpreter_without_the_working_directory():
    assert onefile.command("serve", "--demo") == [sys.executable, "-P", "-m", "callsheet", "serve", "--demo"]
    assert onefile.environment() == dict(os.environ)


def test_the_binary_starts_itself_and_tells_the_child_where_its_libraries_are(frozen, monkeypatch):
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    assert onefile.command("serve") == [sys.executable, "serve"]
    assert onefile.environment() == os.environ | {"LD_LIBRARY_PATH": str(frozen)}

    monkeypatch.setenv("LD_LIBRARY_PATH", "/before")
    found = onefile.environment()
    assert (found["LD_LIBRARY_PATH"], found["LD_LIBRARY_PATH_ORIG"]) == (f"{frozen}:/before", "/before")


def test_signals_have_an_echo_in_the_binary_only(frozen, monkeypatch):
    echo = onefile.Echo()
    assert [echo.heard(), echo.heard(), echo.heard()] == [False, True, True]

    monkeypatch.setattr(sys, "frozen", False)
    assert [echo.heard(), onefile.Echo().heard()] == [False, False]


def test_a_ctrl_c_interrupts_once(frozen, monkeypatch):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        onefile.interrupt_once()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # what the parent hands on

        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a shell
        onefile.interrupt_once()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def left(place: Path, name: str, age: float = 3600, mark: str = "callsheet/py.typed") -> Path:
    """Make a folder as a process that was killed leaves it."""
    folder = place / name
    (folder / mark).parent.mkdir(parents=True)
    (folder / mark).touch()
    os.utime(folder, (time.time() - age, time.time() - age))
    return folder


def test_only_folders_that_are_ours_old_and_held_by_nobody_are_swept_away(tmp_path):
    left(tmp_path, "_MEI00000001left")
    others = [left(tmp_path, "_MEI00000002another", mark="another/py.typed"), left(tmp_path, "callsheet-data")]
    young, held = left(tmp_path, "_MEI00000003young", age=60), left(tmp_path, "_MEI00000004held")
    linked = tmp_path / "_MEI00000005linked"
    linked.symlink_to(others[0])
    holder = os.open(held, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_SH)

    onefile._sweep(tmp_path)

    assert set(tmp_path.iterdir()) == {*others, young, held, linked}
    os.close(holder)
    onefile._sweep(tmp_path)
    assert set(tmp_path.iterdir()) == {*others, young, linked}
