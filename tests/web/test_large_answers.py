"""Answers have a size: what tasks take and say may be large, and somebody who reads must not hold up the others."""

import gc
import socket
from contextlib import AsyncExitStack

import pytest
import trio

from callsheet import Out, task
from web.answers import LARGE as LARGE_ANSWER
from web.asking import PAGE_BYTES
from web.site import LARGE_ANSWERS
from web.streams import SaidStream

LARGE = 900_000  # characters, near what one input or output may have
SOME = 12


@task
async def swallow(_in: dict[str, str], out: Out[None]) -> None:
    """Take something large."""


@task(max_log_bytes=20_000_000)
async def spout(_in: None, out: Out[str]) -> None:
    """Say a lot."""
    for _ in range(SOME):
        await out.send("x" * LARGE)
        for _ in range(LARGE // 50_000):
            await out.log("y" * 50_000)


@pytest.fixture
async def large(serving, sqlite_url):
    """The service, with tasks that have much to say."""
    async with serving(sqlite_url, more=(swallow, spout)) as api:
        yield api


async def walked(api, path):
    """Walk a list whose pages may be short; return the items, and the sizes of its pages."""
    items, sizes, cursor = [], [], None
    while True:
        page = await api.get(path, params={"limit": 200} | ({"cursor": cursor} if cursor else {}))
        items += page.json()["items"]
        sizes.append(len(page.content))
        cursor = page.json()["next"]
        if cursor is None:
            return items, sizes


async def test_a_page_of_large_inputs_ends_early_and_the_next_goes_on(large):
    inputs = {"text": "x" * LARGE}
    uris = [await large.start("swallow", input=inputs) for _ in range(SOME)]
    for number in range(SOME):
        schedule = {"task": "swallow", "input": inputs, "trigger": {"every": "1d"}}
        assert (await large.put(f"/v1/schedules/s{number:02}", json=schedule)).status_code == 201
    runs, sizes = await walked(large, "/v1/instances")
    by_task, _ = await walked(large, "/v1/instances?task=swallow")
    schedules, sizes_of_schedules = await walked(large, "/v1/schedules")

    assert [one["uri"] for one in runs] == [one["uri"] for one in by_task] == uris[::-1]
    assert [one["id"] for one in schedules] == [f"s{number:02}" for number in range(SOME)]
    for found in (sizes, sizes_of_schedules):
        assert 1 < len(found) < SOME
        assert max(found) < PAGE_BYTES + LARGE + 10_000


async def test_a_page_of_what_an_instance_said_ends_early_too_and_so_does_the_instance(large):
    uri = await large.start("spout")
    found = await large.over(uri)
    outputs, sizes = await walked(large, f"{uri}/outputs")
    lines, sizes_of_lines = await walked(large, f"{uri}/log")

    assert [one["seq"] for one in outputs] == list(range(SOME))
    assert len(lines) == SOME * (LARGE // 50_000)
    assert max(sizes + sizes_of_lines) < PAGE_BYTES + LARGE + 10_000
    assert 1 <= len(found["outputs"]) < SOME


async def test_a_stream_has_little_in_hand_of_what_is_large(large):
    uri = await large.start("spout")
    await large.over(uri)
    async with large.listen(f"{uri}/outputs") as ear, large.listen(f"{uri}/log"):
        with trio.fail_after(10):
            while not (streams := [one for one in gc.get_objects() if isinstance(one, SaidStream)])[1:]:
                await trio.sleep(0.01)
        await trio.sleep(0.1)  # until neither gets on, as nobody reads
        in_hand = [sum(map(len, one._ready)) for one in streams]
        heard = [await ear.next() for _ in range(SOME + 1)]

    assert max(in_hand) < 1.2 * LARGE
    assert [one.id for one in heard] == [*map(str, range(SOME)), "end"]


async def test_only_so_many_large_answers_wait_for_clients_that_do_not_read(large):
    for _ in range(5):
        await large.start("swallow", input={"text": "x" * LARGE})
    ask = b"GET /v1/instances?limit=200 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    async with AsyncExitStack() as stack:
        for _ in range(LARGE_ANSWERS):
            client = await stack.enter_async_context(await large.connect())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await client.send_all(ask)
        with trio.fail_after(20):
            while large.site.answers.borrowed_tokens < LARGE_ANSWERS:
                await trio.sleep(0.01)
        refused = await large.get("/v1/instances?limit=200")

        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert (await large.get("/v1/tasks")).status_code == 200
        many = {"items": [{"task": "quick", "input": None}] * 3_000}
        assert len((await large.post("/v1/instances/batch", json=many)).content) > LARGE_ANSWER
    await large.until("/v1/stats", lambda _: large.site.answers.borrowed_tokens == 0)
    assert (await large.get("/v1/instances?limit=200")).status_code == 200
