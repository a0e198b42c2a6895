"""After each of these requests, and all of them at once, the server still answers the next client."""

import socket
import struct

import pytest
import trio
from quart import request
from quart_trio import QuartTrio

from web.quart_connection import SafeHTTP
from web.worker import Limits, serve

HOST = b"Host: localhost\r\n"
POST = b"POST /echo HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
WEBSOCKET = (
    b"GET /ping HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
H2C = b"GET /ping HTTP/1.1\r\n" + HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GOAWAY = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8)


def get(target: bytes, version: bytes = b"HTTP/1.1", headers: bytes = b"") -> bytes:
    return b"GET " + target + b" " + version + b"\r\n" + HOST + headers + b"\r\n"


HOSTILE = {
    "nothing": b"",
    "empty lines": b"\r\n" * 100,
    "garbage": bytes(range(256)),
    "no version": b"GET /ping\r\n\r\n",
    "version 0.9": get(b"/ping", b"HTTP/0.9"),
    "version 2.0": get(b"/ping", b"HTTP/2.0"),
    "version 9.9": get(b"/ping", b"HTTP/9.9"),
    "version x": get(b"/ping", b"HTTP/x"),
    "spaces in the target": get(b"/pi ng"),
    "NUL in the target": get(b"/pi\0ng"),
    "NUL in a header": get(b"/ping", headers=b"X: a\0b\r\n"),
    "percent NUL": get(b"/ping%00"),
    "bytes above 127 in the target": get(b"/\xff\xfe"),
    "percent escapes that are not UTF-8": get(b"/%ff%fe%"),
    "target without a slash": get(b"ping"),
    "target of a query only": get(b"?x=1"),
    "asterisk target": get(b"*"),
    "absolute target": get(b"http://localhost/ping"),
    "absolute target with a broken address": get(b"http://[::1/ping"),
    "a proxy's CONNECT": b"CONNECT localhost:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "no Host": b"GET /ping HTTP/1.1\r\n\r\n",
    "two Hosts": get(b"/ping", headers=HOST),
    "header without a colon": get(b"/ping", headers=b"nonsense\r\n"),
    "header with a space before the colon": get(b"/ping", headers=b"X : y\r\n"),
    "folded header": get(b"/ping", headers=b"X: y\r\n z\r\n"),
    "a header of 1 MiB": get(b"/ping", headers=b"X: " + b"x" * 2**20 + b"\r\n"),
    "a target of 1 MiB": get(b"/" + b"x" * 2**20),
    "10,000 headers": get(b"/ping", headers=b"X: y\r\n" * 10_000),
    "head that never ends": b"GET /ping HTTP/1.1\r\nX: " + b"x" * 20_000,
    "chunk size that is no number": CHUNKED + b"zz\r\n",
    "negative chunk size": CHUNKED + b"-1\r\n",
    "chunk size of 100 digits": CHUNKED + b"f" * 100 + b"\r\n",
    "chunk without its end": CHUNKED + b"2\r\nabXX",
    "chunks of one byte": CHUNKED + b"1\r\nx\r\n" * 5_000 + b"0\r\n\r\n",
    "chunks of one byte that nobody reads": CHUNKED.replace(b"/echo", b"/ping") + b"1\r\nx\r\n" * 50_000,
    "broken trailers": CHUNKED + b"0\r\nbroken\r\n\r\n",
    "length that is no number": POST + b"Content-Length: 1e3\r\n\r\n",
    "negative length": POST + b"Content-Length: -1\r\n\r\n",
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "length and chunks": POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "gzip as a transfer coding": POST + b"Transfer-Encoding: gzip\r\n\r\n",
    "length far too large": POST + b"Content-Length: 99999999999999999999\r\n\r\nx",
    "body shorter than its length": POST + b"Content-Length: 10\r\n\r\nx",
    "a body nobody reads": b"GET /ping HTTP/1.1\r\nContent-Length: 200000\r\n" + HOST + b"\r\n" + b"x" * 200_000,
    "an expectation we do not meet": POST + b"Expect: the-unexpected\r\nContent-Length: 1\r\n\r\n",
    "100-continue and no body": POST + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\n",
    "bytes after Connection: close": get(b"/ping", headers=b"Connection: close\r\n") + b"more",
    "a pipeline": get(b"/ping") * 200,
    "a pipeline that ends in garbage": get(b"/ping") * 20 + b"\0\0",
    "WebSocket": WEBSOCKET,
    "WebSocket and one byte more": WEBSOCKET + b"x",
    "WebSocket and a bad frame": WEBSOCKET + b"\xff" * 100,
    "WebSocket without a key": get(b"/x", headers=b"Connection: upgrade\r\nUpgrade: websocket\r\n"),
    "h2c": H2C + b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
    "h2c with settings that are no base64": H2C + b"HTTP2-Settings: !\r\n\r\n",
    "h2c with settings cut short": H2C + b"HTTP2-Settings: AAMA\r\n\r\n",
    "h2c without settings": H2C + b"\r\n",
    "HTTP/2 preface": PREFACE,
    "HTTP/2 preface and garbage": PREFACE + b"\xff" * 200,
    "HTTP/2 preface and a GOAWAY": PREFACE + GOAWAY,
    "TLS hello": bytes.fromhex("160301006c010000680303") + bytes(100),
    "a handler that fails": get(b"/fail"),
}

ENDINGS = ["closed", "half-closed", "reset"]


def tiny_app() -> QuartTrio:
    app = QuartTrio("tiny")
    app.asgi_http_class = SafeHTTP
    app.config["BODY_TIMEOUT"] = 0.2

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    @app.post("/echo")
    async def echo() -> bytes:
        return await request.get_data()

    @app.get("/fail")
    async def fail() -> str:
        raise ExceptionGroup("both", [ValueError("a"), TypeError("b")])

    return app


@pytest.fixture
async def port(nursery):
    """The port of a server that runs while the test does."""
    limits = Limits(keep_alive_timeout=0.1, linger=0.1, write_timeout=0.5)
    start = {"host": "127.0.0.1", "port": 0, "shutdown": trio.Event(), "limits": limits}

    async def run(task_status):
        await serve(tiny_app(), **start, task_status=task_status)

    urls = await nursery.start(run)
    return int(urls[0].rpartition(":")[2])


async def hit(port: int, data: bytes, ending: str) -> bytes:
    """Send `data`, read what comes for a moment if the ending allows it, and leave."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    answer = b""
    async with stream:
        with trio.move_on_after(3):
            try:
                await stream.send_all(data)
                if ending == "half-closed":
                    await stream.send_eof()
                while ending != "reset" and (part := await stream.receive_some()):
                    answer += part
            except trio.BrokenResourceError:
                pass
        if ending == "reset":
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return answer


async def answers_ping(port: int) -> bool:
    data = get(b"/ping", headers=b"Connection: close\r\n")
    return (await hit(port, data, "closed")).endswith(b"\r\n\r\npong")


@pytest.mark.parametrize("ending", ENDINGS)
async def test_the_server_outlives_every_hostile_request(port, ending, caplog):
    for name, data in HOSTILE.items():
        await hit(port, data, ending)
        assert await answers_ping(port), name
        assert caplog.records == [] or name == "a handler that fails", name
        caplog.clear()


async def test_the_server_outlives_all_of_them_at_once(port):
    async with trio.open_nursery() as crowd:
        for data in HOSTILE.values():
            for ending in ENDINGS:
                crowd.start_soon(hit, port, data, ending)

    assert await answers_ping(port)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("garbage", 400),
        ("version 2.0", 400),
        ("target of a query only", 400),
        ("absolute target with a broken address", 400),
        ("a proxy's CONNECT", 400),
        ("no Host", 400),
        ("two Hosts", 400),
        ("length and chunks", 400),
        ("chunk size that is no number", 400),
        ("a header of 1 MiB", 431),
        ("gzip as a transfer coding", 501),
        ("HTTP/2 preface and garbage", 400),
        ("TLS hello", 400),
        ("length far too large", 413),
        ("a handler that fails", 500),
    ],
)
async def test_what_we_cannot_serve_gets_a_plain_answer(port, name, status):
    answer = await hit(port, HOSTILE[name], "closed")

    assert answer.split(b" ")[1] == str(status).encode()


@pytest.mark.parametrize("name", ["WebSocket", "WebSocket and one byte more", "h2c", "h2c without settings"])
async def test_an_offer_to_upgrade_is_answered_in_plain_http(port, name):
    answer = await hit(port, HOSTILE[name], "closed")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\n\r\npong" in answer


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b":80",
        b"a..b",
        b"x" * 64,
        b".",
        b"[::1",
        b"[" * 20,
        b"\xff",
        b"a:b",
        b"a:1:2",
        b"u@a",
        b"a/b",
        b"a,b",
        b"::1",
    ],
)
async def test_a_host_that_is_no_name_is_400(port, host, caplog):
    answer = await hit(port, b"GET /ping HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", "closed")

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert caplog.records == []


@pytest.mark.parametrize(
    "host", [b"a", b"a:80", b"my_app", b"a.b.c.", b"127.0.0.1:65535", b"[::1]", b"[::1]:80", b"xn--", b"x" * 63]
)
async def test_a_host_may_be_named_in_many_ways(port, host):
    answer = await hit(port, b"GET /ping HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", "closed")

    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_an_old_client_may_leave_the_host_out(port):
    answer = await hit(port, b"GET /ping HTTP/1.0\r\n\r\n", "closed")

    assert answer.startswith(b"HTTP/1.1 200 ")
