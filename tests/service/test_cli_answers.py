"""What the command line says when something was done, was wrong, or is not there."""

import json

import pytest

TASKS = """
from msgspec import Struct

class Name(Struct, forbid_unknown_fields=True):
    name: str = "world"

@task
async def greet(_in: Name, out: Out[str]) -> None:
    await out.send(f"Hello, {_in.name}!")

@task
async def bad(_in: None, out: Out[None]) -> None:
    raise ValueError("on purpose")

@task
async def hold(_in: None, out: Out[None]) -> None:
    await trio.sleep_forever()
"""


@pytest.fixture
def cli(launch, run_cli):
    """A function (*words) -> (exit code, standard output, standard error)."""
    return run_cli(launch(tasks=TASKS))


def test_what_was_done_is_told_to_programs_as_it_is_to_people(cli):
    for name in ("one", "two"):
        cli("schedule", "put", name, "--task", "hold", "--every", "1h", "--tag", "t")
    paused = json.loads(cli("schedule", "pause", "--tag", "t", "--reason", "why", "-o", "json")[1])
    assert [(one["id"], one["state"], one["state_reason"]) for one in paused] == [
        ("one", "paused", "why"),
        ("two", "paused", "why"),
    ]
    resumed = cli("schedule", "resume", "one", "two", "-o", "jsonl")[1].splitlines()
    assert [json.loads(line)["state"] for line in resumed] == ["active", "active"]
    assert len(json.loads(cli("schedule", "skip", "one", "--count", "2", "-o", "json")[1])["skips"]) == 2

    running = cli("schedule", "trigger", "two", "-o", "name")[1].strip()
    code, out, err = cli("schedule", "trigger", "one", "two")  # the first was started although the second was refused
    assert (code, len(out.splitlines()), running in err) == (4, 2, True)
    cancelled = json.loads(cli("instance", "cancel", running, "-o", "json")[1])
    assert [one["id"] for one in cancelled] == [running]
    assert json.loads(cli("instance", "cancel", "--tag", "t", "-o", "json")[1]) == [{"count": 1}]
    assert cli("schedule", "rm", "one", "two", "-o", "name")[:2] == (0, "one\ntwo\n")


def test_a_run_by_hand_may_have_another_input_and_be_followed(cli):
    cli("schedule", "put", "hello", "--task", "greet", "--every", "1h", "name=Ada")

    code, out, err = cli("schedule", "trigger", "hello", "--input", '{"name": "Bo"}', "--follow")
    assert (code, out, "greet succeeded" in err) == (0, '"Hello, Bo!"\n', True)
    assert cli("schedule", "trigger", "hello", "hello", "--follow")[0] == 2


def test_times_are_given_alike_everywhere(cli):
    code, _, err = cli("schedule", "put", "later", "--task", "hold", "--at", "+90m")
    assert (code, "(in 1 h)" in err) == (0, True)
    assert "nothing more" not in cli("schedule", "put", "then", "--task", "hold", "--after", "later")[2]
    assert cli("schedule", "put", "phase", "--task", "hold", "--every", "1h", "--anchor", "2026-01-01 00:30")[0] == 0
    assert cli("schedule", "preview", "--at", "2099-01-01 00:00")[0] == 0
    assert "Nothing is due" in cli("schedule", "preview", "--at", "2001-01-01 00:00")[2]


def test_where_a_run_failed_is_shown(cli):
    code, _, err = cli("task", "run", "bad", "--wait")
    assert (code, "ValueError: on purpose" in err) == (1, True)
    run = cli("instance", "ls", "--task", "bad", "-o", "name")[1].strip()
    shown = cli("instance", "get", run)[1]
    assert "\ntraceback  Traceback (most recent call last):\n" in shown
    assert "\n           ValueError: on purpose\n" in shown  # further lines stand below the first


def test_what_is_not_there_is_said_and_what_to_do_about_it(cli):
    for words in (["schedule", "ls"], ["instance", "ls"], ["webhook", "ls"], ["schedule", "upcoming"]):
        code, out, err = cli(*words)
        assert (code, out, len(err.splitlines())) == (0, "", 1)
    for kind in ("schedule", "task", "webhook", "instance"):
        code, _, err = cli(kind, "get", "nope")
        assert (code, f"`callsheet {kind} ls` shows what there is." in err) == (3, True)
    code, _, err = cli("events", "tail", "--after", "999999", "--no-follow")
    assert (code, "--after 0" in err) == (3, True)


def test_each_wrong_field_has_a_line_and_the_input_a_hint(cli, tmp_path):
    code, _, err = cli("schedule", "put", "x", "--task", "nope", "--every", "0.1s")
    assert (code, [line.split(": ")[1] for line in err.splitlines()]) == (2, ["/task", "/trigger/every"])
    code, _, err = cli("task", "run", "greet", "nme=Ada")
    assert (code, "/input/nme" in err, "callsheet task get" in err) == (2, True, True)
    with pytest.raises(SystemExit, match="2"):
        cli("instance", "ls", "--limit", "-3")
    (tmp_path / "sheet.toml").write_text('name = "x"\nschedules = {a = {every = "1h"}}')
    code, _, err = cli("apply", "-f", "sheet.toml")
    assert (code, "schedules.a/task: is missing" in err) == (2, True)
    code, _, err = cli("apply", "-f", "nowhere.toml")
    assert (code, err) == (2, "callsheet: nowhere.toml: No such file or directory.\n")


def test_a_plan_can_be_read_by_programs(cli, tmp_path):
    (tmp_path / "sheet.toml").write_text("""
        name = "x"
        [schedules.a]
        task = "hold"
        every = "1h"
        [schedules.b]
        task = "hold"
        after = "a"
    """)
    first, second = json.loads(cli("apply", "-f", "sheet.toml", "--dry-run", "-o", "json")[1])
    assert (first["does"], first["appearing"], len(first["appear"])) == ("create", 168, 168)
    assert (second["does"], second["when"], second["appear"]) == ("create", "When a run of a succeeds", [])
    text = (tmp_path / "sheet.toml").read_text()
    (tmp_path / "sheet.toml").write_text(text + 'on = "never"\n')
    code, _, err = cli("apply", "-f", "sheet.toml")
    assert (code, "schedules.b/trigger/on" in err, cli("schedule", "ls", "-o", "name")[1]) == (2, True, "")


def test_probes_speak_in_words(cli, monkeypatch):
    assert cli("health")[2].endswith("/readyz: ready\n")
    assert cli("health", "--live")[2].endswith("/livez: ok\n")
    code, _, err = cli("health", "--url", "http://127.0.0.1:9")
    assert (code, "nobody answers: Connection refused" in err) == (1, True)
    monkeypatch.setenv("CALLSHEET_API_KEY_FILE", "nowhere")
    assert "wrong settings" in cli("doctor", "-o", "name")[1]
