"""How a request comes to the app and its answer goes back: Quart-Trio's connection, mended in two places."""

from math import inf
from typing import Any, cast

import trio
from attrs import frozen
from hypercorn.typing import ASGIReceiveCallable, ASGIReceiveEvent, ASGISendCallable, ASGISendEvent, HTTPDisconnectEvent
from quart import Request as QuartRequest
from quart_trio.asgi import TrioASGIHTTPConnection

BODILESS = {"GET", "HEAD", "OPTIONS"}  # methods whose bodies nobody reads
MOST_UNREAD = 1024 * 1024  # bytes of such a body


def _unread(receive: ASGIReceiveCallable) -> ASGIReceiveCallable:
    """Let no body through, which Quart would keep for as long as its request lasts; too large a one ends it."""
    size = 0

    async def bodiless() -> ASGIReceiveEvent:
        nonlocal size
        message = await receive()
        if message["type"] == "http.request":
            size += len(message["body"])
            if size > MOST_UNREAD:
                return HTTPDisconnectEvent(type="http.disconnect")
            message["body"] = b""
        return message

    return bodiless


class SafeHTTP(TrioASGIHTTPConnection):
    """Quart-Trio's connection, but an answer that is complete is not cancelled by the `http.disconnect` after it.

    And a body is no larger than `MAX_CONTENT_LENGTH`, whichever Quart it is.
    """

    _answered = False

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer one request."""

        async def watched(message: ASGISendEvent) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body"):
                self._answered = True
            await send(message)

        await super().__call__(receive, watched)

    async def handle_request(  # type: ignore[override]
        self, nursery: trio.Nursery, request: QuartRequest, send: ASGISendCallable
    ) -> None:
        """Have the app answer; in the scope it finds how to cut its answer off."""
        self.scope["callsheet.stream"] = nursery.cancel_scope  # type: ignore[typeddict-unknown-key]
        try:
            await super().handle_request(nursery, request, send)
        finally:
            gone: Any = self.scope.get("callsheet.gone")
            if gone is not None:  # a large answer, see web/answers.py
                gone()

    async def handle_messages(  # type: ignore[override]
        self, nursery: trio.Nursery, request: QuartRequest, receive: ASGIReceiveCallable
    ) -> None:
        """Pass the body on; cancel the handler if its client leaves before the answer."""
        sparing = cast("trio.Nursery", _Sparing(self, nursery.cancel_scope))
        bounded = _unread(receive) if request.method in BODILESS else self._bounded(receive)
        await super().handle_messages(sparing, request, bounded)

    def _bounded(self, receive: ASGIReceiveCallable) -> ASGIReceiveCallable:
        """End a body with the message that takes it over the limit; Quart 0.23 would collect whatever comes.

        The message itself is passed on: whoever reads the body sees that it is too large.
        """
        room = self.app.config["MAX_CONTENT_LENGTH"] or inf

        async def next_message() -> ASGIReceiveEvent:
            nonlocal room
            message = await receive()
            while room < 0 and message["type"] == "http.request":
                message = await receive()
            if message["type"] == "http.request":
                room -= len(message["body"])
                return message if room >= 0 else {**message, "more_body": False}
            return message

        return next_message

    def client_left(self, handler: trio.CancelScope) -> None:
        """Cancel the handler, unless its answer is complete."""
        if not self._answered:
            handler.cancel()


@frozen
class _Sparing:
    """What Quart-Trio is given for a nursery and its scope, of which it asks only to be cancelled."""

    connection: SafeHTTP
    handler: trio.CancelScope

    @property
    def cancel_scope(self) -> "_Sparing":
        return self

    def cancel(self) -> None:
        self.connection.client_left(self.handler)
