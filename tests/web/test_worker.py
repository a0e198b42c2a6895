"""No client holds the server: not by idling, dripping, sending too much, or not reading."""

import errno
import logging
import os
from contextlib import suppress
from functools import partial

import pytest
import trio
import trio.testing
from attrs import evolve

from callsheet.errors import RefusedToStart
from tests.web.house import GET, MIB, PATIENT, POST, QUICK, House, read_to_the_end, read_until, running
from web.worker import listen, serve, url_of


@pytest.fixture
def house():
    return House()


# Listening


async def test_it_tells_the_address_it_listens_on(house, nursery):
    start = partial(serve, house.app, port=0, shutdown=trio.Event())
    [ipv4] = await nursery.start(partial(start, host="127.0.0.1"))
    [name] = await nursery.start(partial(start, host="localhost"))
    [ipv6] = await nursery.start(partial(start, host="::1"))
    listeners = await listen("127.0.0.1", 0)
    [taken] = await nursery.start(partial(start, host="", listeners=listeners))

    assert ipv4.startswith("http://127.0.0.1:")
    assert name.startswith("http://127.0.0.1:")
    assert ipv6.startswith("http://[::1]:")
    assert taken == url_of(listeners[0])
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("host", "port", "because"),
    [
        ("127.0.0.1", 70_000, "port"),
        ("198.51.100.7", 0, os.strerror(errno.EADDRNOTAVAIL)),
        ("no such host", 8080, "Cannot listen on no such host, port 8080: "),
        ("x" * 100, 8080, "Cannot listen"),
    ],
)
async def test_an_address_we_cannot_listen_on_is_refused_in_a_sentence(house, host, port, because):
    with pytest.raises(RefusedToStart, match=because):
        await serve(house.app, host=host, port=port, shutdown=trio.Event())


async def test_an_address_in_use_is_refused_in_a_sentence(house):
    async with running(house.app) as server:
        with pytest.raises(RefusedToStart, match=f"port {server.port}: Address already in use"):
            await serve(house.app, host="127.0.0.1", port=server.port, shutdown=trio.Event())


# Clients that hold on


async def test_a_client_that_says_nothing_is_let_go(house):
    async with running(house.app) as server, await server.connect() as client:
        data, seconds = await read_to_the_end(client)

    assert data == b""
    assert 0.15 < seconds < 1


async def test_an_idle_connection_is_closed_after_each_number_of_requests(house):
    async with running(house.app) as server, await server.connect() as client:
        for _ in range(3):
            await client.send_all(GET % b"ping")
            assert b"pong" in await read_until(client, b"pong")
        data, seconds = await read_to_the_end(client)

    assert data == b""
    assert 0.15 < seconds < 1


async def test_a_dripping_head_is_cut_off(house):
    async with running(house.app) as server, await server.connect() as client:
        sent = 0
        with suppress(trio.BrokenResourceError):
            for byte in GET % (b"x" * 1000):
                await client.send_all(bytes([byte]))
                await trio.sleep(0.01)
                sent += 1

    assert sent < 100


async def test_a_stalled_body_is_answered_408(house):
    async with running(house.app) as server, await server.connect() as client:
        await client.send_all(POST + b"Content-Length: 10\r\n\r\nxxx")
        data, seconds = await read_to_the_end(client)

    assert data.startswith(b"HTTP/1.1 408 ")
    assert seconds < 1


async def test_a_body_announced_too_large_is_answered_413_however_much_is_sent(house):
    async with running(house.app) as server, await server.connect() as client:
        size = 8 * MIB
        with suppress(trio.BrokenResourceError):
            await client.send_all(POST + b"Content-Length: %d\r\n\r\n" % size + bytes(size))
        data = await client.receive_some()

    assert data.startswith(b"HTTP/1.1 413 ")


async def test_a_chunked_body_too_large_is_answered_413(house):
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    async with running(house.app) as server, await server.connect() as client:
        with suppress(trio.BrokenResourceError):
            await client.send_all(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 40)
        data = await client.receive_some()

    assert data.startswith(b"HTTP/1.1 413 ")


async def test_of_a_body_that_nobody_reads_no_more_is_kept_than_the_limit(house):
    """Quart 0.22 keeps nothing of it for a handler that comes late, 0.23 would keep all."""
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    async with running(house.app) as server, await server.connect() as client:
        await client.send_all(
            b"POST /late HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 64
        )
        await client.send_all(b"0\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked(0.05)
        house.read.set()
        data = await client.receive_some()

    assert MIB < house.kept <= MIB + 0x10000 or data.startswith(b"HTTP/1.1 413 ")


async def test_a_client_that_does_not_read_is_dropped(house):
    async with running(house.app, evolve(QUICK, max_connections=1)) as server, await server.connect() as client:
        await client.send_all(GET % b"large")
        await read_until(client, b"\r\n\r\n")

        assert b" 503 " in await server.get(b"ping")
        await server.has_room()


async def test_a_client_that_reads_slowly_gets_all_of_it(house):
    async with running(house.app, evolve(QUICK, write_timeout=0.5)) as server, await server.connect() as client:
        await client.send_all(GET % b"large")
        size = len(await read_until(client, b"\r\n\r\n"))
        for _ in range(40):
            size += len(await client.receive_some())
            await trio.sleep(0.02)
        while size < 64 * MIB and (part := await client.receive_some()):
            size += len(part)

    assert size >= 64 * MIB


async def test_clients_over_the_limit_are_told_so_until_one_leaves(house):
    async with running(house.app, evolve(PATIENT, max_connections=2)) as server:
        async with await server.connect(), await server.connect():
            answer = await server.get(b"ping")
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After: 1\r\n" in answer
        await server.has_room()


async def test_a_handler_is_cancelled_when_its_client_leaves(house):
    async with running(house.app) as server:
        async with await server.connect() as client:
            await client.send_all(GET % b"stuck")
            await house.entered.wait()
        with trio.fail_after(1):
            await house.cancelled.wait()


async def test_an_answer_once_complete_is_not_cancelled_by_the_disconnect_after_it(house):
    scope = {"type": "http", "http_version": "1.1", "method": "GET", "scheme": "http"}
    scope |= {"path": "/ping", "raw_path": b"/ping", "query_string": b"", "headers": []}
    last, came_through = trio.Event(), False

    async def receive():
        await last.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        nonlocal came_through
        if message["type"] == "http.response.body" and not message["more_body"]:
            last.set()
            await trio.testing.wait_all_tasks_blocked()
            came_through = True

    await house.app(scope, receive, send)

    assert came_through


# Faults


@pytest.mark.parametrize("headers", [[(b":bad", b"name")], [(b"x", b"a\r\nb")], [(b"", b"")]])
async def test_a_fault_of_the_app_ends_its_connection_only(headers, caplog):
    async def app(scope, receive, send):
        bad = headers if scope["path"] == "/bad" else []
        await send({"type": "http.response.start", "status": 200, "headers": bad})
        await send({"type": "http.response.body", "body": b"pong"})

    async with running(app) as server:
        assert b"pong" not in await server.get(b"bad")
        assert b"pong" in await server.get(b"ping")

    assert "Error in ASGI Framework" in caplog.text


async def test_requests_are_logged_at_info_and_hostile_ones_make_no_noise(house, caplog):
    caplog.set_level(logging.DEBUG)
    async with running(house.app) as server:
        await server.get(b"ping?token=secret")
        await server.get(b"ping HTTP/3\r\n")
        await server.stop()

    ours = [record for record in caplog.records if not record.name.startswith("trio")]
    assert [record.levelname for record in ours] == ["INFO"]
    assert ours[0].getMessage().startswith("GET /ping 200 ")
    fields = ours[0].fields
    assert (fields["method"], fields["path"], fields["status"], fields["client"]) == ("GET", "/ping", 200, "127.0.0.1")


# Shutdown


async def test_idle_clients_do_not_hold_shutdown(house):
    async with running(house.app, PATIENT) as server, await server.connect() as used, await server.connect() as silent:
        await used.send_all(GET % b"ping")
        await read_until(used, b"pong")
        await silent.send_all(b"GET /pi")
        seconds = await server.stop()

    assert seconds < 1


async def test_a_request_under_way_is_answered_before_the_end(house):
    async with running(house.app, PATIENT) as server, await server.connect() as client:
        await client.send_all(GET % b"slow")
        await house.entered.wait()
        seconds = await server.stop()
        data, _ = await read_to_the_end(client)

    assert data.endswith(b"done")
    assert seconds < 1


async def test_nobody_is_let_in_after_shutdown(house):
    async with running(house.app, PATIENT) as server, await server.connect() as client:
        await client.send_all(GET % b"slow")
        await house.entered.wait()
        server.shutdown.set()
        await trio.testing.wait_all_tasks_blocked(0.01)

        with pytest.raises(OSError, match="all attempts to connect"):
            await server.connect()


@pytest.mark.parametrize(
    "request_bytes",
    [
        POST + b"Content-Length: 10\r\n\r\nxxx",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nxx",
        GET % b"large",
        GET % b"stuck",
        GET % b"stream",
        GET % b"large" + GET % b"ping" * 1000,
    ],
    ids=["half a body", "half a chunk", "does not read", "stuck", "endless", "pipeline"],
)
async def test_no_request_holds_shutdown(house, request_bytes):
    house.app.config["BODY_TIMEOUT"] = 10
    limits = evolve(PATIENT, graceful_timeout=0.2)
    async with running(house.app, limits) as server, await server.connect() as client:
        await client.send_all(request_bytes)
        await trio.sleep(0.05)
        seconds = await server.stop()

    assert 0.15 < seconds < 0.7


async def test_a_client_that_does_not_read_does_not_hold_a_cancelled_server(house):
    with trio.move_on_after(0.2) as scope:
        async with running(house.app, PATIENT) as server, await server.connect() as client:
            await client.send_all(GET % b"large")
            await trio.sleep_forever()

    assert trio.current_time() - scope.deadline < 0.5
