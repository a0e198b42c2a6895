"""`Prefer: wait`: the answer waits for the instance, is woken by its end, and leaves nothing behind."""

import json
import sqlite3
from contextlib import closing

import pytest
import trio

from web.waits import LONGEST_WAIT

EVERY = {"task": "quick", "trigger": {"every": "10s"}}


def wait(seconds):
    return {"Prefer": f"wait={seconds}"}


async def test_a_start_that_ends_in_time_is_answered_with_the_finished_instance(api_on_each):
    api = api_on_each
    answer = await api.post("/v1/instances", json={"task": "say", "input": {"text": "hi"}}, headers=wait(20))

    assert answer.status_code == 200
    assert answer.headers["Preference-Applied"] == "wait=20"
    found = answer.json()
    assert (found["outcome"], found["outputs"]) == ("succeeded", ["hi"])
    assert answer.headers["Location"] == found["uri"]


async def test_a_failure_is_an_end_too(api):
    answer = await api.post("/v1/instances", json={"task": "failing"}, headers=wait(20))

    assert answer.status_code == 200
    assert answer.json()["outcome"] == "failed"


async def test_triggers_and_reruns_wait_as_well(api):
    await api.put("/v1/schedules/a", json=EVERY)
    triggered = await api.post("/v1/schedules/a/trigger", headers=wait(20))
    rerun = await api.post(f"{triggered.json()['uri']}/rerun", headers=wait(20))

    assert [answer.status_code for answer in (triggered, rerun)] == [200, 200]
    assert [answer.json()["cause"] for answer in (triggered, rerun)] == ["manual", "rerun"]


async def test_what_does_not_end_in_time_is_answered_202(api):
    answer = await api.post("/v1/instances", json={"task": "sleeper"}, headers=wait(1))

    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "wait=1"
    assert answer.json().keys() == {"id", "uri", "task"}
    assert api.site.room.waiting == 0


@pytest.mark.parametrize(
    "prefer", ["wait=0", "wait", "wait=x", "wait=-1", "respond-async", "wait=1.5", "handling=strict"]
)
async def test_what_is_no_wait_is_ignored(api, prefer):
    with trio.fail_after(5):
        answer = await api.post("/v1/instances", json={"task": "sleeper"}, headers={"Prefer": prefer})

    assert answer.status_code == 202
    assert "Preference-Applied" not in answer.headers


@pytest.mark.parametrize("prefer", ['respond-async, wait="20"', "WAIT = 20;x=1, wait=0", "wait=999999"])
async def test_the_first_wait_counts_and_the_longest_is_a_minute(api, prefer):
    answer = await api.post("/v1/instances", json={"task": "quick"}, headers={"Prefer": prefer})

    assert answer.status_code == 200
    assert answer.headers["Preference-Applied"] in ("wait=20", f"wait={LONGEST_WAIT}")


async def test_a_request_that_comes_again_waits_for_the_same_instance(api):
    headers = wait(20) | {"Idempotency-Key": "k"}
    first = await api.post("/v1/instances", json={"task": "quick"}, headers=headers)
    second = await api.post("/v1/instances", json={"task": "quick"}, headers=headers)

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert second.headers["Idempotency-Replayed"] == "true"


async def test_a_request_that_comes_again_when_its_instance_is_no_more_gets_the_stored_answer(api, tmp_path):
    headers = wait(20) | {"Idempotency-Key": "k"}
    first = await api.post("/v1/instances", json={"task": "quick"}, headers=headers)
    with closing(sqlite3.connect(tmp_path / "api.db")) as connection, connection:
        connection.execute("DELETE FROM instance")
    second = await api.post("/v1/instances", json={"task": "quick"}, headers=headers)

    assert (first.status_code, second.status_code) == (200, 202)
    assert first.json()["id"] == second.json()["id"]


async def test_a_cancelled_instance_wakes_all_who_wait_for_it(api):
    answers = []

    async def start(key):
        headers = wait(30) | {"Idempotency-Key": "same"}
        while (answer := await api.post("/v1/instances", json={"task": "sleeper"}, headers=headers)).status_code == 409:
            await trio.sleep(0.02)
        answers.append(answer)

    with trio.fail_after(15):
        async with trio.open_nursery() as nursery:
            for key in range(20):
                nursery.start_soon(start, key)
            while api.site.room.waiting < 20:
                await trio.sleep(0.005)
            await api.post("/v1/instances/cancel", json={"task": "sleeper"})

    assert {(answer.status_code, answer.json()["outcome"]) for answer in answers} == {(200, "cancelled")}
    assert api.site.room.waiting == 0


async def test_a_client_that_goes_away_leaves_nothing_behind(api):
    body = json.dumps({"task": "sleeper"}).encode()
    head = "POST /v1/instances HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nPrefer: wait=60\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    with trio.fail_after(10):
        clients = [await api.connect() for _ in range(20)]
        for client in clients:
            await client.send_all(request)
        while api.site.room.waiting < 20:
            await trio.sleep(0.005)
        for client in clients:
            await client.aclose()
        while api.site.room.waiting:
            await trio.sleep(0.005)


async def test_when_the_service_stops_those_who_wait_are_answered_202(api):
    answers = []

    async def start():
        answers.append(await api.post("/v1/instances", json={"task": "sleeper"}, headers=wait(60)))

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(start)
            while api.site.room.waiting < 5:
                await trio.sleep(0.005)
            api.engine.stop.set()

    assert [answer.status_code for answer in answers] == [202] * 5
    assert api.site.room.waiting == 0
