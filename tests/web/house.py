"""A tiny app behind our server, with clients that speak to it in bytes."""

from contextlib import asynccontextmanager
from functools import partial

import trio
from quart import request
from quart_trio import QuartTrio

from web.quart_connection import SafeHTTP
from web.worker import Limits, serve

GET = b"GET /%b HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: localhost\r\n"
MIB = 2**20
QUICK = Limits(graceful_timeout=0.2, keep_alive_timeout=0.2, write_timeout=0.2, linger=0.1)
PATIENT = Limits(graceful_timeout=5, keep_alive_timeout=5, write_timeout=5, linger=0.1)


class House:
    """A tiny app, and what its handlers went through."""

    def __init__(self):
        self.app = app = QuartTrio("tiny")
        self.entered = trio.Event()
        self.cancelled = trio.Event()
        self.read = trio.Event()
        self.kept = 0
        app.asgi_http_class = SafeHTTP
        app.config.update(BODY_TIMEOUT=0.2, MAX_CONTENT_LENGTH=MIB)
        for name in ("ping", "large", "slow", "stuck", "stream"):
            app.add_url_rule(f"/{name}", view_func=getattr(self, name))
        for name in ("echo", "late"):
            app.add_url_rule(f"/{name}", view_func=getattr(self, name), methods=["POST"])

    async def ping(self):
        return "pong"

    async def echo(self):
        self.entered.set()
        return await request.get_data()

    async def late(self):
        await self.read.wait()
        async for part in request.body:
            self.kept += len(part)
        return "read"

    async def large(self):
        return bytes(64 * MIB)

    async def slow(self):
        self.entered.set()
        await trio.sleep(0.1)
        return "done"

    async def stuck(self):
        self.entered.set()
        try:
            await trio.sleep_forever()
        finally:
            self.cancelled.set()

    async def stream(self):
        async def events():
            while True:
                yield b": still here\n\n"
                await trio.sleep(0.01)

        return events(), {"Content-Type": "text/event-stream"}


class Running:
    """A server that runs on a free port of loopback."""

    def __init__(self):
        self.shutdown = trio.Event()
        self.ended = trio.Event()

    async def run(self, app, limits, *, task_status):
        start = partial(serve, host="127.0.0.1", port=0, shutdown=self.shutdown, limits=limits)
        async with trio.open_nursery() as nursery:
            urls = await nursery.start(partial(start, app))
            self.port = int(urls[0].rpartition(":")[2])
            task_status.started()
        self.ended.set()

    async def connect(self):
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def get(self, path):
        async with await self.connect() as client:
            await client.send_all(GET % path)
            return await read_until(client, b"pong")

    async def has_room(self):
        """Wait until it lets us in."""
        with trio.fail_after(5):
            while b" 200 " not in await self.get(b"ping"):
                await trio.sleep(0.02)

    async def stop(self):
        """Stop it, and return how many seconds that took."""
        begun = trio.current_time()
        self.shutdown.set()
        with trio.fail_after(10):
            await self.ended.wait()
        return trio.current_time() - begun


@asynccontextmanager
async def running(app, limits=QUICK):
    server = Running()
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run, app, limits)
        yield server
        nursery.cancel_scope.cancel()


async def read_until(client, mark):
    """Return what comes until `mark` has come, or the server hangs up."""
    data = b""
    with trio.fail_after(10):
        while mark not in data and (part := await client.receive_some()):
            data += part
    return data


async def read_to_the_end(client):
    """Return all that comes until the server hangs up, and the seconds that took."""
    begun, data = trio.current_time(), b""
    with trio.fail_after(10):
        while part := await client.receive_some():
            data += part
    return data, trio.current_time() - begun
