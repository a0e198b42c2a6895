"""Worker processes, simulations and programs of the real service: none outlives it, however it ends."""

import http.client
import json
import os
import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

TASKS = """
import re, subprocess, sys

def note(name, pid=None):
    with open(name + ".new", "w") as file:
        file.write(str(pid or os.getpid()))
    os.rename(name + ".new", name)

@task(isolate="process")
async def busy(_in: str, out: Out[None]) -> None:
    note("child", subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid)
    note("body")
    if _in == "lock":
        re.match("(a*)*b", "a" * 40)
    while True:
        pass

@task(isolate="process")
async def quick(_in: None, out: Out[int]) -> None:
    await out.send(os.getpid())

@task
async def holds_the_loop(_in: None, out: Out[None]) -> None:
    await trio.sleep(0.1)
    note("held")
    time.sleep(60)
"""


def alive(pid: int) -> bool:
    """Tell whether a process is there and not a mere entry in the table."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def noted(service: Any, until: Any, *names: str) -> list[int]:
    """Return the numbers of processes that a body has noted."""
    until(lambda: all((service.folder / name).exists() for name in names))
    return [int((service.folder / name).read_text()) for name in names]


def descendants(pid: int) -> list[int]:
    """Return the numbers of all that a process started, and of what these did."""
    found = [pid]
    for parent in found:
        for listing in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, listing.read_text().split())
    return found[1:]


def idle_worker(service: Any) -> int:
    """Have a worker process started that then has nothing to do; return its number."""
    return int(service.over(service.start("quick"))["outputs"][0])


@pytest.mark.parametrize("how", ["python", "lock"])
def test_kill_9_of_the_service_leaves_no_worker_behind(launch: Any, until: Any, how: str) -> None:
    service = launch(tasks=TASKS)
    pids = [idle_worker(service)]
    uris = [service.start("busy", input=how)]
    pids += noted(service, until, "body", "child")
    pids += [idle_worker(service)]
    assert all(map(alive, pids))

    service.ended(service.signal(signal.SIGKILL))

    until(lambda: not any(map(alive, pids)), within=5)
    assert launch(tasks=TASKS).get(uris[0])["outcome"] == "lost"


def test_kill_9_of_the_service_leaves_no_simulation_behind(launch: Any, until: Any) -> None:
    service = launch()
    often = {f"s{n}": {"task": "sleep", "input": {"seconds": 1}, "trigger": {"every": 1}} for n in range(2)}
    with closing(http.client.HTTPConnection("127.0.0.1", service.port)) as asking:
        body = json.dumps({"to": "5d", "schedules": often})
        asking.request("POST", "/v1/simulate", body, {"Content-Type": "application/json"})
        halves = min(2, os.cpu_count() or 1)
        until(lambda: len(descendants(service.process.pid)) == halves)
        pids = descendants(service.process.pid)

        service.ended(service.signal(signal.SIGKILL))

    until(lambda: not any(map(alive, pids)), within=5)


def test_a_simulation_that_the_stop_comes_upon_is_answered_so(launch: Any, until: Any) -> None:
    service = launch("--drain", "1s")
    often = {"often": {"task": "sleep", "input": {"seconds": 1}, "trigger": {"every": 1}}}
    with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)) as asking:
        body = json.dumps({"to": "5d", "schedules": often})
        asking.request("POST", "/v1/simulate", body, {"Content-Type": "application/json"})
        until(lambda: descendants(service.process.pid))
        service.signal(signal.SIGINT)
        answer = asking.getresponse()
        assert (answer.status, json.loads(answer.read())["detail"]) == (503, "The service is stopping.")
    assert service.ended()[0] == 0


def test_the_stop_interrupts_a_busy_worker_and_leaves_none(launch: Any, until: Any) -> None:
    service = launch("--drain", "0.2s", tasks=TASKS)
    pids = [idle_worker(service)]
    uri = service.start("busy", input="lock")
    pids += noted(service, until, "body", "child")

    assert service.stop() == 0

    until(lambda: not any(map(alive, pids)), within=1)
    assert "busy  interrupted" in "".join(service.out)
    assert launch(tasks=TASKS).get(uri)["outcome"] == "interrupted"


def test_a_service_that_ends_by_force_leaves_no_worker(launch: Any, until: Any) -> None:
    service = launch("--drain", "0.2s", tasks=TASKS)
    service.start("busy", input="python")
    pids = noted(service, until, "body", "child")
    service.start("holds_the_loop")
    noted(service, until, "held")

    service.stop()

    assert "stopped by force" in "".join(service.out)
    until(lambda: not any(map(alive, pids)), within=1)


def test_a_cancelled_worker_is_gone_at_once_over_http(launch: Any, until: Any) -> None:
    service = launch(tasks=TASKS)
    uri = service.start("busy", input="python")
    pids = noted(service, until, "body", "child")
    stack = service.get(f"{uri}/stack")
    assert any("jobs.py" in line and line.endswith("in busy") for line in stack["frames"]), stack

    assert service.post(f"{uri}/cancel").status == 202

    assert service.over(uri)["outcome"] == "cancelled"
    assert not any(map(alive, pids))


# --- the task `command` ---

STUBBORN = """
trap '' TERM
echo $$ > body.new; mv body.new body
sleep 60 & echo $! > child.new; mv child.new child
while true; do sleep 0.1; done
"""


def test_without_leave_there_is_no_command_and_it_says_how_to_get_it(launch: Any) -> None:
    service = launch()
    answers = [
        service.post("/v1/instances", {"task": "command", "input": {"argv": ["true"]}}),
        service.post("/v1/instances/batch", {"items": [{"task": "command", "input": {"argv": ["true"]}}]}),
    ]

    assert [answer.status for answer in answers] == [404, 422]
    assert all("--allow-commands" in str(answer.body) for answer in answers)
    assert "command" not in {one["name"] for one in service.items("/v1/tasks")}


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_with_leave_it_runs_programs(launch: Any, how: str) -> None:
    flags = ["--allow-commands"] if how == "flag" else []
    service = launch(*flags, environment={} if flags else {"CALLSHEET_ALLOW_COMMANDS": "true"})
    argv = ["sh", "-c", "echo out; echo $CALLSHEET_INSTANCE; echo wrong >&2; exit 3"]
    uri = service.start("command", input={"argv": argv})

    seen = service.over(uri)
    assert (seen["outcome"], seen["error"]["type"]) == ("failed", "CommandFailed")
    assert seen["error"]["message"] == "sh exited with code 3:\nwrong"
    assert seen["outputs"][0]["exit_code"] == 3
    log = {(line["level"], line["text"]) for line in service.items(f"{uri}/log")}
    assert log == {("stdout", "out"), ("stdout", uri.rsplit("/", 1)[1]), ("stderr", "wrong")}
    assert "command" in {one["name"] for one in service.items("/v1/tasks")}


def test_a_schedule_of_commands_is_blocked_while_they_are_not_allowed(launch: Any) -> None:
    service = launch("--allow-commands")
    definition = {"task": "command", "input": {"argv": ["true"]}, "trigger": {"every": "1h"}}
    assert service.put("/v1/schedules/clean", definition).status == 201
    service.stop()

    service = launch()
    schedule = service.get("/v1/schedules/clean")
    assert (schedule["state"], schedule["state_reason"]) == ("blocked", "task_missing")


@pytest.mark.parametrize("how", ["cancel", "stop", "kill"])
def test_a_program_that_ignores_sigterm_ends_with_its_run_and_with_the_service(
    launch: Any, until: Any, how: str
) -> None:
    service = launch("--allow-commands", "--drain", "0.1s")
    uri = service.start("command", input={"argv": ["sh", "-c", STUBBORN], "cwd": str(service.folder)})
    pids = noted(service, until, "body", "child")

    if how == "cancel":
        service.post(f"{uri}/cancel")
        assert service.over(uri)["outcome"] == "cancelled"
    else:
        service.ended(service.signal(signal.SIGKILL if how == "kill" else signal.SIGTERM))

    until(lambda: not any(map(alive, pids)), within=1)
    if how != "cancel":
        again = launch("--allow-commands")
        assert again.get(uri)["outcome"] == ("lost" if how == "kill" else "interrupted")


def test_the_command_of_a_one_file_binary_starts_a_worker(launch: Any) -> None:
    binary = launch.folder / "callsheet"
    binary.write_text(f"#!{sys.executable}\nimport sys\nfrom callsheet.cli import main\nsys.exit(main())\n")
    binary.chmod(0o755)
    service = launch(tasks=f"import sys\nsys.frozen, sys.executable = True, {str(binary)!r}\n" + TASKS)

    seen = service.over(service.start("quick"))
    assert (seen["outcome"], seen["error"]) == ("succeeded", None)
