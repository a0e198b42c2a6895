"""The commands of the documentation work.

A fenced block says behind its language what it is for: a file name (write it), `run` (do it), `answer` (the block
before it answers at least this; … stands for anything). Starting and killing the service is done by the test.
"""

import fnmatch
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.pages import PAGES, ROOT

BLOCK = re.compile(r"^```(\w+) ([\w.]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = [page for page in PAGES if BLOCK.search(page.read_text())]
EXAMPLE = re.compile(r"2026-11-23T[\d:.]+Z|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # as good as …
PATIENCE = 20  # seconds for an answer to become what the page says


class Reader:
    """Does what a page says, in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.process = None

    def write(self, name, text):
        """Save a file; one that is a test is run, too."""
        (self.folder / name).write_text(text)
        if name.startswith("test_"):
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name]
            subprocess.run(command, cwd=self.folder, check=True, timeout=60)

    def run(self, text):
        """Do each command of a block; return the output of the last."""
        shown = ""
        for command in re.sub(r"\\\n", "", text).splitlines():
            if "callsheet serve" in command or command == "make run":
                self.kill()
                if not command.startswith("pkill"):
                    self.serve("--demo" if command == "make run" else command.split("callsheet serve", 1)[1])
            else:
                shown = self.shell(command)
        return shown

    def shell(self, command):
        """Run a command of the page against our own port."""
        command = command.replace("callsheet simulate", f"{sys.executable} -m callsheet simulate")
        here = command.replace("localhost:8080", f"127.0.0.1:{self.port}").replace("curl ", "curl -sS ", 1)
        here = re.sub(r"^(\.venv/bin/)?callsheet ", f"{sys.executable} -m callsheet ", here)
        done = subprocess.run(
            ["bash", "-c", here], cwd=self.folder, capture_output=True, text=True, timeout=30, check=False,
            env=os.environ | {"CALLSHEET_URL": f"http://127.0.0.1:{self.port}"},
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        return done.stdout

    def serve(self, flags):
        """Start the service and wait until it listens."""
        command = [sys.executable, "-m", "callsheet", "serve", "--port", str(self.port), *flags.split()]
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while self.shell("curl http://localhost:8080/readyz || true") == "":
            assert self.process.poll() is None, f"{command} ended"
            assert time.monotonic() < deadline, f"{command} does not answer"

    def kill(self):
        """Kill the service without warning."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


def free_port():
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def reader(tmp_path):
    """A reader whose service is gone afterwards."""
    one = Reader(tmp_path)
    yield one
    one.kill()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_do_what_it_says(page, reader):
    blocks = BLOCK.findall(page.read_text())
    for (language, mark, text), after in zip(blocks, [*blocks[1:], ("", "", "")], strict=True):
        assert (language, mark) in {("sh", "run"), ("json", "answer"), ("python", mark), ("toml", mark)}
        if mark == "run":
            before, shown = text, reader.run(text)
            assert after[1] == "answer" or '"/problems/' not in shown, shown
        elif mark == "answer":
            expect(reader, before, shown, json.loads(text))
        else:
            reader.write(mark, text)


def expect(reader, command, shown, wanted):
    """Compare an answer with the page; what only reads is asked again until it fits, or patience ends."""
    deadline = time.monotonic() + PATIENCE
    while not fits(json.loads(shown), wanted):
        patient = command.startswith("curl") and " -X" not in command and time.monotonic() < deadline
        assert patient, f"{command}\nanswered {shown}\ninstead of {json.dumps(wanted)}"
        time.sleep(0.1)
        shown = reader.run(command)


def fits(found, wanted):
    """Tell whether an answer has at least what is wanted: lists in any order, … for anything."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(name in found and fits(found[name], wanted[name]) for name in wanted)
    if isinstance(wanted, list):
        return isinstance(found, list) and all(any(fits(one, each) for one in found) for each in wanted)
    if isinstance(wanted, str):
        pattern = re.sub(r"([\[*?])", r"[\1]", EXAMPLE.sub("…", wanted)).replace("…", "*")
        return isinstance(found, str) and fnmatch.fnmatchcase(found, pattern)
    return bool(found == wanted)
