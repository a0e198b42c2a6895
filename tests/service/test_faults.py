"""What the machine does to the service: it is stopped, its disk fills up, it is killed, its connections are held."""

import json
import signal
import socket
import sqlite3
import threading
import time
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

TASKS = """
@task
async def hello(_in: None, out: Out[str]) -> None:
    await out.send("hello")

@task
async def keeping(_in: str, out: Out[int]) -> None:
    await trio.sleep(0.05)
    await out.send(len(_in))

@task
async def holding(_in: None, out: Out[None]) -> None:
    ends = time.monotonic() + 2
    while time.monotonic() < ends:
        pass

@task
async def waiting(_in: float, out: Out[None]) -> None:
    await trio.sleep(_in)
"""


def test_a_process_stopped_for_a_while_accounts_for_what_was_due(launch: Any, until: Any) -> None:
    service = launch(tasks=TASKS)
    for slug in ("goes-on", "paused"):
        assert service.put(f"/v1/schedules/{slug}", {"task": "hello", "trigger": {"every": "1s"}}).status == 201
    until(lambda: all(service.get(f"/v1/schedules/{slug}")["last_due"] for slug in ("goes-on", "paused")))

    stopped = service.signal(signal.SIGSTOP)
    pause = threading.Thread(target=service.post, args=("/v1/schedules/paused/pause",))
    pause.start()  # it waits at the door when the process goes on
    until(lambda: time.monotonic() > stopped + 3.2)
    continued = service.signal(signal.SIGCONT)

    assert service.get("/livez").status == 200
    assert time.monotonic() - continued < 1
    pause.join()
    until(lambda: "missed" in {entry["fate"] for entry in service.account("goes-on")})
    until(lambda: service.account("goes-on")[-1]["fate"] == "ran")
    ledger = service.account("goes-on")
    (gap,) = [number for number, entry in enumerate(ledger) if entry["fate"] == "missed"]
    assert (ledger[gap]["reason"], ledger[gap]["count"] in (2, 3)) == ("late", True)
    assert ledger[gap + 1]["fate"] == "ran"  # the latest of them
    last = service.account("paused")[-1]
    paused_at = datetime.fromisoformat(service.get("/v1/schedules/paused")["updated_at"])
    assert paused_at - datetime.fromisoformat(last.get("due_at") or last["last_due"]) < timedelta(seconds=1)
    assert not [line for line in service.errors if "blocked" in line]  # no task is blamed


def test_a_task_that_holds_the_loop_is_named_in_the_log_and_in_an_event(launch: Any, until: Any, tmp_path: Any) -> None:
    database = tmp_path / "held.db"
    service = launch("--database", f"sqlite:///{database}", tasks=TASKS)
    uri = service.start("holding")
    until(lambda: service.get(uri)["outcome"], 30)
    instance = uri.rsplit("/", 1)[1]

    assert [line for line in service.errors if "loop.blocked" in line and instance in line]
    sql = "SELECT data FROM event WHERE type = 'loop.blocked' AND instance = ?"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        found = until(lambda: connection.execute(sql, (UUID(instance).bytes,)).fetchall())
    assert "in holding" in json.loads(found[0][0])["where"]


@pytest.mark.timeout(60)
def test_a_full_disk_is_told_and_survived(launch: Any, until: Any, mounted: Any) -> None:
    folder = mounted("size=3m")
    service = launch("--database", f"sqlite:///{folder}/callsheet.db", tasks=TASKS)
    assert service.put("/v1/schedules/s", {"task": "hello", "trigger": {"every": "1s"}}).status == 201
    kept = [service.start("keeping", input="x" * 1000)]
    ends_meanwhile = service.start("waiting", input=1.5)
    ballast = folder / "ballast"
    ballast.write_bytes(b"#" * 1_000_000)

    def refused() -> Any:
        answer = service.post("/v1/instances", {"task": "keeping", "input": "x" * 50_000})
        if answer.status == 202:
            kept.append(answer["uri"])
        return answer.status != 202 and answer

    answer = until(refused)
    assert (answer.status, answer.headers["Content-Type"]) == (507, "application/problem+json")
    assert answer.headers["Retry-After"]
    assert "full" in answer["detail"]
    assert service.get("/readyz").status == 503
    assert service.get("/livez").status == 200
    assert service.get(kept[0]).status == 200
    full = time.monotonic()
    until(lambda: time.monotonic() > full + 2.5)  # due times and an end fall into it
    assert service.process.poll() is None
    assert service.get(ends_meanwhile)["running"] is True  # its end cannot be told yet
    assert service.post("/v1/instances", {"task": "hello"}).status == 507

    ballast.unlink()
    until(lambda: service.get("/readyz").status == 200)
    kept.append(until(lambda: (one := service.post("/v1/instances", {"task": "hello"})).status == 202 and one["uri"]))
    assert {service.over(uri)["outcome"] for uri in [*kept, ends_meanwhile]} == {"succeeded"}
    assert 1.4 < service.get(ends_meanwhile)["seconds"] < 2  # when it ended, not when that could be told
    ran = len(service.items("/v1/instances?schedule=s&state=succeeded"))
    until(lambda: len(service.items("/v1/instances?schedule=s&state=succeeded")) > ran)
    assert service.account("s")
    assert service.stop() == 0


def test_what_was_acknowledged_right_before_a_kill_is_there(launch: Any) -> None:
    uris: list[str] = []
    for _ in range(4):
        service = launch(tasks=TASKS)
        uris += [service.start("hello"), service.start("waiting", input=30)]
        service.process.kill()
        service.process.wait()
    service = launch(tasks=TASKS)
    outcomes = [service.get(uri)["outcome"] for uri in uris]
    assert set(outcomes[::2]) <= {"lost", "succeeded"}
    assert set(outcomes[1::2]) == {"lost"}


def test_three_hundred_idle_connections_do_not_stop_the_api(launch: Any) -> None:
    service = launch(tasks=TASKS)
    with ExitStack() as clients:
        for _ in range(300):
            clients.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=5))
        began = time.monotonic()
        assert service.over(service.start("hello"))["outcome"] == "succeeded"
        assert time.monotonic() - began < 2
        assert service.stop() == 0
