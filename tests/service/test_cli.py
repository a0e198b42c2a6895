"""The command line against the real service: what is printed, where, and with which exit code."""

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

TASKS = """
from msgspec import Struct

class Name(Struct, forbid_unknown_fields=True):
    name: str = "world"
    times: int = 1

@task
async def greet(_in: Name, out: Out[str]) -> None:
    '''Say hello.'''
    for step in range(_in.times):
        await out.progress(step, _in.times, "greeting")
        await out.log("greeting", step=step)
        await out.send(f"Hello, {_in.name}!")

@task
async def bad(_in: None, out: Out[None]) -> None:
    raise ValueError("on purpose")

@task
async def hold(_in: None, out: Out[None]) -> None:
    await trio.sleep_forever()
"""


@pytest.fixture
def service(launch):
    """A service with those tasks."""
    return launch(tasks=TASKS)


@pytest.fixture
def cli(service, run_cli):
    """A function (*words) -> (exit code, standard output, standard error)."""
    return run_cli(service)


def test_tasks_are_listed_and_run(cli):
    assert "greet     name?, times?  Say hello." in cli("task", "ls")[1]
    assert json.loads(cli("task", "get", "greet", "-o", "json")[1])["name"] == "greet"

    code, out, err = cli("task", "run", "greet", "name=Ada", "times=2", "--wait")
    assert (code, out) == (0, '"Hello, Ada!"\n"Hello, Ada!"\n')
    assert "greet succeeded" in err
    assert cli("task", "run", "greet", "--input", '{"name": "Bo"}', "times=1", "--wait")[1] == '"Hello, Bo!"\n'

    code, out, err = cli("task", "run", "greet", "--follow", "times=3", "--tag", "x")
    assert (code, out.count("Hello, world!"), err.count("greeting step=")) == (0, 3, 3)
    assert len(cli("instance", "ls", "--tag", "x", "-o", "name")[1].split()) == 1


def test_exit_codes_say_what_kind_of_failure_it_was(cli, monkeypatch):
    code, out, err = cli("task", "run", "bad", "--wait")
    assert (code, out) == (1, "")
    assert "bad failed after 0 s: ValueError: on purpose" in err
    assert cli("task", "run", "greet", "name=1", "times=x")[0] == 2
    assert cli("task", "run", "greet", "--input", "{")[0] == 2
    code, _, err = cli("schedule", "get", "nope")
    assert (code, err.splitlines()[0]) == (3, "callsheet: There is no schedule 'nope'.")
    assert cli("schedule", "put", "one", "--task", "hold", "--every", "1h")[0] == 0
    running = cli("schedule", "trigger", "one", "-o", "name")[1].strip()
    code, _, err = cli("schedule", "trigger", "one")
    assert (code, f"callsheet instance get {running}" in err) == (4, True)
    assert cli("schedule", "put", "one", "--new", "--task", "hold", "--every", "1h")[0] == 4
    monkeypatch.setenv("CALLSHEET_URL", "http://127.0.0.1:9")
    code, _, err = cli("task", "ls")
    assert (code, "Nobody answers" in err, "callsheet serve" in err) == (5, True, True)


def test_schedules_are_made_shown_and_changed(cli, service):
    assert cli("schedule", "put", "tick", "--task", "greet", "--every", "1h", "name=T", "--tag", "a")[0] == 0
    assert "tick" in cli("schedule", "ls", "--tag", "a")[1]
    whole = cli("schedule", "get", "tick", "-o", "json")[1]
    assert json.loads(whole)["input"] == {"name": "T", "times": 1}

    path = "tick.json"
    (service.folder / path).write_text(whole.replace('"times": 1', '"times": 2'))
    assert cli("schedule", "put", "tick", "-f", path, "--dry-run")[1].splitlines()[1] == "would           update"
    assert cli("schedule", "put", "tick", "-f", path)[0] == 0
    assert json.loads(cli("schedule", "get", "tick", "-o", "json")[1])["version"] == 2

    assert "paused until" in cli("schedule", "pause", "--tag", "a", "--reason", "why", "--until", "+2h")[2]
    assert "paused: why" in cli("schedule", "get", "tick")[1]
    assert "tick is active; next due" in cli("schedule", "resume", "tick")[2]
    assert cli("schedule", "pause")[0] == 2
    assert cli("schedule", "rm", "tick")[0] == 0
    assert cli("schedule", "ls", "-o", "jsonl") == (0, "", "")


def test_due_times_are_shown_left_out_and_made_up_for(cli):
    cli("schedule", "put", "tick", "--task", "greet", "--cron", "0 2 * * *", "--tz", "Europe/Berlin")

    code, out, _ = cli("schedule", "preview", "*/15 9-17 * * mon-fri", "--tz", "Europe/Berlin", "-n", "2")
    assert (code, len(out.splitlines())) == (0, 4)
    assert out.startswith("Every 15 minutes from 09:00 through 17:59")
    assert "(in " in cli("schedule", "upcoming", "-n", "1")[1]
    assert "tick leaves out" in cli("schedule", "skip", "tick", "--count", "2")[2]
    assert cli("schedule", "upcoming", "tick")[1].count("to be skipped") == 2
    assert "leaves out nothing" in cli("schedule", "unskip", "tick")[2]
    assert "3 would be started" in cli("schedule", "backfill", "tick", "--from", "-3d", "--to", "now", "--dry-run")[2]
    assert "3 started" in cli("schedule", "backfill", "tick", "--from", "-3d", "--to", "now")[2]
    assert cli("schedule", "ledger", "tick", "-o", "jsonl")[1].count('"ran"') <= 3
    assert "why" in cli("schedule", "explain", "tick")[1]
    assert cli("schedule", "preview", "--cron", "bad")[0] == 2
    assert cli("schedule", "preview")[0] == 2


def test_runs_are_looked_at_followed_and_cancelled(cli, service):
    held = cli("task", "run", "hold", "-o", "name", "--tag", "h")[1].strip()
    service.running(f"/v1/instances/{held}")
    assert "trio" in cli("instance", "stack", held)[1]
    assert "is told to end" in cli("instance", "cancel", held, "--reason", "enough")[2]
    assert cli("instance", "watch", held)[0] == 1
    assert "enough" in cli("instance", "get", held)[1]
    assert "is over already" in cli("instance", "cancel", held)[2]
    cli("task", "run", "hold", "--tag", "h")
    assert "Cancelled 1." in cli("instance", "cancel", "--tag", "h")[2]

    done = cli("task", "run", "greet", "times=2", "-o", "name")[1].strip()
    assert cli("instance", "watch", done)[0] == 0
    assert cli("instance", "outputs", done, "-f")[1] == '"Hello, world!"\n' * 2
    assert cli("instance", "logs", done, "--follow")[1].count("greeting") == 2
    assert cli("instance", "logs", done, "-o", "jsonl")[1].count('"step":') == 2
    assert cli("instance", "rerun", done, "--follow")[1].count("Hello") == 2
    assert len(cli("instance", "ls", "--limit", "2", "-o", "name")[1].split()) == 2


def test_a_sheet_is_applied_once_and_pruned_of_its_own_only(cli, service):
    sheet = service.folder / "sheet.toml"
    sheet.write_text("""
        name = "jobs"
        defaults = {tags = ["t"], timezone = "Europe/Berlin"}
        [schedules.second]
        task = "greet"
        after = "nightly"
        [schedules.nightly]
        task = "greet"
        cron = "0 2 * * *"
        input = {name = "Ada"}
    """)
    cli("schedule", "put", "mine", "--task", "greet", "--every", "1h", "--tag", "t")

    code, out, err = cli("apply", "-f", str(sheet), "--dry-run")
    assert (code, out.count("create"), "Nothing was changed" in err) == (0, 2, True)
    assert cli("schedule", "ls", "-o", "name")[1] == "mine\n"
    assert "2 of 2 changed." in cli("apply", "-f", str(sheet))[2]
    assert "0 of 2 changed." in cli("apply", "-f", str(sheet))[2]
    assert json.loads(cli("schedule", "get", "nightly", "-o", "json")[1])["tags"] == ["t", "sheet:jobs"]

    sheet.write_text('name = "jobs"\nschedules = {nightly = {task = "greet", cron = "0 3 * * *"}}')
    assert "delete" not in cli("apply", "-f", str(sheet), "--dry-run")[1]
    out = cli("apply", "-f", str(sheet), "--prune", "-o", "jsonl")[1]
    assert [(one["does"], one["id"]) for one in map(json.loads, out.splitlines())] == [
        ("update", "nightly"),
        ("delete", "second"),
    ]
    assert cli("schedule", "ls", "-o", "name")[1] == "mine\nnightly\n"


def test_a_sheet_that_is_wrong_anywhere_changes_nothing(cli, service):
    sheet = service.folder / "sheet.toml"
    sheet.write_text("""
        name = "jobs"
        [schedules.good]
        task = "greet"
        every = "1h"
        [schedules.bad]
        task = "nope"
        cron = "61 * * * *"
    """)
    code, _, err = cli("apply", "-f", str(sheet))
    assert (code, "schedules.bad/task" in err, "schedules.bad/trigger/cron" in err) == (2, True, True)
    assert cli("schedule", "ls", "-o", "name")[1] == ""

    sheet.write_text('name = "jobs"\nschedules = {good = {task = "greet", every = "1h"}}')
    cli("apply", "-f", str(sheet))
    code, _, err = cli("apply", "-f", str(sheet), "--name", "others")
    assert (code, "belongs to sheet:jobs" in err) == (4, True)


CRONTAB = r"""
SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin
CRON_TZ=Europe/Berlin
17 *	* * *	root	cd / && run-parts --report /etc/cron.hourly
30 2 * * 1-5 root	cat%it is \%d%
"""


def test_a_crontab_becomes_schedules_that_run(launch, run_cli):
    service = launch("--allow-commands")
    cli = run_cli(service)
    (service.folder / "crontab").write_text(CRONTAB)

    code, sheet, err = cli("import", "crontab", "crontab", "--system", "--dry-run")
    assert (code, sheet.count("[schedules."), "not as root" in err) == (0, 2, True)
    assert "2 of 2 changed." in cli("import", "crontab", "crontab", "--system")[2]
    assert "0 of 2 changed." in cli("import", "crontab", "crontab", "--system")[2]
    (service.folder / "sheet.toml").write_text(sheet)
    assert "0 of 2 changed." in cli("apply", "-f", "sheet.toml", "--prune")[2]

    listed = [json.loads(line) for line in cli("schedule", "ls", "-o", "jsonl")[1].splitlines()]
    assert all("Europe/Berlin" in one["description"] for one in listed)
    (cat,) = [one["id"] for one in listed if one["input"]["argv"][2] == "cat"]
    assert cli("schedule", "upcoming", cat, "-n", "3", "-o", "jsonl")[1].count("T02:30:00+0") == 3
    started = cli("schedule", "trigger", cat, "-o", "name")[1].strip()
    assert cli("instance", "watch", started)[0] == 0
    (done,) = [json.loads(line)["value"] for line in cli("instance", "outputs", started, "-o", "jsonl")[1].splitlines()]
    assert (done["exit_code"], done["stdout"]) == (0, "it is %d\n")


def test_doctor_and_health_tell_how_it_is(cli, service, monkeypatch):
    assert cli("health")[0] == 0
    assert cli("health", "--live", "--quiet") == (0, "", "")
    code, out, _ = cli("doctor", "--tasks", "jobs.py", "--port", str(service.port), "-o", "jsonl")
    states = {one["what"]: one["state"] for one in map(json.loads, out.splitlines())}
    assert code == 0
    assert states.pop("port") == "warn"
    assert set(states.values()) == {"ok"}

    code, out, _ = cli("doctor", "--tasks", "nowhere.py", "--database", "mysql://x", "-o", "name")
    assert code == 1
    assert {"wrong tasks", "wrong database"} <= set(out.splitlines())
    monkeypatch.setenv("CALLSHEET_URL", "http://127.0.0.1:9")
    assert cli("health")[0] == 1


def test_events_are_printed_where_there_are_some(cli, service):
    cli("task", "run", "greet", "--wait")
    assert '"instance.ended"' in cli("events", "tail", "--after", "0", "--no-follow", "-o", "jsonl")[1]


def on_a_terminal(folder, *words, **environment):
    """Run a command on a terminal of its own; return its exit code and what it showed."""
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "callsheet", *words]
    env = os.environ | {"TERM": "xterm-256color", "COLUMNS": "120"} | environment
    process = subprocess.Popen(command, stdin=child, stdout=child, stderr=child, cwd=folder, env=env)
    os.close(child)
    shown = b""
    with suppress(OSError):  # what Linux says when the other end is closed
        while part := os.read(parent, 65536):
            shown += part
    os.close(parent)
    return process.wait(20), shown.decode()


def test_a_terminal_gets_colours_and_a_bar_and_a_pipe_neither(cli, service):
    cli("task", "run", "bad", "--wait")

    code, shown = on_a_terminal(service.folder, "instance", "ls")
    assert (code, "\x1b[31mfailed" in shown) == (0, True)
    assert "\x1b[31m" not in on_a_terminal(service.folder, "instance", "ls", NO_COLOR="1")[1]
    assert "\x1b" not in cli("instance", "ls")[1]
    run = cli("instance", "ls", "--limit", "1", "-o", "name")[1].strip()
    assert run in on_a_terminal(service.folder, "instance", "ls", COLUMNS="50")[1]  # an id is never broken
    assert "\x1b[31mfailed" in on_a_terminal(service.folder, "instance", "get", run)[1]
    code, shown = on_a_terminal(service.folder, "task", "run", "greet", "--follow")
    assert (code, "\x1b[" in shown, "Hello, world!" in shown) == (0, True, True)


def test_a_reader_that_leaves_is_no_error(cli, service):
    for _ in range(3):
        cli("task", "run", "greet", "--wait")
    command = f"{sys.executable} -m callsheet instance ls -o jsonl | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=service.folder, check=False)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


def test_dev_starts_again_when_a_file_is_saved_and_survives_a_mistake(launch, free_port, until):
    launch.write_tasks(TASKS)
    command = [sys.executable, "-m", "callsheet", "dev", "jobs.py", "--port", str(free_port)]
    log = (launch.folder / "dev.log").open("w+")
    process = subprocess.Popen(command, cwd=launch.folder, env=launch.environment(), stdout=log, stderr=log)
    try:
        service = launch_of(launch, process, free_port)
        assert until(lambda: doc(service) == "Say hello.")
        service.put("/v1/schedules/stays", {"task": "greet", "trigger": {"every": "1h"}})

        launch.write_tasks(TASKS.replace("Say hello", "Say bye"))
        assert until(lambda: doc(service) == "Say bye.")
        assert service.get("/v1/schedules/stays").status == 200

        (launch.folder / "jobs.py").write_text("def (")
        assert until(lambda: "stays as it was" in (launch.folder / "dev.log").read_text())
        assert doc(service) == "Say bye."
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        log.close()


def launch_of(launch, process, port):
    """Return a service that somebody else started."""
    module = sys.modules[type(launch).__module__]
    return module.Service(launch.folder, process, url=f"http://127.0.0.1:{port}")


def doc(service):
    """Return what the task says about itself; None while nobody answers."""
    with suppress(OSError):
        return service.get("/v1/tasks/greet").body["doc"]
