"""When the database cannot write, the API says so at once, loses nothing it acknowledged, and goes on by itself."""

import ctypes
import os
import sqlite3
from contextlib import closing, contextmanager

import pytest
import trio
from pony import orm

from storage import sqlite_file

EVERY = {"task": "quick", "trigger": {"every": "10s"}}
A = "/v1/schedules/a"


@pytest.fixture
async def impatient(serving, tmp_path, monkeypatch):
    """The service on a database that waits 20 ms for a lock, and not 5 s."""
    set_up = sqlite_file.set_up_connection

    def set_up_impatiently(connection):
        set_up(connection)
        connection.execute("PRAGMA busy_timeout = 20")

    monkeypatch.setattr(sqlite_file, "set_up_connection", set_up_impatiently)
    async with serving(f"sqlite:///{tmp_path}/api.db") as api:
        yield api


@contextmanager
def locked(path):
    """Hold the write lock of a SQLite file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_while_another_holds_the_database_changes_are_put_off_and_reads_go_on(impatient, tmp_path):
    api = impatient
    await api.put(A, json=EVERY)
    with locked(tmp_path / "api.db"):
        changes = [
            api.put(A, json=EVERY | {"jitter": 1}), api.patch(A, json={"jitter": 1}), api.post(f"{A}/pause"),
            api.delete(A), api.post("/v1/instances", json={"task": "quick"}), api.post(f"{A}/trigger"),
        ]  # fmt: skip
        for change in changes:
            response = await change
            assert api.problem(response, 503)["type"] == "/problems/unavailable"
            assert int(response.headers["Retry-After"]) >= 1
        assert (await api.get(A)).json()["version"] == 1
        api.problem(await api.get("/readyz"), 503)
        assert (await api.get("/livez")).status_code == 200

    await api.over(await api.start("quick"))
    assert (await api.get("/readyz")).status_code == 200
    assert len((await api.get("/v1/instances")).json()["items"]) == 1


async def test_an_end_that_cannot_be_written_down_is_written_down_later(impatient, tmp_path):
    api = impatient
    uri = await api.start("say", input={"text": "x", "times": 5})
    with locked(tmp_path / "api.db"):
        assert (await api.get(uri)).json()["state"] in ("running", "succeeded")
        api.problem(await api.post(f"{uri}/rerun"), 503)
    over = await api.over(uri)
    assert (over["outcome"], over["outputs"]) == ("succeeded", ["x"] * 5)


async def test_a_full_database_is_told_as_such(api):
    """Told by SQLite itself: a limit of pages stands for the disk."""
    await api.put(A, json=EVERY)
    await api.door.write(limit_pages, api.database, 1)
    large = {
        "task": "say",
        "input": {"text": "x"},
        "trigger": {"cron": "0 2 * * *"},
        "tags": [f"t{n}" for n in range(20)],
    }
    for number in range(1000):
        response = await api.put(f"/v1/schedules/{'s' * 100}{number}", json=large)
        if response.status_code != 201:
            break
    assert api.problem(response, 507)["type"] == "/problems/storage-full"
    assert int(response.headers["Retry-After"]) >= 1
    api.problem(await api.get("/readyz"), 503)
    assert (await api.get(A)).json()["version"] == 1

    await api.door.write(limit_pages, api.database, 1_000_000)
    assert (await api.put(f"/v1/schedules/{'s' * 100}{number}", json=large)).status_code == 201
    assert (await api.get("/readyz")).status_code == 200
    assert len(await api.walk("/v1/schedules", limit=200)) == number + 2


def limit_pages(database, most):
    """Let the writer's connection use so many pages, but never fewer than there are."""
    with orm.db_session:
        database.db.get_connection().execute(f"PRAGMA max_page_count = {most}")


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, b"size=2m"):
        pytest.skip(f"mounting a small disk is not permitted here: {os.strerror(ctypes.get_errno())}")
    yield folder
    libc.umount2(os.fsencode(folder), 2)  # MNT_DETACH


async def test_when_the_disk_is_full_nothing_acknowledged_is_lost_and_it_goes_on_once_there_is_room(
    serving, small_disk
):
    async with serving(f"sqlite:///{small_disk}/api.db") as api:
        uri = await api.start("sleep", input={"seconds": 0.1})
        fill(small_disk / "ballast")
        acknowledged = []
        with trio.fail_after(10):
            while (response := await api.post("/v1/instances", json={"task": "quick"})).status_code == 202:
                acknowledged.append(response.headers["Location"])
        api.problem(response, 507)
        assert (await api.get(uri)).status_code == 200
        await trio.sleep(0.15)  # the sleeper ends meanwhile, and cannot say so
        api.problem(await api.post("/v1/instances", json={"task": "quick"}), 507)

        (small_disk / "ballast").unlink()
        assert (await api.over(uri))["outcome"] == "succeeded"
        for one in acknowledged:
            assert (await api.over(one))["outcome"] == "succeeded"
        await api.over(await api.start("quick"))
        assert len(await api.walk("/v1/instances", limit=200)) == len(acknowledged) + 2


def fill(path):
    """Write a file until there is no room left."""
    with path.open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4096))
        except OSError:
            return
