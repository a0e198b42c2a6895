"""How the service comes up, and what it says while it runs."""

import json
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import tzdata

import callsheet
from tests.service.sources import HELLO

OTHER = """
@task
async def other(_in: None, out: Out[None]) -> None:
    pass
"""
TALKING = """
log = logging.getLogger("my.module")

@task
async def talking(_in: None, out: Out[None]) -> None:
    print("printed by a task")
    log.warning("logged by a task: %s", 42)
    await trio.sleep(0)
    await out.log("said by a task", part=1)

@task
def talking_thread(_in: None, out: Out[None]) -> None:
    print("printed by a thread")
    log.error("logged by a thread")
"""
BLOCKING = """
@task
async def blocking(_in: None, out: Out[None]) -> None:
    await trio.sleep(0.1)
    time.sleep(3)
"""


# --- coming up ---


def test_the_demo_shows_something_within_three_seconds(launch: Any) -> None:
    service = launch("--demo")
    up = time.monotonic()

    outcome = service.told("succeeded")
    assert time.monotonic() - up < 3
    assert re.fullmatch(r"ended    demo-counter \(counter\)  succeeded after \d+\.\d{3} s\n", outcome)
    assert re.fullmatch(r"started  demo-counter \(counter\)  [0-9a-f-]{36}\n", service.told("started"))
    skipped = service.told("skipped  demo-sleep")
    assert re.search(r"due \S+Z: overlap, blocked by [0-9a-f-]{36}\n", skipped)
    head = service.out[:4]
    assert head == [
        f"callsheet {callsheet.__version__} listens on {service.url}\n",
        "database   sqlite:///callsheet-data/callsheet.db\n",
        "tasks      counter, http_get, sleep\n",
        "schedules  3 active\n",
    ]
    assert (service.folder / "callsheet-data" / "callsheet.db").is_file()
    assert service.errors == []
    runs = service.items("/v1/instances?schedule=demo-http&state=succeeded")
    assert all(one["outcome"] == "succeeded" for one in runs)
    assert service.stop() == 0


def test_the_demo_is_put_once_and_kept(launch: Any) -> None:
    service = launch("--demo")
    service.post("/v1/schedules/demo-sleep/pause", {"reason": "mine now"})
    before = service.get("/v1/schedules/demo-sleep").body
    service.stop()

    assert launch("--demo").get("/v1/schedules/demo-sleep").body == before


def test_whoever_asks_first_finds_the_whole_demo(launch: Any, until: Any, free_port: int) -> None:
    service = launch("--demo", port=free_port, up=False)

    def first() -> Any:
        with suppress(OSError):
            return service.get("/v1/schedules")
        return None

    assert {item["id"] for item in until(first)["items"]} == {"demo-counter", "demo-http", "demo-sleep"}


def test_every_flag_is_a_variable_too(launch: Any, free_port: int) -> None:
    launch.write_tasks(HELLO)
    (launch.folder / "more.py").write_text("from callsheet import Out, task\n" + OTHER)
    service = launch(
        environment={
            "CALLSHEET_PORT": str(free_port),
            "CALLSHEET_TASKS": "jobs.py, more",
            "CALLSHEET_DATABASE": "sqlite:///here.db",
            "CALLSHEET_DRAIN": "7s",
            "CALLSHEET_NODE": "twelve",
            "CALLSHEET_LOG_FORMAT": "json",
            "CALLSHEET_DEMO": "true",
        }
    )
    assert service.port == free_port
    assert {"hello", "other"} <= {task["name"] for task in service.get("/v1/tasks")["items"]}
    assert (launch.folder / "here.db").is_file()
    assert service.get("/v1/nodes")["items"][0]["name"] == "twelve"
    assert len(service.get("/v1/schedules")["items"]) == 3
    assert service.stop() == 0
    assert service.told("running tasks get 7 s")


def test_a_flag_wins_over_its_variable(launch: Any) -> None:
    service = launch("--node", "flag", environment={"CALLSHEET_NODE": "variable"})
    assert service.get("/v1/nodes")["items"][0]["name"] == "flag"


def run(*command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, **options)


def test_the_console_script_is_the_module(launch: Any) -> None:
    script = Path(sys.executable).with_name("callsheet")
    for command in ([str(script)], [sys.executable, "-m", "callsheet"]):
        done = run(*command, "--version")
        line = f"callsheet {callsheet.__version__} (tzdata {tzdata.__version__})\n"
        assert (done.returncode, done.stdout, done.stderr) == (0, line, "")
    process = subprocess.Popen([script, "serve", "--port", "0"], cwd=launch.folder, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert b"listens on http://127.0.0.1:" in process.stdout.readline()
        process.terminate()
    assert process.returncode == 0


def test_modules_of_the_working_directory_do_not_get_in_the_way(launch: Any) -> None:
    for name in ("web", "storage", "actors", "json", "trio"):
        (launch.folder / f"{name}.py").write_text("raise RuntimeError('this is not yours')\n")
    (launch.folder / "mine.py").write_text("from callsheet import Out, task\n" + HELLO)
    service = launch("--tasks", "mine")
    assert service.over(service.start("hello"))["outputs"] == ["hello"]


# --- from boot to boot ---


def test_a_task_gone_from_the_code_blocks_its_schedules_alone_and_comes_back(launch: Any, until: Any) -> None:
    every = {"trigger": {"every": "1s"}, "input": None}
    service = launch(tasks=HELLO + OTHER)
    assert service.put("/v1/schedules/greets", {"task": "hello", **every}).status == 201
    assert service.put("/v1/schedules/others", {"task": "other", **every}).status == 201
    until(lambda: service.items("/v1/instances?schedule=greets&state=succeeded"))
    assert service.stop() == 0

    without = launch(tasks=OTHER)
    blocked = without.get("/v1/schedules/greets")
    assert (blocked["state"], blocked["state_reason"]) == ("blocked", "task_missing")
    until(lambda: "rejected" in {entry["fate"] for entry in without.items("/v1/schedules/greets/ledger")})
    ran = len(without.items("/v1/instances?schedule=others"))
    until(lambda: len(without.items("/v1/instances?schedule=others")) > ran)
    assert without.stop() == 0

    again = launch(tasks=HELLO + OTHER)
    assert again.get("/v1/schedules/greets")["state"] == "active"
    until(lambda: again.account("greets")[-1]["fate"] == "ran")
    reasons = {entry["reason"] for entry in again.account("greets") if entry["fate"] == "rejected"}
    assert reasons == {"task_missing"}


# --- while it runs ---


def test_a_task_that_blocks_the_loop_is_named_while_it_does(launch: Any) -> None:
    service = launch(tasks=BLOCKING)
    uri = service.start("blocking")
    began = time.monotonic()

    named = service.told("the event loop is blocked", "errors")

    assert time.monotonic() - began < 2.2
    assert f"by instance {uri.rsplit('/', 1)[1]} of blocking at " in named
    assert "jobs.py" in named
    assert service.over(uri)["outcome"] == "succeeded"


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_what_a_task_prints_and_logs_is_in_its_log_and_not_on_the_console(launch: Any, log_format: str) -> None:
    service = launch("--log-format", log_format, tasks=TALKING)
    uri = service.start("talking")
    service.over(uri)
    lines = [(line["level"], line["text"], line["fields"]) for line in service.get(f"{uri}/log")["items"]]
    assert lines == [
        ("print", "printed by a task", {}),
        ("warning", "my.module: logged by a task: 42", {}),
        ("info", "said by a task", {"part": 1}),
    ]
    uri = service.start("talking_thread")
    service.over(uri)
    lines = [(line["level"], line["text"]) for line in service.get(f"{uri}/log")["items"]]
    assert lines == [("print", "printed by a thread"), ("error", "my.module: logged by a thread")]
    service.stop()
    assert not [line for line in service.out + service.errors if "by a t" in line]


def test_log_lines_are_json_where_that_is_asked_for(launch: Any) -> None:
    service = launch("--log-format", "json", tasks=BLOCKING)
    service.start("blocking")
    line = json.loads(service.told("the event loop is blocked", "errors"))
    assert (line["level"], line["logger"]) == ("error", "callsheet.watchdog")
    assert line["at"].endswith("+00:00")


def test_ctrl_c_while_it_starts_leaves_no_traceback(launch: Any, until: Any) -> None:
    launch.write_tasks("open('loading', 'w').close()\ntime.sleep(1)\n" + HELLO)
    service = launch("--tasks", "jobs.py", up=False)
    until((launch.folder / "loading").exists)
    code, _ = service.ended(service.signal(signal.SIGINT))
    assert code in (0, 130)
    assert service.errors == []
