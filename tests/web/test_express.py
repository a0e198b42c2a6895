"""The short way answers as the long way does; any header that it does not know sends a request the long way.

What comes over its connection in one piece is answered before h11 sees it; clients send a body in a piece of its own.
"""

import json
import re
import sqlite3
from contextlib import asynccontextmanager

import httpx2
import pytest
import trio

from callsheet.errors import Unavailable
from callsheet.tokens import KEYLESS
from web import express
from web.gate import Gate
from web.keyring import Keyring
from web.pace import Pace
from web.plain import LARGEST

SECRET = "a-configured-key-of-some-length"
LONG_WAY = {"X-Detour": "yes"}
CHANGING = {"date", "ratelimit"}
JSON = {"Content-Type": "application/json"}


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


def essence(response):
    """Return what an answer says, but for what is new each time."""
    body = re.sub(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}", b"ID", response.content)
    location = {"location"} & response.headers.keys()
    headers = {name: value for name, value in response.headers.items() if name not in CHANGING | location}
    return response.status_code, headers, bool(location), "ratelimit" in response.headers, body


async def in_one_piece(api, method, path, headers, content):
    """Send a whole request at once, twice over the same connection, and return the second answer."""
    given = {"Host": api.url.removeprefix("http://"), "User-Agent": "test"} | headers
    given |= {} if content is None else {"Content-Length": str(len(content))}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    whole = "".join(f"{line}\r\n" for line in (*lines, "")).encode() + (content or b"")
    async with await api.connect() as stream:
        await stream.send_all(whole)
        answer = await one_answer(stream, method)
        if answer.status_code != 413:  # of which we do not wait for the end
            await stream.send_all(whole)
            answer = await one_answer(stream, method)
    return answer


async def one_answer(stream, method):
    """Return the next answer on a connection."""
    data = b""
    while not (found := re.search(rb"content-length: ([0-9]+)\r\n.*?\r\n\r\n", data, re.DOTALL)) or (
        method != "HEAD" and len(data) < found.end() + int(found[1])
    ):
        data += await stream.receive_some() or pytest.fail(f"it hung up after {data}")
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return httpx2.Response(int(first.split(" ")[1]), headers=[line.split(": ", 1) for line in lines], content=body)


async def both_ways(api, method, path, headers=None, content=None):
    """Ask each way, see that the ways agree, and return the answer."""
    given = (headers or {}) | (JSON if content is not None else {})
    short = await api.http.request(method, path, headers=given, content=content)
    long = await api.http.request(method, path, headers=given | LONG_WAY, content=content)

    assert essence(short) == essence(long)
    body = content.encode() if isinstance(content, str) else content
    assert essence(await in_one_piece(api, method, path, given, body)) == essence(long)
    return short


STARTS = {
    "plain": (202, {"task": "say", "input": {"text": "hi"}}),
    "with all": (202, {"task": "say", "input": {"text": "hi"}, "timeout": "5s", "tags": ["a", "b"]}),
    "a wrong input": (422, {"task": "say", "input": {"text": 7}}),
    "several wrong fields": (422, {"task": "say", "input": {}, "timeout": -1, "nonsense": 1}),
    "an unknown task": (404, {"task": "nobody", "input": {}}),
    "no task": (422, {}),
    "no object": (422, [1]),
    "no input": (422, {"task": "say"}),
}


@pytest.mark.parametrize("name", STARTS)
async def test_a_start_is_answered_the_same_on_both_ways(api, name):
    status, body = STARTS[name]

    assert (await both_ways(api, "POST", "/v1/instances", content=json.dumps(body))).status_code == status


@pytest.mark.parametrize(
    ("status", "content"),
    [(400, b"{"), (400, b""), (400, b'{"task": "say", "task": "say"}'), (400, b'{"task": NaN}'), (400, b"\xff"),
     (400, b'{"task": "\\u0000"}'), (422, b" " * (LARGEST + 1) + b"{}"), (413, b" " * (1 << 20) + b"{}"),
     (400, b"[" * 40 + b"]" * 40)],
)  # fmt: skip
async def test_a_body_that_cannot_be_read_is_refused_the_same_on_both_ways(api, status, content):
    assert (await both_ways(api, "POST", "/v1/instances", content=content)).status_code == status


async def test_an_instance_looks_the_same_on_both_ways(api):
    over = await api.start("say", input={"text": "hi"})
    await api.over(over)
    runs = await api.start("sleeper")
    await api.until(runs, lambda instance: instance["started_at"])

    assert (await both_ways(api, "GET", over)).json()["outputs"] == ["hi"]
    assert (await both_ways(api, "GET", runs)).json()["running"] is True
    assert (await both_ways(api, "GET", over.upper().replace("/V1/INSTANCES", "/v1/instances"))).status_code == 200
    assert (await both_ways(api, "GET", "/v1/instances/01a21431-721f-756c-a626-95d000000000")).status_code == 404
    assert (await both_ways(api, "GET", "/v1/instances/no-id")).status_code == 404
    assert (await both_ways(api, "GET", f"{over}?x=1")).status_code == 422
    assert (await both_ways(api, "HEAD", over)).status_code == 200


@pytest.mark.parametrize("host", ["example.org", "127.0.0.1.example.org", "localhost:1", "[::1]"])
async def test_a_strange_host_is_turned_away_on_both_ways(api, host):
    over = await api.start("say", input={"text": "hi"})
    await api.over(over)
    expected = 421 if "example" in host else 200

    assert (await both_ways(api, "GET", over, headers={"Host": host})).status_code == expected


async def test_a_page_of_another_site_starts_nothing(api):
    for name, value in (("Origin", "http://evil.example"), ("Sec-Fetch-Site", "cross-site")):
        answer = await api.http.post(
            "/v1/instances", json={"task": "say", "input": {"text": "hi"}}, headers={name: value}
        )
        assert answer.status_code == 403
    assert (await api.get("/v1/instances")).json()["items"] == []


@asynccontextmanager
async def guarded(serving, tmp_path, **gate):
    async with serving(f"sqlite:///{tmp_path}/api.db", gate=Gate(Keyring.of(SECRET, ()), **gate)) as api:
        yield api


async def test_keys_and_roles_hold_on_both_ways(serving, tmp_path):
    start = json.dumps({"task": "say", "input": {"text": "hi"}})
    async with guarded(serving, tmp_path, failures=Pace(1000, 10_000)) as api:
        made = await api.post("/v1/tokens", json={"name": "eve", "role": "viewer"}, headers=bearer(SECRET))
        viewer = bearer(made.json()["token"])
        begun = await both_ways(api, "POST", "/v1/instances", bearer(SECRET), start)
        assert begun.status_code == 202
        uri = begun.json()["uri"]
        for headers, look, begin in (
            ({}, 401, 401), (bearer("csk_wrong"), 401, 401), ({"Authorization": "Basic eDp5"}, 401, 401),
            (viewer, 200, 403), (bearer(SECRET), 200, 202),
        ):  # fmt: skip
            assert (await both_ways(api, "GET", uri, headers)).status_code == look
            assert (await both_ways(api, "POST", "/v1/instances", headers, start)).status_code == begin
        await api.http.delete("/v1/tokens/eve", headers=bearer(SECRET))
        assert (await both_ways(api, "GET", uri, viewer)).status_code == 401


async def test_wrong_keys_are_counted_once(serving, tmp_path):
    async with guarded(serving, tmp_path, failures=Pace(0.001, 3)) as api:
        path = "/v1/instances/01a21431-721f-756c-a626-95d000000000"
        answers = [(await api.get(path, headers=bearer("csk_wrong"))).status_code for _ in range(5)]

    assert answers == [401, 401, 401, 429, 429]


async def test_the_pace_holds_on_the_short_way_and_is_told(serving, tmp_path):
    gate = Gate(pace=Pace(0.001, 3))
    async with serving(f"sqlite:///{tmp_path}/api.db", gate=gate) as api:
        answers = [
            await api.post("/v1/instances", json={"task": "say", "input": {"text": "hi"}}) for _ in range(5)
        ]  # fmt: skip
        left = gate.pace.look("127.0.0.1", gate.ticks()).left

    assert [answer.status_code for answer in answers] == [202, 202, 202, 429, 429]
    assert [answer.headers["RateLimit"].partition(";t=")[0] for answer in answers[:3]] == [
        '"default";r=2', '"default";r=1', '"default";r=0'
    ]  # fmt: skip
    assert "Retry-After" in answers[3].headers
    assert left == 0


async def test_a_start_on_the_short_way_is_in_the_audit_and_the_figures(api):
    started = await api.post("/v1/instances", json={"task": "say", "input": {"text": "hi"}})
    await api.post("/v1/instances", json={"task": "say", "input": {"text": "hi"}}, headers=LONG_WAY)
    missing = await api.get("/v1/instances/01a21431-721f-756c-a626-95d000000000")

    long, short = (await api.get("/v1/audit")).json()["items"]
    assert (short["action"], short["by"], short["instance"]) == ("instance.start", KEYLESS.name, started.json()["uri"])
    assert short["data"].keys() == long["data"].keys() >= {"request"}
    figures = (await api.get("/metrics")).text
    assert f'route="/v1/instances",status="{started.status_code}"' in figures
    assert f'route="/v1/instances/<name>",status="{missing.status_code}"' in figures


async def test_a_start_is_refused_with_the_reason_when_the_queue_is_full_or_we_stop(api):
    start = json.dumps({"task": "say", "input": {"text": "hi"}})
    api.engine.stop.set()
    await api.counted("node.draining", 1)

    refused = await both_ways(api, "POST", "/v1/instances", content=start)

    assert refused.status_code == Unavailable.status
    assert refused.headers["Retry-After"] == "1"
    assert "stopping" in refused.json()["detail"]


async def test_a_fault_of_ours_is_a_problem_with_its_place_in_the_log(api, monkeypatch, caplog):
    over = await api.start("say", input={"text": "hi"})
    await api.over(over)

    def broken(*_):
        raise sqlite3.ProgrammingError("no such thing")

    monkeypatch.setattr("web.looks.get_whole", broken)
    answer = await both_ways(api, "GET", over)

    assert answer.status_code == 500
    assert answer.json()["request_id"] in caplog.text


async def test_a_body_in_pieces_is_taken_whole(api):
    body = json.dumps({"task": "say", "input": {"text": "hi"}}).encode()
    head = b"POST /v1/instances HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    async with await api.connect() as stream:
        await stream.send_all(head % len(body) + b"Connection: close\r\n\r\n" + body[:10])
        for place in range(10, len(body), 10):
            await trio.sleep(0.15)  # in all more than the short way waits for
            await stream.send_all(body[place : place + 10])
        answer = b""
        while part := await stream.receive_some():
            answer += part

    assert answer.startswith(b"HTTP/1.1 202 ")


async def test_who_asks_too_often_is_told_before_a_byte_of_the_body_is_read(serving, sqlite_url, monkeypatch):
    monkeypatch.setattr(express, "PATIENCE", 60)  # the short way would wait for the body
    head = (
        "POST /v1/instances HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    )
    async with serving(sqlite_url, gate=Gate(pace=Pace(0.001, 1))) as api:
        assert (await api.get("/v1/tasks")).status_code == 200
        with trio.fail_after(20):
            assert (await api.send_raw(f"{head}Content-Length: 9\r\n\r\n".encode())).startswith(b"HTTP/1.1 429 ")
