"""HTTP/1.1 as we speak it: Hypercorn's protocol, strict about what a request is, and nothing beside it."""

import re
from typing import Any

import h11
import trio
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Request
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import HTTPStream

HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|(?:[0-9A-Za-z_-]{1,63}\.)*[0-9A-Za-z_-]{1,63}\.?)(?::[0-9]{1,5})?")
UNCOPIED = 8 * 1024


class _LastRequest(h11.Connection):
    """Ignores what follows a request that said it is the last: it must not turn an answer into a 400."""

    def next_event(self) -> Any:
        """Return the next event, none after the last request."""
        return h11.NEED_DATA if self.their_state is h11.MUST_CLOSE else super().next_event()


class Http1(H11Protocol):
    """HTTP/1.1 and nothing else: offers to upgrade to HTTP/2 or WebSocket are ignored (RFC 9110, 7.8)."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.connection = _LastRequest(h11.SERVER, max_incomplete_event_size=self.config.h11_max_incomplete_size)
        self._head = b""  # of an answer whose body comes at once

    @property
    def may_stay(self) -> bool:
        """Tell whether nothing is under way, or half read, and the connection may go on after one more request."""
        connection = self.connection
        return (
            connection.their_state is h11.IDLE
            and connection.our_state is h11.IDLE
            and connection.trailing_data == (b"", False)
            and self.keep_alive_requests + 1 < self.config.keep_alive_max_requests
        )

    def as_bytes(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
        """Return an answer as it goes over the wire, which h11 does not hear of; count it."""
        self.keep_alive_requests += 1
        lines = [b"%b: %b\r\n" % header for header in (*headers, *self.config.response_headers("h11"))]
        return b"HTTP/1.1 %d \r\n%b\r\n%b" % (status, b"".join(lines), body)

    async def handle(self, event: Event) -> None:
        """Take bytes from the client, unless it has said that nothing more comes."""
        if isinstance(event, RawData) and self.connection.their_state is h11.MUST_CLOSE:
            return
        await super().handle(event)

    async def stream_send(self, event: StreamEvent) -> None:
        """Send a part of the answer, unless the connection is over."""
        # Hypercorn also says "the app has ended" to a stream whose last word was cut off, and h11 then refuses.
        await trio.lowlevel.checkpoint_if_cancelled()
        await super().stream_send(event)

    async def _send_h11_event(self, event: Any) -> None:
        """Send the head of an answer with its body if that is at hand, and large data without copying it."""
        if isinstance(event, h11.Response) and _says_its_length(event):
            self._head = self._bytes_of(event)
            return
        body = isinstance(event, h11.Data) and self.connection.our_state is h11.SEND_BODY
        if body and len(event.data) >= UNCOPIED:  # what many streams share costs none of them anything
            parts = [self._head, *self.connection.send_with_data_passthrough(event)]  # type: ignore[union-attr,misc]
        else:
            parts = [self._head + self._bytes_of(event)]
        self._head = b""
        for part in parts:
            await self.send(RawData(data=part))

    def _bytes_of(self, event: Any) -> bytes:
        try:
            return self.connection.send(event) or b""
        except h11.LocalProtocolError:
            if self.connection.their_state is not h11.ERROR:
                raise
            return b""

    async def _check_protocol(self, event: h11.Request) -> None:
        """Do not look for HTTP/2."""

    async def _create_stream(self, request: h11.Request) -> None:
        if not _is_plain(request):
            await self._send_error_response(400)
            await self.send(Closed())
            return
        self.keep_alive_requests += 1
        self.stream = HTTPStream(
            self.app, self.config, self.context, self.task_group, self.ssl, self.client, self.server,
            self.stream_send, STREAM_ID,
        )  # fmt: skip
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=list(request.headers),
                http_version=request.http_version.decode(),
                method=request.method.decode("ascii").upper(),
                raw_path=request.target,
                state=self.connection_state,
            )
        )


def _says_its_length(response: h11.Response) -> bool:
    """Tell whether the body is there already: one that is made as it is sent has no length, and its head goes ahead."""
    return any(name == b"content-length" for name, _ in response.headers)


def _is_plain(request: h11.Request) -> bool:
    """Tell whether we speak this version, name things this way, and know for sure where the body ends.

    Quart answers 500 to a target without a slash and to a host that is no name, each with a traceback in the log.
    """
    headers = dict(request.headers)
    return (
        request.http_version in {b"1.0", b"1.1"}
        and request.target.startswith(b"/")
        and HOST.fullmatch(headers.get(b"host", b"none")) is not None
        and not (b"transfer-encoding" in headers and b"content-length" in headers)
    )
