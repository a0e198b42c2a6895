"""A client that hears a stream of events byte by byte, as the standard says."""

import json

import h11
import trio
from attrs import define, field, frozen


@frozen
class Heard:
    """One event of a stream."""

    event: str
    id: str | None
    data: dict


@define
class Ear:
    """Hears a stream as the standard says: a blank line ends an event, and one without data is none."""

    stream: trio.SocketStream
    http: h11.Connection = field(factory=lambda: h11.Connection(h11.CLIENT))
    comments: list = field(factory=list)
    _text: str = ""

    async def ask(self, target, headers):
        """Send the request and return the head of the answer."""
        request = h11.Request(method="GET", target=target, headers=[("Host", "localhost"), *headers])
        await self.stream.send_all(self.http.send(request) + self.http.send(h11.EndOfMessage()))
        return await self._receive()

    async def _receive(self):
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.stream.receive_some())
        return event

    async def _line(self):
        while "\n" not in self._text:
            event = await self._receive()
            if not isinstance(event, h11.Data):
                return None
            self._text += event.data.decode()
        line, _, self._text = self._text.partition("\n")
        return line

    async def next(self):
        """Return the next event, None at the end of the stream."""
        found = {}
        with trio.fail_after(20):
            while (line := await self._line()) is not None:
                if line.startswith(":"):
                    self.comments.append(line)
                elif line:
                    name, _, value = line.partition(": ")
                    found[name] = value
                elif "data" in found:
                    return Heard(found["event"], found.get("id"), json.loads(found["data"]))
        return None

    async def take(self, count):
        """Return the next few."""
        return [await self.next() for _ in range(count)]

    async def rest(self):
        """Return all until the end."""
        heard = []
        while (one := await self.next()) is not None:
            heard.append(one)
        return heard
