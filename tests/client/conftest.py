"""A small HTTP server that answers what it is told to, and breaks off where it is told to."""

from contextlib import suppress
from functools import partial

import pytest
import trio
from attrs import define, field

from callsheet import AsyncClient


@define
class Script:
    """Answers each request with the next of its answers, the last one again and again; keeps what was asked."""

    answers: list[bytes | str | tuple]
    url: str = ""
    asked: list[dict[str, str]] = field(factory=list)

    async def serve(self, stream):
        """Answer one request and close."""
        data = b""
        with suppress(trio.BrokenResourceError):
            while b"\r\n\r\n" not in data:
                data += await stream.receive_some() or b"\r\n\r\n"
            head, _, body = data.partition(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            while len(body) < int(headers.get("content-length", 0)):
                body += await stream.receive_some()
            self.asked.append({"": first, "body": body.decode(), **headers})
            given = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            await stream.send_all(rendered(given))
            await stream.aclose()

    @property
    def paths(self):
        """Return the first lines of what was asked."""
        return [one[""].rsplit(" ", 1)[0] for one in self.asked]


def rendered(given):
    """Return the bytes of an answer that ends with its connection: a body, or (body, status, kind, headers)."""
    if isinstance(given, bytes):
        return given
    body, status, kind, headers = given if isinstance(given, tuple) else (given, "200 OK", "application/json", {})
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", "Connection: close"]
    head += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*head, "", body]).encode()


@pytest.fixture
async def script(nursery):
    """A function (*answers) -> a running Script, and a client of it that does not wait long."""

    async def start(*answers, **options):
        one = Script(list(answers))
        [listener] = await nursery.start(partial(trio.serve_tcp, one.serve, 0, host="127.0.0.1"))
        one.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        return one, AsyncClient(one.url, environment={}, **options)

    return start
