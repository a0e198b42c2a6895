"""A request with an Idempotency-Key is done once, however often and however close together it comes."""

import json
from functools import partial

import pytest
import trio

from callsheet.instants import DAY, SECOND
from callsheet.tokens import Caller
from storage.queries.reading import read, rows
from web.replies import KeyInFlight

KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
QUICK = {"task": "quick"}
EVERY = {"task": "quick", "trigger": {"every": "10s"}}
BODIES = {
    "/v1/instances": QUICK,
    "/v1/instances/batch": {"items": [QUICK] * 3},
    "/v1/instances/{run}/rerun": {},
    "/v1/instances/{run}/cancel": {},
    "/v1/instances/cancel": {"task": "sleeper"},
    "/v1/schedules": {"id": "new", **EVERY},
    "/v1/schedules/a/trigger": {},
    "/v1/schedules/a/pause": {"reason": "tea"},
    "/v1/schedules/a/resume": {},
    "/v1/schedules/a/skip": {"count": 2},
    "/v1/schedules/a/backfill": {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:10Z"},
}


def same(first, second, body=True):
    """Check that two answers are one, the second of them replayed."""
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    for name in ("Location", "ETag", "Content-Type"):
        assert first.headers.get(name) == second.headers.get(name)
    assert first.status_code == second.status_code
    assert not body or first.content == second.content


@pytest.mark.parametrize("path", BODIES)
async def test_the_same_request_again_changes_nothing_and_gets_the_stored_answer(api_on_each, path):
    api = api_on_each
    await api.put("/v1/schedules/a", json=EVERY)
    run = await api.start("sleeper")
    address = path.format(run=run.rpartition("/")[2])
    first = await api.post(address, json=BODIES[path], headers=KEY)
    assert first.status_code < 300, first.text
    tables = [await snapshot(api)]
    second = await api.post(address, json=BODIES[path], headers=KEY)
    tables.append(await snapshot(api))

    same(first, second, body="{run}/cancel" not in path)  # the instance of a cancellation is read anew
    assert tables[0] == tables[1]


async def snapshot(api):
    """Return how many instances and changes there are."""
    sql = "SELECT count(*) FROM {}"
    tables = ("instance", "audit", "idempotency")
    counts = [await api.door.read(read, api.database, lambda db, t=t: rows(db, sql.format(t))[0][0]) for t in tables]
    events = "SELECT count(*) FROM event WHERE type IN ('schedule.changed', 'instance.cancel_requested')"
    return counts, await api.door.read(read, api.database, lambda db: rows(db, events)[0][0])


async def test_spaces_and_the_order_of_fields_do_not_make_another_body(api):
    head = KEY | {"Content-Type": "application/json"}
    first = await api.post("/v1/instances", content=b'{"task":"say","input":{"text":"x","times":2}}', headers=head)
    second = await api.post(
        "/v1/instances", content=b'{"input": {"times": 2, "text": "x"}, "task": "say"}', headers=head
    )

    same(first, second)


@pytest.mark.parametrize("other", [{"task": "quick", "tags": ["x"]}, {"task": "failing"}])
async def test_another_body_under_the_same_key_is_refused(api, other):
    await api.post("/v1/instances", json=QUICK, headers=KEY)
    refused = await api.post("/v1/instances", json=other, headers=KEY)

    assert api.problem(refused, 422)["type"] == "/problems/idempotency-key-reused"
    assert len(await api.walk("/v1/instances", 200)) == 1


async def test_a_key_belongs_to_one_address(api):
    await api.put("/v1/schedules/a", json=EVERY)
    answers = [await api.post("/v1/instances", json=QUICK, headers=KEY),
               await api.post("/v1/instances/batch", json={"items": [QUICK]}, headers=KEY)]  # fmt: skip

    assert [answer.status_code for answer in answers] == [202, 202]
    assert len(await api.walk("/v1/instances", 200)) == 2


async def test_a_key_belongs_to_one_caller(api):
    first = await api.post("/v1/instances", json=QUICK, headers=KEY)
    secret = (await api.post("/v1/tokens", json={"name": "a", "role": "admin"})).json()["token"]
    second = await api.post("/v1/instances", json=QUICK, headers=KEY | {"Authorization": f"Bearer {secret}"})

    assert first.json()["id"] != second.json()["id"]


async def test_what_was_refused_is_tried_again(api):
    await api.put("/v1/schedules/a", json={**EVERY, "task": "sleeper"})
    running = (await api.post("/v1/schedules/a/trigger")).json()["id"]
    refused = await api.post("/v1/schedules/a/trigger", headers=KEY)
    await api.post(f"/v1/instances/{running}/cancel")
    await api.over(f"/v1/instances/{running}")
    taken = await api.post("/v1/schedules/a/trigger", headers=KEY)

    assert (refused.status_code, taken.status_code) == (409, 202)
    assert "Idempotency-Replayed" not in taken.headers


@pytest.mark.parametrize("value", ["", "x" * 256, "ключ".encode()])
async def test_a_key_that_is_none_is_refused(api, value):
    await api.wrong(api.post("/v1/instances", json=QUICK, headers=[(b"Idempotency-Key", value)]))


async def test_a_hundred_at_once_are_one(api_on_each):
    """Whoever meets another on the way is told to come back; all others get the one answer."""
    api = api_on_each
    answers = []

    async def send():
        while (answer := await api.post("/v1/instances", json=QUICK, headers=KEY)).status_code == 409:
            assert api.problem(answer, 409)["type"] == "/problems/idempotency-key-in-flight"
            assert answer.headers["Retry-After"] == "1"
        answers.append(answer)

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(send)

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert len(await api.walk("/v1/instances", 200)) == 1


async def test_clients_that_leave_in_the_middle_and_come_again_have_done_it_once(api):
    body = json.dumps(QUICK).encode()
    head = "POST /v1/instances HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    for _ in range(30):
        async with await api.connect() as stream:
            await stream.send_all(request)
    with trio.fail_after(10):
        while (await api.post("/v1/instances", json=QUICK, headers={"Idempotency-Key": "k"})).status_code != 202:
            pass

    assert len(await api.walk("/v1/instances", 200)) == 1
    assert api.site.in_flight == {}


async def test_an_answer_is_kept_over_a_restart_and_for_a_day(serving, tmp_path):
    url = f"sqlite:///{tmp_path}/api.db"
    async with serving(url) as api:
        first = await api.post("/v1/instances", json=QUICK, headers=KEY)
    async with serving(url) as api:
        second = await api.post("/v1/instances", json=QUICK, headers=KEY)
        same(first, second)
        api.clock.ahead = DAY + 60 * SECOND
        third = await api.post("/v1/instances", json=QUICK, headers=KEY)
        assert third.json()["id"] != first.json()["id"]


async def test_a_new_token_is_not_kept_with_the_answer(api):
    body = {"name": "robot", "role": "admin"}
    first = await api.post("/v1/tokens", json=body, headers=KEY)
    secret = first.json().pop("token")
    again = KEY | {"Authorization": f"Bearer {secret}"}
    kept = await api.door.read(read, api.database, lambda db: rows(db, "SELECT answer FROM idempotency"))

    assert secret not in str(kept)
    # whoever calls with the new key is another caller, so nothing is replayed; it clashes instead
    assert (await api.post("/v1/tokens", json=body, headers=again)).status_code == 409


async def test_what_changes_nothing_takes_no_notice_of_a_key(api):
    dry = await api.put("/v1/schedules/a?dry_run=true", json=EVERY, headers=KEY)
    preview = await api.post("/v1/schedules/preview", json={"trigger": {"every": "10s"}}, headers=KEY)

    assert (dry.status_code, preview.status_code) == (200, 200)


def test_callers_with_the_same_name_are_told_apart_by_their_token():
    assert Caller("a", "admin") != Caller("a", "admin", object())
    assert partial(KeyInFlight)().status == 409
