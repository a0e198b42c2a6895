"""A tiny HTTP server on loopback for `http_get`, and a resolver that knows it."""

from contextlib import suppress
from ipaddress import ip_address

import trio

TLS_HELLO = b"\x16"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def redirect(location, status=302):
    head = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    return head.encode()


async def silence(stream):
    await trio.sleep_forever()


class Server:
    """A tiny HTTP server on loopback: one answer per connection, the last one again and again."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []
        self.hosts = []  # what TLS clients named
        self.port = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"

    async def handle(self, stream):
        async with stream:
            request = b""
            while not request.endswith(b"\r\n\r\n") and request[:1] != TLS_HELLO:
                chunk = await stream.receive_some()
                if not chunk:
                    return
                request += chunk
            self.requests.append(request.decode("latin-1"))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            await (stream.send_all(answer) if isinstance(answer, bytes) else answer(stream))

    async def start(self, nursery, tls=None):
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        if tls is not None:
            tls.sni_callback = lambda _socket, name, _context: self.hosts.append(name)
            listener = trio.SSLListener(listener, tls, https_compatible=True)
        nursery.start_soon(trio.serve_listeners, self.guarded, [listener])
        return self

    async def guarded(self, stream):
        with suppress(trio.BrokenResourceError):  # the client had enough, or does not trust us
            await self.handle(stream)


def names(**table):
    """A resolver that knows the names of `table` and keeps count of what it was asked."""

    async def look_up(host, port):
        look_up.asked.append((host, port))
        answers = table[host.removesuffix(".test")]
        return [ip_address(answer) for answer in answers]

    look_up.asked = []
    return look_up
