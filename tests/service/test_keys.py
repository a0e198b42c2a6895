"""Keys of the real process: who may listen where, what the command line does, and what survives kill -9."""

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from http.client import HTTPException

import pytest
from attrs import evolve

SECRET = "a-configured-key-of-some-length"
QUICK = """
@task
async def quick(_in: None, out: Out[None]) -> None:
    pass
"""


@pytest.fixture
def token(tmp_path):
    """Return a function that runs `callsheet token …` in the test's folder."""

    def run(*arguments, key=None, **more):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CALLSHEET_")}
        environment |= more if key is None else {"CALLSHEET_TOKEN": key, **more}
        command = [sys.executable, "-m", "callsheet", "token", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    return run


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


def test_with_a_key_it_may_listen_everywhere_and_without_one_it_may_not(launch, tmp_path, token):
    code, said = launch.refused("--host", "0.0.0.0")
    assert code == 78
    assert "callsheet token create" in said
    assert not (tmp_path / "callsheet-data").exists()

    service = launch("--host", "0.0.0.0", environment={"CALLSHEET_API_KEY": SECRET})
    assert service.get("/v1/tasks").status == 401
    service.headers = bearer(SECRET)
    assert service.get("/v1/tasks").status == 200
    assert service.told("keys ").split(None, 1)[1] == "0 tokens, and the configured key\n"
    service.stop()
    assert SECRET not in "".join(service.out + service.errors)

    code, said = launch.refused("--host", "0.0.0.0")  # there is a database now, but no key in it
    assert code == 78
    secret = token("create", "--name", "ada", "--role", "admin").stdout.strip()
    service = launch("--host", "0.0.0.0")
    service.headers = bearer(secret)
    assert service.get("/v1/tokens")["items"][0]["name"] == "ada"


def test_a_wrong_key_in_the_settings_stops_the_start(launch, tmp_path):
    (tmp_path / "key").write_text("short")
    code, said = launch.refused("--api-key-file", "key")

    assert code == 78
    assert "at least 16" in said


def test_tokens_are_made_listed_and_revoked_with_and_without_a_service(launch, token):
    """Without one the command writes itself, beside one it asks it over HTTP: the file is never written by two."""
    nothing = token("list")
    assert (nothing.returncode, "There is no database callsheet-data/callsheet.db" in nothing.stderr) == (78, True)
    made = token("create", "ada", "--role", "admin")
    assert (made.returncode, made.stdout[:4]) == (0, "csk_")
    ada = made.stdout.strip()
    service = launch()
    service.headers = bearer(ada)

    shut = token("create", "bob", "--role", "viewer", "--url", service.url)
    assert (shut.returncode, shut.stdout) == (1, "")
    assert "CALLSHEET_TOKEN" in shut.stderr
    bob = token("create", "--name", "bob", "--role", "viewer", "--expires", "90d", "--url", service.url, key=ada)
    assert bob.returncode == 0, bob.stderr
    assert token("create", "bob", "--role", "viewer", "--url", service.url, key=ada).returncode == 4
    assert token("revoke", "nobody", "--url", service.url, key=ada).returncode == 3
    listed = token("ls", "-o", "jsonl", key=ada, CALLSHEET_URL=service.url).stdout.splitlines()
    assert [one["name"] for one in map(json.loads, listed)] == ["bob", "ada"]

    service.headers = bearer(bob.stdout.strip())
    assert service.get("/v1/tasks").status == 200
    assert token("revoke", "bob", "--url", service.url, key=ada).returncode == 0
    assert service.get("/v1/tasks").status == 401
    service.stop()
    assert token("revoke", "ada").returncode == 0
    assert [line.split()[2] for line in token("list").stdout.splitlines()[1:]] == ["revoked", "revoked"]


def test_the_service_that_holds_the_database_is_asked_and_no_other(launch, token, tmp_path):
    """Settings that lead to the database lead to its service, too, with the key that it was given."""
    service = launch(environment={"CALLSHEET_API_KEY": SECRET})
    made = token("create", "ada", "--role", "viewer", CALLSHEET_PORT=str(service.port), CALLSHEET_API_KEY=SECRET)
    assert (made.returncode, service.url in made.stderr) == (0, True), made.stderr
    assert token("list", CALLSHEET_PORT=str(service.port)).returncode == 1
    lost = token("list", CALLSHEET_PORT="9", CALLSHEET_API_KEY=SECRET)
    assert (lost.returncode, "is held by process" in lost.stderr) == (5, True)
    service.stop()

    away = token("list", "--url", "http://127.0.0.1:9")  # never our own database in the place of a service far away
    assert (away.returncode, away.stdout, "--database" in away.stderr) == (5, "", True)
    ours = token("list", "-o", "name", "--database", "sqlite:///callsheet-data/callsheet.db", CALLSHEET_URL="http://a/")
    assert (ours.returncode, ours.stdout) == (0, "ada\n")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "callsheet.toml").write_text('database = "sqlite:///callsheet-data/callsheet.db"')
    assert token("list", "-o", "name", "--config", "elsewhere/callsheet.toml").stdout == "ada\n"


def test_on_postgresql_the_command_line_does_the_same(launch, token, postgres_url):
    database = ("--database", postgres_url)
    ada = token("create", "ada", "--role", "admin", *database).stdout.strip()
    service = launch(*database)
    service.headers = bearer(ada)
    assert service.get("/v1/tasks").status == 200
    bob = token("create", "bob", "--role", "viewer", *database, "--url", service.url, key=ada)
    assert (bob.returncode, bob.stdout[:4]) == (0, "csk_")
    service.stop()

    assert token("revoke", "ada", *database).returncode == 0
    listed = token("list", *database).stdout.splitlines()
    assert [line.split()[:3] for line in listed[1:]] == [["bob", "viewer", "active"], ["ada", "admin", "revoked"]]


def test_what_came_with_an_idempotency_key_is_done_once_over_kill_9(launch, until):
    """Clients that retry until they are answered, while the process is killed again and again."""
    dice, done, stop = random.Random(11), {}, threading.Event()
    current = [launch(tasks=QUICK)]
    port = current[0].port
    clients = [threading.Thread(target=insist, args=(current, str(number), done, stop)) for number in range(8)]
    for one in clients:
        one.start()
    for _ in range(4):
        time.sleep(dice.uniform(0.2, 0.6))
        current[0].process.kill()
        current[0].ended()
        current[0] = launch(tasks=QUICK, port=port)
    until(lambda: len(done) > 50)
    stop.set()
    for one in clients:
        one.join()

    found = Counter(item["tags"][0] for item in current[0].items("/v1/instances"))
    assert set(found.values()) == {1}
    assert found.keys() >= done.keys()
    assert {key: send(current[0], key)["id"] for key in list(done)[:20]} == {key: done[key] for key in list(done)[:20]}
    audited = [entry for entry in current[0].items("/v1/audit") if entry["action"] == "instance.start"]
    assert len(audited) == found.total()


def insist(current, name, done, stop):
    """Start one instance after another, each under a key of its own, and ask for each until it is answered."""
    count = 0
    while not stop.is_set():
        key = f"{name}-{count}"
        try:
            answer = send(current[0], key)
        except (OSError, HTTPException, ValueError):
            time.sleep(0.01)
            continue
        if answer.status == 202:
            done[key] = answer["id"]
            count += 1


def send(service, key):
    """Start an instance under an idempotency key, which is its tag, too."""
    one = evolve(service, headers={"Idempotency-Key": key})
    return one.post("/v1/instances", {"task": "quick", "tags": [key]})
