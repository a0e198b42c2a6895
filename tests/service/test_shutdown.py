"""However tasks, clients and terminals behave: told to stop, the process is gone in time, and says what it left."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.service.sources import DEAF

DRAIN = 0.4
WITHIN = DRAIN + 2.0  # seconds that are promised, whatever tasks and clients do
SHORT = ("--drain", f"{DRAIN}s")

TASKS = (
    """
import ctypes

async def announce():
    await trio.sleep(0.1)
    open("held", "w").close()

@task
async def brief(_in: float, out: Out[str]) -> None:
    await trio.sleep(_in)
    await out.send("done")

@task
async def tidy(_in: None, out: Out[str]) -> None:
    try:
        await trio.sleep(60)
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(0.2)
            await out.send("tidied up")

@task
async def slow_to_tidy(_in: None, out: Out[None]) -> None:
    try:
        await trio.sleep(60)
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(60)

@task
async def asleep_in_the_loop(_in: None, out: Out[None]) -> None:
    await announce()
    time.sleep(60)

@task
async def busy_in_the_loop(_in: None, out: Out[None]) -> None:
    await announce()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pass

@task
async def waiting_in_c(_in: None, out: Out[None]) -> None:
    # Like a database driver that waits in C: it goes on waiting when a signal comes.
    await announce()
    libc = ctypes.CDLL(None)
    mutex = ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)

@task
def asleep_in_a_thread(_in: None, out: Out[None]) -> None:
    time.sleep(60)

@task
async def chatty(_in: None, out: Out[None]) -> None:
    pass

@task
async def taking(_in: str, out: Out[None]) -> None:
    pass
"""
    + DEAF
)


def lines_of(service: Any) -> str:
    return "".join(service.out)


def assert_stops_in_time(service: Any, within: float = WITHIN) -> float:
    code, took = service.ended(service.signal(signal.SIGTERM))
    assert code == 0, "".join(service.errors)
    assert took <= within, f"{took:.2f} s"
    return took


def test_a_task_that_finishes_within_the_drain_succeeds(launch: Any) -> None:
    service = launch("--drain", "10s", tasks=TASKS)
    uri = service.start("brief", input=1.0)
    service.running(uri)

    took = assert_stops_in_time(service)

    assert took < 2.0  # it waits for the task, not for the whole drain
    assert "stopping: running tasks get 10 s" in lines_of(service)
    assert "brief  succeeded" in lines_of(service)
    assert "stopped; nothing was left running" in lines_of(service)
    seen = launch(tasks=TASKS).get(uri)
    assert (seen["outcome"], seen["outputs"]) == ("succeeded", ["done"])


def test_while_it_drains_the_api_answers_but_starts_nothing(launch: Any, until: Any) -> None:
    service = launch("--drain", "10s", tasks=TASKS)
    service.put("/v1/schedules/s", {"task": "brief", "input": 0, "trigger": {"every": "1h"}})
    service.put("/v1/schedules/often", {"task": "brief", "input": 0, "trigger": {"every": "1s"}})
    uri = service.start("brief", input=1.5)
    service.running(uri)
    assert service.get("/readyz").status == 200

    told = service.signal(signal.SIGTERM)
    refused = until(lambda: (answer := service.get("/readyz")).status == 503 and answer)

    draining_since = datetime.now(UTC)
    assert refused["detail"] == "The service is stopping."
    assert service.get("/livez").status == 200
    assert service.get(uri)["running"] is True
    batch = {"items": [{"task": "brief", "input": 0}]}
    for path, body in (
        ("/v1/instances", batch["items"][0]), ("/v1/instances/batch", batch), (f"{uri}/rerun", None),
        ("/v1/schedules/s/trigger", None),
    ):  # fmt: skip
        answer = service.post(path, body)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1"), (path, answer)
    until(lambda: time.monotonic() > told + 1.2)  # at least one due time of `often` has passed
    assert service.post(f"{uri}/cancel", {"reason": "enough"}).status == 202
    code, took = service.ended(told)
    assert (code, took < 2.2) == (0, True)
    gone = datetime.now(UTC)
    again = launch(tasks=TASKS)
    assert (seen := again.get(uri))["outcome"] == "cancelled"
    assert seen["cancel"]["reason"] == "enough"
    until(lambda: again.get("/v1/schedules/often")["last_due"] > gone.isoformat())
    assert again.account("often")  # what was due meanwhile is accounted for
    starts = [datetime.fromisoformat(one["started_at"]) for one in again.items("/v1/instances?schedule=often")]
    assert not [start for start in starts if draining_since <= start <= gone]


def test_after_the_drain_tasks_are_interrupted_and_may_tidy_up(launch: Any) -> None:
    service = launch(*SHORT, tasks=TASKS)
    uri = service.start("tidy")
    service.running(uri)

    assert_stops_in_time(service)

    assert "tidy  interrupted" in lines_of(service)
    seen = launch(tasks=TASKS).get(uri)
    assert (seen["outcome"], seen["outputs"]) == ("interrupted", ["tidied up"])


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_skips_the_drain(launch: Any, second: int) -> None:
    service = launch("--drain", "60s", tasks=TASKS)
    uri = service.start("brief", input=60)
    service.running(uri)
    service.signal(signal.SIGTERM)
    service.told("stopping")

    code, took = service.ended(service.signal(second))

    assert (code, took < 2.0) == (0, True)
    assert launch(tasks=TASKS).get(uri)["outcome"] == "interrupted"


def test_tasks_that_do_not_end_are_named_and_left(launch: Any) -> None:
    service = launch(*SHORT, tasks=TASKS)
    uris = [service.start(task) for task in ("deaf", "slow_to_tidy", "asleep_in_a_thread")]
    for uri in uris:
        service.running(uri)

    assert_stops_in_time(service)

    assert "stopped; 3 did not end and will be recorded as lost:" in lines_of(service)
    again = launch(tasks=TASKS)
    for uri in uris:
        assert uri in lines_of(service)
        assert again.get(uri)["outcome"] == "lost"
    assert again.told("recovered  3 that an earlier run left unfinished")


@pytest.mark.parametrize("task", ["asleep_in_the_loop", "busy_in_the_loop", "waiting_in_c"])
def test_a_task_that_holds_the_event_loop_cannot_hold_the_process(launch: Any, until: Any, task: str) -> None:
    service = launch(*SHORT, tasks=TASKS)
    uri = service.start(task)
    until((service.folder / "held").exists)

    assert_stops_in_time(service)

    instance = uri.rsplit("/", 1)[1]
    assert f"stopped by force: instance {instance} of {task} held the event loop" in lines_of(service)


def test_a_second_signal_skips_the_drain_even_when_the_loop_is_held(launch: Any, until: Any) -> None:
    service = launch("--drain", "60s", tasks=TASKS)
    uri = service.start("asleep_in_the_loop")
    until((service.folder / "held").exists)

    service.signal(signal.SIGTERM)
    code, took = service.ended(service.signal(signal.SIGINT))

    assert code == 0
    assert took <= 2.0
    assert launch(tasks=TASKS).get(uri)["outcome"] == "lost"


def test_a_thousand_tasks_at_once_are_interrupted_in_time(launch: Any, until: Any) -> None:
    service = launch(*SHORT, tasks=TASKS)
    service.post("/v1/instances/batch", {"items": [{"task": "brief", "input": 60}] * 1000})
    until(lambda: service.get("/v1/stats")["running"] == 1000)

    assert_stops_in_time(service)

    outcomes = launch(tasks=TASKS).get("/v1/stats")["outcomes"]
    assert outcomes["interrupted"] + outcomes["lost"] == 1000


# --- clients ---


def connected(service: Any, sent: bytes = b"", receive_buffer: int | None = None) -> socket.socket:
    client = socket.socket()
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.connect(("127.0.0.1", service.port))
    client.settimeout(5)
    client.sendall(sent)
    return client


GET = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"


def keeps_alive(service: Any) -> socket.socket:
    client = connected(service, GET % b"/livez")
    assert client.recv(1000).startswith(b"HTTP/1.1 200")
    return client


def says_nothing(service: Any) -> socket.socket:
    return connected(service)


def is_in_the_middle_of_a_head(service: Any) -> socket.socket:
    return connected(service, b"GET /livez HTTP/1.1\r\nHost: loc")


def is_in_the_middle_of_a_body(service: Any) -> socket.socket:
    head = (
        b"POST /v1/instances HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 900\r\n"
    )
    return connected(service, head + b'\r\n{"task": "bri')


def does_not_read_a_large_answer(service: Any) -> socket.socket:
    items = [{"task": "taking", "input": "x" * 40_000} for _ in range(200)]
    assert service.post("/v1/instances/batch", {"items": items}).status == 202
    return connected(service, GET % b"/v1/instances?limit=200", receive_buffer=4096)


def pipelines_and_does_not_read(service: Any) -> socket.socket:
    client = connected(service, receive_buffer=4096)
    client.setblocking(False)
    with suppress(BlockingIOError):
        for _ in range(20_000):
            client.send((GET % b"/v1/tasks") * 10)
    return client


@pytest.mark.parametrize(
    "kinds",
    [
        [keeps_alive, says_nothing, is_in_the_middle_of_a_head, is_in_the_middle_of_a_body],
        [does_not_read_a_large_answer, pipelines_and_does_not_read],
    ],
)
def test_clients_that_do_not_let_go_are_let_go(launch: Any, kinds: list[Callable[[Any], socket.socket]]) -> None:
    service = launch(*SHORT, tasks=TASKS)
    with ExitStack() as clients:
        for client in kinds * 3:
            clients.enter_context(client(service))
        assert service.get("/livez").status == 200

        assert_stops_in_time(service, 2.0)  # nothing runs: the drain is over at once

    assert "stopped; nothing was left running" in lines_of(service)


# --- whoever should read what it prints ---


@contextmanager
def full_pipe() -> Iterator[int]:
    """Give the writing end of a pipe that is full, while its reader sleeps."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"#")
    os.set_blocking(writing, True)
    yield writing
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("task", ["brief", "deaf", "asleep_in_the_loop"])
def test_nobody_has_to_read_what_it_prints(launch: Any, free_port: int, task: str) -> None:
    with full_pipe() as full:
        service = launch(*SHORT, tasks=TASKS, port=free_port, stdout=full, stderr=full)
        uris = [service.start("brief", input=0) for _ in range(20)]
        assert [service.over(uri)["outcome"] for uri in uris] == ["succeeded"] * 20
        service.running(service.start(task, **({"input": 60} if task == "brief" else {})))

        assert_stops_in_time(service)


def test_it_works_with_standard_streams_closed(launch: Any, free_port: int) -> None:
    (launch.folder / "shut.sh").write_text('exec "$@" <&- >&- 2>&-\n')
    service = launch("--demo", *SHORT, tasks=TASKS, port=free_port, through=("sh", "shut.sh"))
    uri = service.start("brief", input=0)
    assert service.over(uri)["outcome"] == "succeeded"
    service.start("asleep_in_the_loop")

    assert_stops_in_time(service)

    assert launch(tasks=TASKS).get(uri)["outcome"] == "succeeded"  # nothing was printed into the database


def test_a_reader_that_goes_away_does_not_matter(launch: Any, free_port: int) -> None:
    reading, writing = os.pipe()
    service = launch("--demo", *SHORT, tasks=TASKS, port=free_port, stdout=writing, stderr=writing)
    os.close(writing)
    os.close(reading)
    uris = [service.start("brief", input=0) for _ in range(20)]
    assert [service.over(uri)["outcome"] for uri in uris] == ["succeeded"] * 20

    assert_stops_in_time(service)
