"""The one-file binary is two processes: they stop together, once, and neither outlives the other."""

import os
import pty
import re
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from attrs import frozen

TASKS = """
@task(isolate="process")
def spin(_in: None, out: Out[int]) -> None:
    out.send(os.getpid())
    while True:
        pass

@task(isolate="process")
def quick(_in: None, out: Out[int]) -> None:
    out.send(os.getpid())
"""
LONG_AGO = time.time() - 3600


def test_one_wish_to_stop_that_both_processes_hear_does_not_cut_the_drain_short(binary: Any) -> None:
    service = binary.serve(tasks=TASKS)
    service.running(service.start("sleep", input={"seconds": 2}))

    os.kill(binary.child_of(service.process.pid), signal.SIGTERM)  # as systemd does
    assert service.stop() == 0

    said = "".join(service.out)
    assert (said.count("stopping: "), "sleep  succeeded" in said) == (1, True), said
    assert binary.unpacked() == []


def test_one_ctrl_c_on_a_terminal_drains_and_a_later_one_cancels(binary: Any, free_port: int) -> None:
    for seconds, outcome in ((2, "succeeded"), (60, "interrupted")):
        terminal, code = on_a_terminal(binary, "serve", "--port", str(free_port))
        service = binary.at(free_port)
        service.running(service.start("sleep", input={"seconds": seconds}))
        terminal.press_ctrl_c()
        binary.until(lambda: "stopping: " in terminal.text())  # noqa: B023 - asked before the next one is opened
        if outcome == "interrupted":
            time.sleep(0.6)  # people do not press twice within half a second
            terminal.press_ctrl_c()
        assert code() == 0
        assert f"sleep  {outcome}" in terminal.text()


def test_ctrl_c_ends_a_client_with_one_word(binary: Any) -> None:
    service = binary.serve(tasks=TASKS)
    terminal, code = on_a_terminal(binary, "task", "run", "sleep", "seconds=60", "--wait", "--url", service.url)
    binary.until(lambda: service.get("/v1/instances?state=running")["items"])
    time.sleep(0.5)  # until the client, too, has heard that it runs
    terminal.press_ctrl_c()
    assert code() == 130
    assert re.fullmatch(r"\^CIt runs on; .* ends it\.\s+", terminal.text())


@frozen
class Terminal:
    """A terminal, and what was shown on it."""

    fd: int
    shown: list[bytes]

    def text(self) -> str:
        """Return all that was shown."""
        return b"".join(self.shown).decode()

    def press_ctrl_c(self) -> None:
        """Send SIGINT to both processes, by way of the terminal."""
        os.write(self.fd, b"\x03")


def on_a_terminal(binary: Any, *words: str) -> tuple[Terminal, Callable[[], int]]:
    """Run the binary on a terminal of its own; return that, and what waits for its exit code."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(binary.folder)
        os.execv(binary.path, [str(binary.path), *words])
    terminal = Terminal(fd, [])
    reader = threading.Thread(target=read_all, args=(terminal,), daemon=True)
    reader.start()

    def code() -> int:
        ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        reader.join(10)
        os.close(fd)
        return ended

    return terminal, code


def read_all(terminal: Terminal) -> None:
    """Read until nobody writes any more."""
    with suppress(OSError):
        while part := os.read(terminal.fd, 65536):
            terminal.shown.append(part)


def test_kill_9_of_the_first_process_ends_the_second_and_its_workers(binary: Any) -> None:
    service = binary.serve(tasks=TASKS)
    main = binary.child_of(service.process.pid)
    uri = service.start("spin")
    [worker] = binary.until(lambda: service.get(uri)["outputs"])
    assert binary.alive(main)
    assert binary.alive(worker)

    service.ended(service.signal(signal.SIGKILL))

    binary.until(lambda: not binary.alive(main) and not binary.alive(worker), within=2)
    again = binary.serve(tasks=TASKS)
    assert again.get(uri)["outcome"] == "lost"


def test_kill_9_of_the_second_process_is_what_the_first_ends_with(binary: Any) -> None:
    service = binary.serve(tasks=TASKS)
    os.kill(binary.child_of(service.process.pid), signal.SIGKILL)
    assert service.ended()[0] == -signal.SIGKILL
    assert binary.unpacked() == []


def test_what_a_killed_one_left_unpacked_is_removed_and_what_is_in_use_is_not(binary: Any) -> None:
    killed = binary.serve(tasks=TASKS)
    [left] = binary.unpacked()
    killed.ended(killed.signal(signal.SIGKILL))
    running = binary.serve(tasks=TASKS)
    assert left in binary.unpacked()  # it might be another's that is just being filled
    for folder in binary.unpacked():
        os.utime(folder, (LONG_AGO, LONG_AGO))

    assert binary.call("--version").returncode == 0

    [used] = binary.unpacked()
    assert used != left
    assert running.over(running.start("quick"))["outcome"] == "succeeded"
