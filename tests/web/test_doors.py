"""What hostile clients try at the doors of the whole service, over real sockets."""

import gc
import json
from contextlib import AsyncExitStack, suppress

import pytest
import trio
from quart.wrappers.request import Body

from callsheet.tokens import PREFIX, new_token
from web.site import LARGE_AT_A_TIME
from web.worker import Limits

STREAM = b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
CHUNK = b"4000\r\n" + bytes(0x4000) + b"\r\n"


async def test_a_body_that_nobody_reads_is_not_kept(api):
    async with await api.connect() as client:
        await client.send_all(STREAM + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK * 10)
        assert (await client.receive_some()).startswith(b"HTTP/1.1 200")
        kept = [one for one in gc.get_objects() if isinstance(one, Body)]

        assert sum(len(one._data) for one in kept) == 0


async def test_a_body_that_nobody_reads_and_that_does_not_end_ends_its_connection(api):
    async with await api.connect() as client:
        await client.send_all(STREAM + b"Transfer-Encoding: chunked\r\n\r\n")
        with trio.fail_after(10), suppress(trio.BrokenResourceError):
            while True:
                await client.send_all(CHUNK)

    assert (await api.get("/livez")).status_code == 200


async def test_a_head_that_has_begun_must_end_sooner_than_an_idle_connection(serving, sqlite_url):
    limits = Limits(keep_alive_timeout=30, head_timeout=0.2, linger=0.1)
    async with serving(sqlite_url, limits=limits) as api, await api.connect() as idle, await api.connect() as client:
        await client.send_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET /livez HTTP/1.1\r\n")
        answer = b""
        with trio.fail_after(5):
            while part := await client.receive_some():
                answer += part
        await idle.send_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")

        assert answer.count(b"HTTP/1.1 200") == 1
        assert (await idle.receive_some()).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "path", ["//v1/tasks", "/v1%2ftasks", "/v1%2Ftasks", "/v1//tasks", "/v1%5ctasks", "/./v1/tasks"]
)
async def test_slashes_have_one_spelling_so_that_the_rules_of_a_proxy_cannot_be_got_round(api, path):
    answer = await api.send_raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    assert answer.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("broken", [False, True])
async def test_a_key_in_the_path_gets_into_no_log_and_no_answer(api, caplog, monkeypatch, broken):
    async def fail(*_):
        raise ZeroDivisionError

    key = new_token()
    with monkeypatch.context() as fault:
        if broken:
            fault.setattr(api.door, "read", fail)
        answers = [await api.delete(f"/v1/tokens/{key}"), await api.get(f"/v1/tasks/{key}"), await api.get(f"/{key}")]
        answers += [await api.get(f"/v1/instances?cursor={key}"), await api.post("/v1/instances", json={"task": key})]
    said = json.dumps([record.__dict__ for record in caplog.records], default=str) + caplog.text

    assert key not in said
    assert f"{PREFIX}…" in caplog.text
    assert all(key not in answer.text for answer in answers)


@pytest.mark.parametrize("items", ["1," * 2_000_000 + "1", '["\\ud83d\\ude00"],' * 100_000 + "1"])
async def test_a_large_body_is_read_while_others_are_answered(api, items):
    answered = 0

    async def ask_again_and_again():
        nonlocal answered
        while True:
            await api.get("/livez")
            answered += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_again_and_again)
        body = f'{{"items": [{items}]}}'.encode()
        response = await api.post("/v1/instances/batch", content=body, headers={"Content-Type": "application/json"})
        nursery.cancel_scope.cancel()

    assert response.status_code == 422
    assert answered > 20


async def test_a_body_of_nothing_but_unknown_fields_lists_some_and_tells_how_many(api):
    document = {f"field-{number}": 1 for number in range(200_000)}
    problem = api.problem(await api.post("/v1/instances/batch", json=document), 422)

    assert len(problem["errors"]) == 100
    said = [error["detail"] for error in problem["errors"]]
    assert "has 200,000 fields that are not known; some are listed" in said


async def test_only_so_many_large_bodies_are_taken_at_a_time(api):
    large = b"POST /v1/instances/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    large += b"Content-Length: 16000000\r\n\r\n["
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(await api.connect()) for _ in range(LARGE_AT_A_TIME)]
        for client in clients:
            await client.send_all(large)
        while api.site.large.borrowed_tokens < LARGE_AT_A_TIME:
            await trio.sleep(0.01)

        assert (await api.send_raw(large)).startswith(b"HTTP/1.1 503 ")
        await api.start("quick")  # small ones are
    await api.until("/v1/stats", lambda _: api.site.large.borrowed_tokens == 0)
