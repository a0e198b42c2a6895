"""Server-sent events, read from the chunks that a connection gives."""

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
from attrs import define, field, frozen

from callsheet.client.call import decoder
from callsheet.client.values import Event

T = TypeVar("T")

OF_ITSELF = ("position", "bye")  # what the stream of events says of itself
MOST = 16 * 1024 * 1024  # characters of one message; more than any answer of ours


@frozen
class Message:
    """One message; `id` is the latest that the stream named."""

    event: str
    data: str
    id: str | None


@define
class Parser:
    """Takes bytes as they come and gives whole messages; comments, which are heartbeats, give none."""

    _rest: bytes = b""
    _event: str = ""
    _data: list[str] = field(factory=list)
    _id: str | None = None

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """Yield the messages that end in this chunk."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MOST:
            raise ValueError("a line of the stream has no end")
        for line in lines:
            message = self._line(line.removesuffix(b"\r").decode(errors="replace"))
            if message is not None:
                yield message

    def _line(self, line: str) -> Message | None:
        if not line:
            return self._end()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _end(self) -> Message | None:
        data, event = self._data, self._event or "message"
        self._data, self._event = [], ""
        return Message(event, "\n".join(data), self._id) if data or event != "message" else None


def event_of(message: Message) -> Event:
    """Return the event in a message: its data is the event whole, or only what the event says."""
    document: Any = msgspec.json.decode(message.data)
    if isinstance(document, dict) and "type" in document:
        return msgspec.convert({"id": message.id or "", **document}, Event)
    data = document if isinstance(document, dict) else {"value": document}
    return Event(id=message.id or "", type=message.event, data=data)


def item_of(message: Message, kind: type[T]) -> T | None:
    """Return the item of a list in a message; None for a message that says something about the stream itself."""
    try:
        return decoder(kind).decode(message.data)
    except msgspec.MsgspecError:
        return None
