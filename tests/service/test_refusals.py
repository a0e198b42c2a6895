"""What the service does not start with, or does not go on with, and the one sentence that it says then."""

import http.client
import re
import socket
import sqlite3
import subprocess
from contextlib import closing, suppress
from typing import Any

import pytest

from tests.service.sources import DEAF, HELLO

ENDLESS = f"""
{DEAF}
@task
def threaded(_in: None, out: Out[None]) -> None:
    time.sleep(60)
"""


def assert_one_sentence(said: str, *parts: str) -> None:
    assert re.fullmatch(r"callsheet: .+[.?]\n", said), said
    for part in parts:
        assert part in said


@pytest.mark.parametrize(
    ("flags", "environment", "parts"),
    [
        (["--host", "0.0.0.0"], {}, ["0.0.0.0", "--insecure-no-auth"]),
        (["--drain", "soon"], {}, ["--drain", "'soon'"]),
        (["--http-allow", "everything"], {}, ["--http-allow", "'everything'"]),
        (["--database", "mysql://x"], {}, ["sqlite:///PATH", "'mysql://x'"]),
        (["--database", "postgresql://me:secret@127.0.0.1:1/x"], {}, ["postgresql://me@127.0.0.1:1/x"]),
        (["--database", "sqlite:///."], {}, ["is a folder"]),
        (["--database", "sqlite:////dev/null/x.db"], {}, ["/dev/null"]),
        (["--tasks", "nowhere.py"], {}, ["nowhere.py", "no such file"]),
        (["--tasks", "json"], {}, ["--tasks json", "no task"]),
        ([], {"CALLSHEET_PORT": "http"}, ["CALLSHEET_PORT", "'http'"]),
        ([], {"CALLSHEET_LOG_FORMAT": "xml"}, ["CALLSHEET_LOG_FORMAT", "console, json"]),
        ([], {"CALLSHEET_DEMO": "perhaps"}, ["CALLSHEET_DEMO", "true or false"]),
    ],
)
def test_a_wrong_setting_is_refused_in_one_sentence(
    launch: Any, flags: list[str], environment: dict[str, str], parts: list[str]
) -> None:
    code, said = launch.refused(*flags, environment=environment)
    assert code == 78
    assert_one_sentence(said, *parts)
    assert "secret" not in said


def test_an_unknown_flag_is_refused_with_the_usage(launch: Any) -> None:
    code, said = launch.refused("--colour")
    assert code == 2
    assert "usage: callsheet" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("import nothing_like_it", ["ModuleNotFoundError", "nothing_like_it", "line"]),
        ("def (", ["jobs.py, line"]),
        ("@task\nasync def wrong(x, y, z): pass", ["wrong"]),
        ("raise SystemExit(0)", ["SystemExit"]),
    ],
)
def test_a_broken_task_file_is_refused_in_one_sentence(launch: Any, code: str, parts: list[str]) -> None:
    status, said = launch.refused(tasks=code)
    assert status == 78
    assert_one_sentence(said, "jobs.py", *parts)


def test_a_port_in_use_is_refused(launch: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code, said = launch.refused(port=port)
    assert code == 78
    assert_one_sentence(said, f"Cannot listen on 127.0.0.1, port {port}", "in use")


def test_a_second_process_on_the_same_file_is_refused_and_told_who_holds_it(launch: Any) -> None:
    first = launch()
    code, said = launch.refused()
    assert code == 78
    assert_one_sentence(said, f"process {first.process.pid} on {socket.gethostname()}", "callsheet.db")
    assert re.search(r"since 20\d\d-\d\d-\d\dT[0-9:.]+Z", said)
    assert first.get("/readyz").status == 200


def test_a_second_process_on_the_same_postgresql_is_refused(launch: Any, postgres_url: str) -> None:
    first = launch("--database", postgres_url)
    code, said = launch.refused("--database", postgres_url)
    assert code == 78
    assert_one_sentence(said, f"process {first.process.pid}", "since 20")


def test_a_folder_that_cannot_be_written_is_refused(launch: Any, mounted: Any) -> None:
    folder = mounted("ro,size=1m")
    code, said = launch.refused("--database", f"sqlite:///{folder}/callsheet.db")
    assert code == 78
    assert_one_sentence(said, str(folder), "Read-only")


def test_a_file_that_cannot_be_written_is_refused(launch: Any, mounted: Any) -> None:
    folder = mounted("size=4m")
    url = f"sqlite:///{folder}/callsheet.db"
    assert launch("--database", url).stop() == 0
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    code, said = launch.refused("--database", url)
    assert code == 78
    assert_one_sentence(said, str(folder))


def test_a_damaged_database_is_refused_and_left_as_it_is(launch: Any) -> None:
    service = launch(tasks=HELLO)
    for _ in range(20):
        service.over(service.start("hello"))
    assert service.stop() == 0
    path = service.folder / "callsheet-data" / "callsheet.db"
    whole = path.read_bytes()
    middle = len(whole) // 8192 * 4096
    with closing(sqlite3.connect(service.folder / "recipes")) as connection:
        connection.execute("CREATE TABLE recipe (name TEXT)")

    for damaged in (
        whole[: len(whole) // 2],
        whole[:middle] + b"\xff" * 8192 + whole[middle + 8192 :],
        b"dear diary\n" * 100,
        (service.folder / "recipes").read_bytes(),
    ):
        path.write_bytes(damaged)
        code, said = launch.refused()
        assert code == 78
        assert_one_sentence(said, str(path))
        assert path.read_bytes() == damaged


# --- giving up ---


def change_beneath(service: Any, sql: str) -> None:
    with closing(sqlite3.connect(service.folder / "callsheet-data" / "callsheet.db", timeout=10)) as connection:
        connection.execute(sql)
        connection.commit()


def test_a_part_that_keeps_failing_ends_the_process_with_the_reason(launch: Any) -> None:
    service = launch()
    document = {"task": "sleep", "trigger": {"every": "1s"}, "input": {"seconds": 0}}
    assert service.put("/v1/schedules/s", document).status == 201
    change_beneath(service, "ALTER TABLE schedule RENAME TO mislaid")

    code, _ = service.ended()

    assert code == 70
    assert service.errors[-1].startswith("callsheet: The scheduler crashed 6 times within 60 s, at last by ")


def test_a_node_whose_row_is_gone_ends_with_the_reason(launch: Any) -> None:
    service = launch()
    change_beneath(service, "DELETE FROM node")
    with suppress(OSError, http.client.HTTPException):
        service.post("/v1/instances", {"task": "sleep", "input": {"seconds": 0}})

    code, _ = service.ended()

    assert code == 70
    assert_one_sentence(service.errors[-1], "database", "node")


def test_giving_up_does_not_wait_for_tasks_that_do_not_end(launch: Any) -> None:
    service = launch(tasks=ENDLESS)
    for task in ("deaf", "threaded"):
        service.running(service.start(task))
    change_beneath(service, "DELETE FROM node")
    with suppress(OSError, http.client.HTTPException):
        service.post("/v1/instances", {"task": "sleep", "input": {"seconds": 0}})

    code, took = service.ended()

    assert (code, took < 5) == (70, True)
    assert_one_sentence(service.errors[-1], "database", "node")
