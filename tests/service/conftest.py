"""The real process: started, asked over real sockets, and ended one way or another."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from attrs import define, field, frozen

from callsheet.cli import main

PATIENCE = 60.0  # seconds until something must have come about: busy machines take their time
HEAD = """
import logging, os, threading, time
import trio
from callsheet import Out, Retry, task

"""


@frozen
class Answer:
    """An HTTP answer whose body was read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: Any

    def __getitem__(self, name: str) -> Any:
        return self.body[name]


@define
class Service:
    """One callsheet process after another in one folder, each with what it printed."""

    folder: Path
    process: subprocess.Popen[bytes]
    out: list[str] = field(factory=list)
    errors: list[str] = field(factory=list)
    readers: list[threading.Thread] = field(factory=list)
    url: str = ""
    headers: dict[str, str] = field(factory=dict)  # sent with every request

    @property
    def port(self) -> int:
        """Return the port it listens on."""
        return int(self.url.rsplit(":", 1)[1])

    def request(self, method: str, path: str, body: Any = None, timeout: float = PATIENCE) -> Answer:
        """Ask on a connection of its own; OSError when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            headers = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers | self.headers)
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        return Answer(response.status, response.headers, json.loads(data) if data else None)

    def get(self, path: str) -> Answer:
        """GET."""
        return self.request("GET", path)

    def post(self, path: str, body: Any = None) -> Answer:
        """POST."""
        return self.request("POST", path, body)

    def put(self, path: str, body: Any) -> Answer:
        """PUT."""
        return self.request("PUT", path, body)

    def start(self, task: str, **fields: Any) -> str:
        """Start an instance and return its URI."""
        answer = self.post("/v1/instances", {"task": task, **fields})
        assert answer.status == 202, answer
        return str(answer["uri"])

    def items(self, path: str) -> list[dict[str, Any]]:
        """Return the items of all pages of a list."""
        found: list[dict[str, Any]] = []
        joint = "&" if "?" in path else "?"
        cursor = ""
        while True:
            page = self.get(f"{path}{joint}limit=200{cursor}")
            assert page.status == 200, page
            found += page["items"]
            if page["next"] is None:
                return found
            cursor = f"&cursor={page['next']}"

    def over(self, uri: str) -> dict[str, Any]:
        """Wait until an instance is over and return it."""
        return dict(until(lambda: (seen := self.get(uri)).status == 200 and seen["outcome"] and seen.body))

    def running(self, uri: str) -> dict[str, Any]:
        """Wait until an instance runs and return it."""
        return dict(until(lambda: (seen := self.get(uri)).status == 200 and seen["running"] and seen.body))

    def told(self, text: str, lines: str = "out") -> str:
        """Wait for a line with `text` on standard output (or, `errors`, standard error) and return it."""
        return str(until(lambda: next((line for line in list(getattr(self, lines)) if text in line), None)))

    def due_times(self, slug: str, last: str) -> list[str]:
        """Return what the trigger of a schedule says: every due time from its creation to `last`."""
        schedule = self.get(f"/v1/schedules/{slug}").body
        found: list[str] = []
        after = schedule["created_at"]
        while not found or found[-1] < last:
            page = self.post("/v1/schedules/preview", {"trigger": schedule["trigger"], "after": after, "limit": 200})
            found += [item["due_at"] for item in page["items"]]
            if len(page["items"]) < 200:
                break
            after = found[-1]
        return found[: found.index(last) + 1]

    def account(self, slug: str) -> list[dict[str, Any]]:
        """Return a ledger, oldest first, that holds every due time up to its newest exactly once."""
        entries = self.items(f"/v1/schedules/{slug}/ledger")[::-1]
        due = self.due_times(slug, entries[-1].get("due_at") or entries[-1]["last_due"])
        for entry in entries:
            count = entry.get("count", 1)
            told = entry.get("due_at") or entry["first_due"], entry.get("due_at") or entry["last_due"]
            assert told == (due[0], due[count - 1]), f"a hole or a double in the ledger of {slug}: {entry}"
            del due[:count]
        assert not due
        return entries

    def signal(self, number: int) -> float:
        """Send a signal and return when."""
        self.process.send_signal(number)
        return time.monotonic()

    def ended(self, since: float | None = None, within: float = PATIENCE) -> tuple[int, float]:
        """Wait for the end; return the exit code and the seconds that passed `since`."""
        began = time.monotonic() if since is None else since
        code = self.process.wait(within)
        took = time.monotonic() - began
        for reader in self.readers:
            reader.join(PATIENCE)
        return code, took

    def stop(self) -> int:
        """Stop it as one should; return the exit code."""
        return self.ended(self.signal(signal.SIGTERM))[0]


def until(found: Callable[[], Any], within: float = PATIENCE) -> Any:
    """Look again and again until something true is found, and return it."""
    deadline = time.monotonic() + within
    while True:
        value = found()
        if value:
            return value
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


@pytest.fixture(name="until")
def _until() -> Callable[..., Any]:
    """Return the function that waits for something to come about."""
    return until


@frozen
class Launcher:
    """Starts callsheet processes in one folder and ends what is left of them after the test."""

    folder: Path
    started: list[Service] = field(factory=list)

    def __call__(
        self,
        *flags: str,
        program: tuple[str, ...] = (sys.executable, "-m", "callsheet"),
        tasks: str | None = None,
        port: int = 0,
        environment: dict[str, str] | None = None,
        through: tuple[str, ...] = (),
        up: bool = True,
        **options: Any,
    ) -> Service:
        """Start `callsheet serve`; unless `up` is False, wait until it is ready.

        `program` is another callsheet than this one, `tasks` the code of some tasks, `through` a program that starts
        it; with a `port` nothing it prints is needed to find it.
        """
        command = [*through, *program, "serve"]
        if tasks is not None:
            self.write_tasks(tasks)
            command += ["--tasks", "jobs.py"]
        if "CALLSHEET_PORT" not in (environment or {}):
            command += ["--port", str(port)]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": self.folder} | options
        process = subprocess.Popen([*command, *flags], env=self.environment(environment), **options)
        service = Service(self.folder, process, url=f"http://127.0.0.1:{port}" if port else "")
        self.started.append(service)
        service.readers += _readers(service)
        return self.ready(service) if up else service

    @staticmethod
    def ready(service: Service) -> Service:
        """Wait until a service answers, and return it."""

        def address() -> str | None:
            assert service.process.poll() is None, "".join(service.errors)
            return service.url or next((line.split()[-1] for line in list(service.out) if " listens on " in line), None)

        def is_ready() -> bool:
            assert service.process.poll() is None, "".join(service.errors)
            with suppress(OSError, http.client.HTTPException):
                return service.get("/readyz").status == 200
            return False

        service.url = until(address)
        until(is_ready)
        return service

    def write_tasks(self, code: str) -> None:
        """Write the code of some tasks where the next process finds it."""
        (self.folder / "jobs.py").write_text(HEAD + dedent(code))

    def refused(self, *flags: str, **options: Any) -> tuple[int, str]:
        """Start one that must not come up; return its exit code and what it said."""
        service = self(*flags, up=False, **options)
        code, _ = service.ended()
        assert not [line for line in service.out if "listens" in line]
        return code, "".join(service.errors)

    @staticmethod
    def environment(more: dict[str, str] | None = None) -> dict[str, str]:
        """Return our environment without any setting of callsheet's."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("CALLSHEET_")}
        return ours | (more or {})

    def end_all(self) -> None:
        """Kill what still lives."""
        for service in self.started:
            with suppress(ProcessLookupError):
                service.process.kill()
            service.process.wait()
            for reader in service.readers:
                reader.join(PATIENCE)
            for pipe in (service.process.stdout, service.process.stderr):
                if pipe is not None and not pipe.closed:
                    pipe.close()


def _readers(service: Service) -> list[threading.Thread]:
    pipes = ((service.process.stdout, service.out), (service.process.stderr, service.errors))
    readers = [
        threading.Thread(target=_read, args=(pipe, lines), daemon=True) for pipe, lines in pipes if pipe is not None
    ]
    for reader in readers:
        reader.start()
    return readers


def _read(pipe: Any, lines: list[str]) -> None:
    with suppress(ValueError, OSError):
        for line in pipe:
            lines.append(line.decode())  # noqa: PERF401 - others look while it grows


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launcher]:
    """Return a launcher of callsheet processes that all work in the test's folder."""
    # a run in the background ignores SIGINT, and what it starts would, too: Ctrl-C would never be heard
    signal.signal(signal.SIGINT, signal.default_int_handler)
    launcher = Launcher(tmp_path)
    yield launcher
    launcher.end_all()


@pytest.fixture
def free_port() -> int:
    """Return a port that was free a moment ago, for what must come back at the same address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Return a function that mounts a small file system of its own with some options; skip where that may not be."""
    folders: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"mounted-{len(folders)}"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"a file system of its own cannot be mounted here: {done.stderr.strip()}")
        folders.append(folder)
        return folder

    yield mount
    for folder in folders:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def run_cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Service], Callable[..., tuple[int, str, str]]]:
    """Return a function that gives a command line for a service: (*words) -> (exit code, output, errors)."""

    def for_service(service: Service) -> Callable[..., tuple[int, str, str]]:
        for name in [name for name in os.environ if name.startswith("CALLSHEET_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("CALLSHEET_URL", service.url)
        monkeypatch.chdir(service.folder)

        def run(*words: str) -> tuple[int, str, str]:
            code = main(list(words))
            said = capsys.readouterr()
            return code, said.out, said.err

        return run

    return for_service
