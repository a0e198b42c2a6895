"""Requests that are answered before h11 sees them keep the rules of the connection all the same."""

import re

import pytest
import trio
import trio.testing

from tests.web.house import PATIENT, QUICK, read_to_the_end, read_until, running
from web.worker import Limits

HEAD = b"GET /%b HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Quick:
    """Answers what ends in a bang before the protocol sees it, and the rest as any app."""

    def __init__(self):
        self.entered, self.go_on = trio.Event(), trio.Event()

    async def __call__(self, scope, receive, send):
        """Answer by way of ASGI."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"slow", "more_body": False})

    async def at_once(self, data, address):
        """Answer the bytes of a request."""
        assert address == "127.0.0.1"
        if not re.fullmatch(rb"GET /[a-z]*! HTTP.*?\r\n\r\n", data, re.DOTALL):
            return None
        if data.startswith(b"GET /wait"):
            self.entered.set()
            await self.go_on.wait()
        if data.startswith(b"GET /large"):
            return 200, [(b"content-length", b"%d" % (64 << 20))], bytes(64 << 20)
        return 200, [(b"content-length", b"4")], b"fast"


@pytest.fixture
def app():
    return Quick()


async def ask(client, path, mark):
    await client.send_all(HEAD % path)
    return await read_until(client, mark)


async def test_both_ways_take_turns_on_one_connection(app):
    async with running(app, PATIENT) as server, await server.connect() as client:
        for path, mark in ((b"a!", b"fast"), (b"a", b"slow"), (b"b!", b"fast"), (b"c!", b"fast"), (b"b", b"slow")):
            answer = await ask(client, path, mark)
            assert answer.startswith(b"HTTP/1.1 200 \r\n")
            assert b"\r\ndate: " in answer
            assert answer.endswith(b"\r\n\r\n" + mark)
            await trio.testing.wait_all_tasks_blocked(0.01)  # or h11 has not done with the one before


async def test_requests_sent_without_waiting_are_answered_in_order(app):
    async with running(app, PATIENT) as server, await server.connect() as client:
        await client.send_all(HEAD % b"a" + HEAD % b"wait!" + HEAD % b"b")
        answer = b""
        while answer.count(b"HTTP/1.1 200") < 3:
            answer += await client.receive_some() or pytest.fail(f"it hung up after {answer}")
    assert not app.entered.is_set()  # h11 had them all, and what it has it keeps


async def test_a_request_that_comes_while_another_is_answered_waits_for_its_turn(app):
    async with running(app, PATIENT) as server, await server.connect() as client:
        await client.send_all(HEAD % b"wait!")
        await app.entered.wait()
        await client.send_all(HEAD % b"b")
        await trio.sleep(0.05)
        app.go_on.set()
        assert re.findall(rb"\r\n\r\n(fast|slow)", await read_until(client, b"slow")) == [b"fast", b"slow"]


async def test_the_rest_of_a_head_is_never_taken_for_a_request(app):
    async with running(app, PATIENT) as server, await server.connect() as client:
        await client.send_all(b"GET /one HTTP/1.1\r\nHost: localhost\r\nX-More: ")
        await trio.sleep(0.05)
        await client.send_all(HEAD % b"a!")
        assert (await read_until(client, b"\r\n\r\n")).startswith(b"HTTP/1.1 400 ")  # it names its host twice


async def test_a_connection_gets_only_so_many_answers_and_is_idle_only_so_long(app):
    async with running(app, QUICK) as server, await server.connect() as client:
        assert await ask(client, b"a!", b"fast")
        rest, seconds = await read_to_the_end(client)
        assert (rest, 0.1 < seconds < 2) == (b"", True)
    async with running(app, PATIENT) as server, await server.connect() as client:
        last = b""
        for _ in range(2_000):
            await client.send_all(HEAD % b"a!")
            last = await read_until(client, b"\r\n\r\n")
            if b"connection: close" in last:
                break
        assert b"connection: close" in last
        assert last.endswith(b"slow")


async def test_an_answer_under_way_is_given_before_the_end_and_then_the_connection_ends(app):
    async with running(app, PATIENT) as server, await server.connect() as client:
        await client.send_all(HEAD % b"wait!")
        await app.entered.wait()
        server.shutdown.set()
        await trio.sleep(0.05)
        app.go_on.set()
        assert (await read_to_the_end(client))[0].endswith(b"fast")
        await server.ended.wait()


async def test_an_answer_that_hangs_does_not_hold_shutdown(app):
    async with running(app, QUICK) as server, await server.connect() as client:
        await client.send_all(HEAD % b"wait!")
        await app.entered.wait()
        assert await server.stop() < 2


async def test_a_client_that_does_not_read_such_an_answer_is_dropped(app):
    quick = Limits(keep_alive_timeout=5, write_timeout=0.2, linger=0.1)
    async with running(app, quick) as server, await server.connect() as client:
        await client.send_all(HEAD % b"large!")
        await trio.sleep(1)
        answer, _ = await read_to_the_end(client)
        assert 0 < len(answer) < 64 << 20
