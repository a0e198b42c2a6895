"""Streams of the real process: over a kill, before a thousand listeners, and past those who do not listen."""

import http.client
import http.server
import json
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

MANY = 600  # streams of the crowd: what the limits of most machines let one test open
EACH = 50 * 1024  # bytes that one who does not read may cost
WORK = 16 * 1024 * 1024  # bytes that the work meanwhile may take, with what the feed shares among all
REQUEST = b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"


@define
class Ear:
    """Hears the stream of events of a service."""

    connection: http.client.HTTPConnection
    response: http.client.HTTPResponse = field(init=False)

    def ask(self, path: str, last: str | None = None) -> "Ear":
        """Open the stream."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        self.connection.request("GET", path, headers=headers)
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()
        return self

    def next(self) -> dict[str, Any] | None:
        """Return the next event with its data; None when the stream ends, however it does."""
        found: dict[str, str] = {}
        try:
            while line := self.response.readline().decode():
                name, _, value = line.rstrip("\n").partition(": ")
                if name:
                    found[name] = value
                elif "data" in found:
                    return {**found, "data": json.loads(found["data"])}
                else:
                    found = {}
        except (OSError, http.client.HTTPException):
            pass
        self.response.close()
        return None


Listen = Callable[..., Ear]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Return a function that opens a stream of a service."""
    with ExitStack() as stack:

        def listen(service: Any, path: str = "/v1/events", last: str | None = None) -> Ear:
            connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
            stack.callback(connection.close)
            ear = Ear(connection).ask(path, last)
            stack.callback(ear.response.close)
            return ear

        yield listen


def test_a_stream_goes_on_after_a_kill_without_gap_or_double(launch: Any, listen: Listen, free_port: int) -> None:
    service = launch(port=free_port)
    heard: list[dict[str, Any]] = []
    last = "0"
    for _ in range(3):
        ear = listen(service, last=last)
        assert ear.next()["event"] == "position"  # type: ignore[index]
        for _ in range(5):
            service.post("/v1/instances/batch", {"items": [{"task": "sleep", "input": {"seconds": 0}}] * 20})
            one = ear.next()
            assert one is not None
            heard.append(one)
        service.signal(signal.SIGKILL)
        while one := ear.next():  # what was on its way
            heard.append(one)
        service.ended()
        last = heard[-1]["id"]
        service = launch(port=free_port)
    written = service.items("/v1/events")
    ear = listen(service, last=last)
    ear.next()
    while int(heard[-1]["id"]) < written[-1]["id"]:
        one = ear.next()
        assert one is not None
        heard.append(one)

    assert [one["data"] for one in heard] == written[: len(heard)]
    assert len(heard) >= len(written)


def test_open_streams_do_not_hold_up_the_stop_and_hear_of_it(launch: Any, listen: Listen) -> None:
    service = launch("--drain", "0.4s")
    service.running(service.start("sleep", input={"seconds": 60}))
    ears = [listen(service) for _ in range(20)]
    uri = service.start("sleep", input={"seconds": 60})
    follower = listen(service, f"{uri}/log")

    told = service.signal(signal.SIGTERM)
    heard = []
    for ear in ears:
        lines = []
        while one := ear.next():
            lines.append(one["event"])
        heard.append(lines)
    code, took = service.ended(told)

    assert (code, took < 2.4) == (0, True)
    assert {tuple(lines[-2:]) for lines in heard} == {("node.stopped", "bye")}
    assert follower.next()["event"] == "end"  # type: ignore[index]


@pytest.fixture
def crowd(launch: Any) -> Iterator[tuple[Any, list[socket.socket], int]]:
    """A service with many streams open that nobody has read from yet."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * MANY
    if soft < wanted and hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"only {hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        with ExitStack() as stack:
            service = launch()
            for _ in range(200):  # what the work itself costs, its caches full, is not what the listeners cost
                work(service)
            before = memory(service)
            ears = []
            for _ in range(MANY):
                ear = stack.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=30))
                ear.sendall(REQUEST)
                ears.append(ear)
            for ear in ears:
                assert ear.recv(12) == b"HTTP/1.1 200"
            yield service, ears, before
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def work(service: Any) -> None:
    """Make a few hundred events."""
    service.post("/v1/instances/batch", {"items": [{"task": "sleep", "input": {"seconds": 0}}] * 100})


def memory(service: Any) -> int:
    """Return the resident memory of a process in bytes."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) * 1024


def connected(service: Any) -> int:
    """Return how many connections the service holds."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1].endswith(f":{service.port:04X}") and line[3] == "01" for line in lines)


def test_who_does_not_read_is_dropped_in_time_and_costs_little(crowd: Any) -> None:
    service, ears, before = crowd
    began = time.monotonic()
    most = 0
    slowest = 0.0
    while connected(service) > MANY // 10:
        work(service)
        asked = time.monotonic()
        service.get("/v1/instances?limit=1")
        slowest = max(slowest, time.monotonic() - asked)
        most = max(most, memory(service))
        assert time.monotonic() < began + 60, f"{connected(service)} of {len(ears)} are still there"
        time.sleep(0.02)
    assert most - before < MANY * EACH + WORK, f"{(most - before) / MANY / 1024:.1f} KiB for each"
    assert slowest < 3.0


@pytest.fixture
def receiver() -> Iterator[tuple[int, list[tuple[str, str]], list[int]]]:
    """A server that notes (webhook-id, body) of what it is told, and answers with the statuses given, then 204."""
    heard: list[tuple[str, str]] = []
    statuses: list[int] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            heard.append((self.headers["webhook-id"], body))
            self.send_response(statuses.pop(0) if statuses else 204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, heard, statuses
        server.shutdown()


def test_a_message_to_a_webhook_survives_a_kill(launch: Any, receiver: Any, until: Any) -> None:
    port, heard, statuses = receiver
    statuses += [500]
    flags = ("--http-allow", f"127.0.0.1/32:{port}")
    service = launch(*flags)
    service.post("/v1/webhooks", {"url": f"http://127.0.0.1:{port}/", "events": ["instance.ended"]})
    uri = service.start("sleep", input={"seconds": 0})
    until(lambda: heard)
    running = service.start("sleep", input={"seconds": 60})
    service.running(running)
    service.signal(signal.SIGKILL)
    service.ended()
    launch(*flags)
    until(lambda: len(heard) >= 3)
    told = {json.loads(body)["data"]["instance"]: (name, json.loads(body)) for name, body in heard}

    assert told.keys() == {uri, running}
    assert told[running][1]["data"]["data"]["outcome"] == "lost"
    assert [name for name, _ in heard].count(told[uri][0]) == 2
