"""The task `command`: what a program gets, what of it is kept, and how it is ended."""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from callsheet import run_sync
from callsheet.builtin.command import Done, command
from callsheet.errors import Invalid, Unknown
from callsheet.tasks import Registry, Result


def run(*argv: str, timeout: float | None = None, **fields: Any) -> Result[Done]:
    """Run a program in real time."""
    return run_sync(command, {"argv": argv, **fields}, timeout=timeout, real_time=True)


def python(code: str, **fields: Any) -> Result[Done]:
    """Run some Python."""
    return run(sys.executable, "-c", code, **fields)


def lines(result: Result[Done], level: str) -> list[str]:
    """Return the lines of one level."""
    return [line.text for line in result.logs if line.level == level]


def alive(pid: int) -> bool:
    """Tell whether a process is there and not a mere entry in the table."""
    with suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def gone(pid: int) -> bool:
    """Wait a little for a process to be gone."""
    deadline = time.monotonic() + 3
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


# --- what it says ---


def test_its_lines_are_logged_and_its_end_is_sent():
    result = run("sh", "-c", "echo one; echo two; echo wrong >&2")

    assert result.outcome == "succeeded"
    assert lines(result, "stdout") == ["one", "two"]
    assert lines(result, "stderr") == ["wrong"]
    (done,) = result.outputs
    assert (done.exit_code, done.stdout) == (0, "one\ntwo\n")
    assert 0 < done.seconds < 10


def test_nothing_is_read_by_a_shell():
    assert run("echo", "$HOME", "*", "a; b").outputs[0].stdout == "$HOME * a; b\n"


def test_a_line_without_an_end_is_kept():
    assert lines(run("printf", "one\ntwo"), "stdout") == ["one", "two"]


def test_bytes_that_are_no_text_are_replaced():
    result = python(r"import os; os.write(1, b'a\xff\x00b\xc3'); os.write(1, b'\xa4\n')")

    assert lines(result, "stdout") == ["a��bä"]
    assert result.outputs[0].stdout == "a��bä\n"


def test_a_long_line_is_broken():
    found = lines(python("print('x' * 100_000)"), "stdout")

    assert "".join(found) == "x" * 100_000
    assert max(map(len, found)) < 30_000


def test_of_much_output_the_end_is_kept_and_the_log_is_bounded():
    result = python("for n in range(200_000): print('ä', n)")

    assert result.outcome == "succeeded"
    assert len(result.outputs[0].stdout.encode()) <= 16_384
    assert result.outputs[0].stdout.endswith("ä 199999\n")
    assert "\ufffd" not in result.outputs[0].stdout
    assert 20_000 < len(result.logs) < 30_000


# --- what it gets ---


def test_it_gets_our_variables_and_its_own_but_none_of_our_settings(monkeypatch):
    monkeypatch.setenv("CALLSHEET_DATABASE", "postgresql://me:secret@host/")
    monkeypatch.setenv("MINE", "inherited")
    result = run("env", env={"OTHER": "given"})

    found = dict(line.split("=", 1) for line in lines(result, "stdout"))
    assert (found["MINE"], found["OTHER"], found["CALLSHEET_ATTEMPT"]) == ("inherited", "given", "1")
    assert len(found["CALLSHEET_INSTANCE"]) == 36
    assert "CALLSHEET_DATABASE" not in found


def test_with_clear_env_it_gets_its_own_variables_only():
    assert lines(run("env", env={"ONLY": "this"}, clear_env=True), "stdout") == ["ONLY=this"]


def test_another_one_file_binary_does_not_take_it_for_a_part_of_itself(monkeypatch):
    monkeypatch.setenv("_PYI_APPLICATION_HOME_DIR", "/tmp/unpacked")

    assert not [line for line in lines(run("env"), "stdout") if line.startswith("_PYI_")]


def test_it_runs_in_its_directory(tmp_path):
    (tmp_path / "here").touch()

    assert lines(run("ls", cwd=str(tmp_path)), "stdout") == ["here"]


@pytest.mark.parametrize(("given", "read"), [(None, ""), ("some words\nä", "some words\nä"), ("x" * 300_000, None)])
def test_it_reads_what_it_is_given_or_nothing(given, read):
    result = python("import sys; data = sys.stdin.read(); print(len(data)); print(data[:50])", stdin=given)

    assert lines(result, "stdout")[0] == str(len(given or ""))
    assert read is None or result.outputs[0].stdout.split("\n", 1)[1] == read + "\n"


def test_it_gets_none_of_our_descriptors(tmp_path):
    with (tmp_path / "secret").open("w") as ours:
        os.set_inheritable(ours.fileno(), True)
        found = [line.rpartition(" -> ")[2] for line in lines(run("ls", "-l", "/proc/self/fd"), "stdout")]

    kinds = sorted(what.split(":")[0] for what in found if what.startswith(("/", "pipe:", "socket:")))
    assert [what for what in kinds if not what.startswith("/proc/")] == ["/dev/null", "pipe", "pipe", "pipe"]


# --- how it ends ---


def test_another_exit_code_is_a_failure_with_the_last_words():
    result = run("sh", "-c", "echo early; echo no such thing >&2; exit 3")

    assert result.outcome == "failed"
    assert type(result.error).__name__ == "CommandFailed"
    assert str(result.error) == "sh exited with code 3:\nno such thing"
    assert (result.outputs[0].exit_code, result.outputs[0].stdout) == (3, "early\n")


def test_codes_that_are_said_to_be_fine_are():
    assert run("sh", "-c", "exit 3", ok_codes=[0, 3]).outcome == "succeeded"
    assert run("true", ok_codes=[3]).outcome == "failed"


def test_a_program_that_a_signal_ends_says_which():
    result = run("sh", "-c", "kill -SEGV $$")

    assert result.outputs[0].exit_code == -signal.SIGSEGV
    assert str(result.error) == "sh was killed by SIGSEGV."


@pytest.mark.parametrize(
    ("argv", "cwd", "sentence"),
    [
        (["no-such-program"], None, "The program 'no-such-program' is not on the PATH."),
        (["/no/such"], None, "The program '/no/such' is not there, or the interpreter that it names is not."),
        (["./plain"], ".", "'./plain' cannot be executed: Permission denied."),
        (["./empty"], ".", "'./empty' is no program for this machine; a script needs a first line such as #!/bin/sh."),
        (["true"], "/no/such", "The directory '/no/such' cannot be entered: No such file or directory."),
        (["true"], "./plain", "The directory './plain' cannot be entered: Not a directory."),
        ([""], None, "argv[0] is empty: it must name a program."),
        (["x" * 5000], None, f"'{'x' * 5000}' cannot be executed: File name too long."),
        (["true", "x" * 3_000_000], None, "'true' cannot be executed: Argument list too long."),
    ],
)
def test_what_cannot_be_started_is_a_failure_in_one_sentence(tmp_path, monkeypatch, argv, cwd, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").write_text("no program")
    (tmp_path / "empty").write_bytes(b"\x01\x02")
    (tmp_path / "empty").chmod(0o755)
    result = run(*argv, cwd=cwd)

    assert result.outcome == "failed"
    assert (type(result.error).__name__, str(result.error)) == ("NotStarted", sentence)
    assert result.outputs == []


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"argv": []},
        {"argv": "ls"},
        {"argv": ["a\0b"]},
        {"argv": ["a"], "env": {"A=B": "c"}},
        {"argv": ["a"], "grace": 5},
        {"argv": ["a"], "ok_codes": []},
        {"argv": ["a"], "unknown": 1},
    ],
)
def test_a_wrong_input_is_refused(document):
    with pytest.raises(Invalid):
        command.check_input(document)


# --- how it is ended ---

STUBBORN = "trap '' TERM; echo $$; sleep 60 & echo $!; while true; do sleep 0.1; done"


def test_at_its_time_out_it_may_tidy_up():
    result = run("sh", "-c", "trap 'echo tidied; exit 0' TERM; echo up; while true; do sleep 0.05; done", timeout=0.5)

    assert result.outcome == "timed_out"
    assert lines(result, "stdout") == ["up", "tidied"]


def test_one_that_ignores_this_is_killed_with_its_children():
    began = time.monotonic()
    result = run("sh", "-c", STUBBORN, timeout=0.5, grace=0.3)

    assert result.outcome == "timed_out"
    assert time.monotonic() - began < 3
    pids = list(map(int, lines(result, "stdout")))
    assert len(pids) == 2
    assert all(map(gone, pids))


@pytest.mark.parametrize("grace", [0, 0.5])
def test_a_child_that_has_left_the_group_is_killed_too(grace):
    code = "import subprocess, time; print(subprocess.Popen(['sleep', '60'], start_new_session=True).pid, flush=True)\n"
    result = python(code + "time.sleep(60)", timeout=1.0, grace=grace)

    assert gone(int(lines(result, "stdout")[0]))


def test_what_it_leaves_running_does_not_hold_up_its_end():
    began = time.monotonic()
    result = run("sh", "-c", "sleep 60 & echo $!")

    assert result.outcome == "succeeded"
    assert time.monotonic() - began < 5
    assert gone(int(result.outputs[0].stdout))


def test_what_has_left_the_group_and_holds_its_output_does_not_hold_up_its_end():
    code = "import subprocess; print(subprocess.Popen(['sleep', '5'], start_new_session=True).pid, flush=True)"
    began = time.monotonic()
    result = python(code)

    assert result.outcome == "succeeded"
    assert time.monotonic() - began < 4
    os.kill(int(result.outputs[0].stdout), signal.SIGKILL)


def test_what_still_writes_after_its_end_is_read_for_a_moment():
    result = run("sh", "-c", "(sleep 0.2; echo late) & echo early")

    assert lines(result, "stdout") == ["early", "late"]


# --- where it is ---


def test_it_is_there_only_where_it_is_allowed():
    plain, allowed = Registry(), Registry()
    plain.load_builtin()
    allowed.load_builtin(commands=True)

    assert set(allowed) - set(plain) == {"command"}
    assert "--allow-commands" in str(Unknown("task", "command"))
