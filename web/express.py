"""The short way for what is asked most: one instance looked up, one instance started, without Quart.

Only a request that is plain in every respect goes this way: its headers are those that all clients send, its key is
good, its pace is right, its body is there at once. Whatever else it is, it goes the long way, as if nobody had looked
at it, so that every refusal and every special wish is decided in one place. Both ways answer the same, byte for byte.

A request that came over its connection in one piece is answered before h11 sees it (`at_once`); one in pieces is put
together by h11 and comes as ASGI has it. The reasons are in docs/decisions/0038 and 0039.
"""

import re
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from typing import Any
from uuid import UUID, uuid4

import msgspec
import trio
from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGIReceiveEvent, ASGISendCallable
from werkzeug.datastructures import Headers

from callsheet.errors import Invalid, Unknown
from callsheet.tokens import KEYLESS, Caller, may
from storage.journal.commands import OnBehalf, Start, StartInstances
from web.answers import LARGE
from web.gate import Gate
from web.guard import SECURITY_HEADERS, check_host
from web.plain import Plain, plain_of_bytes, plain_of_scope
from web.problems import Told, told_as_problem
from web.roles import needed_role
from web.site import Site
from web.starts import accepted, read_start
from web.strict_json import BadJSON, decode
from web.waits import instance_as_seen

LOOK, START = "/v1/instances/<name>", "/v1/instances"
_PATH = re.compile(rb"/v1/instances/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_START_PATH = START.encode()
_BEGINNINGS = (b"GET /v1/instances/", b"POST /v1/instances ")
PATIENCE = 0.5  # seconds for a body that came with its head; a slow one has the rest of its time on the long way

_JSON_TYPE = {"Content-Type": "application/json"}
_SECURE = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]

_encoder = msgspec.json.Encoder()

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]
"""An answer: its status, headers and body."""
Body = Callable[[], Awaitable[bytes | None]]
"""Gives the whole body of a request; None if it does not come at once."""


class Express:
    """In front of the app: takes what is plain, and passes on what is not."""

    def __init__(self, app: ASGIFramework, site: Site, gate: Gate, *, insecure: bool) -> None:
        self._app, self._site, self._gate, self._insecure = app, site, gate, insecure

    async def __call__(self, scope: Any, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer one request."""
        came = Came(receive)
        asked = plain_of_scope(scope)
        told = None if asked is None else await self._told(asked, came.whole)
        if told is None:
            await self._app(scope, came.again, send)
        else:
            await send({"type": "http.response.start", "status": told.status, "headers": _headers_of(told)})
            await send({"type": "http.response.body", "body": told.body, "more_body": False})

    async def at_once(self, data: bytes, address: str) -> Answer | None:
        """Answer what has come over a connection if that is one whole request, and one for the short way."""
        found = plain_of_bytes(data, address) if data.startswith(_BEGINNINGS) else None
        if found is None:
            return None
        asked, body = found
        told = await self._told(asked, _at_hand(body))
        return None if told is None else (told.status, _headers_of(told), told.body)

    async def _told(self, asked: Plain, body: Body) -> Told | None:
        """Return the answer, None to go the long way."""
        if self._site.tracing is not None:
            return None
        if asked.method == "GET":
            found = _PATH.fullmatch(asked.path)
            return await self._look(asked, found[1].decode()) if found else None
        if asked.method == "POST" and asked.path == _START_PATH and asked.brings_small_json:
            return await self._start(asked, body)
        return None

    async def _look(self, asked: Plain, wanted: str) -> Told | None:
        caller = self._caller(asked, LOOK)
        if caller is None or b"content-length" in asked.headers:
            return None
        return await self._within_pace(asked, caller, LOOK, partial(self._found, UUID(wanted)))

    async def _start(self, asked: Plain, body: Body) -> Told | None:
        caller = self._caller(asked, START)
        if caller is None or not self._gate.welcomes(caller, asked.address):
            return None
        given = await body()
        wanted = None if given is None else self._wanted(given)
        if wanted is None:
            return None
        return await self._within_pace(asked, caller, START, partial(self._started, wanted, caller))

    def _caller(self, asked: Plain, route: str) -> Caller | None:
        """Return who is let in as the gate would; None if it would not."""
        keyring, host = self._gate.keyring, asked.headers.get(b"host")
        if host is None or not (self._insecure or keyring.needed or _is_ours(host)):
            return None
        caller: Caller | None = KEYLESS
        if keyring.needed:
            shown = asked.headers.get(b"authorization", b"").decode("latin1")
            caller = self._gate.caller_with(shown, self._site.clock.now())
        return caller if caller and may(caller.role, needed_role(asked.method, route)) else None

    async def _within_pace(
        self, asked: Plain, caller: Caller, route: str, answer: Callable[[str], Awaitable[Told]]
    ) -> Told | None:
        """Answer, and count it; what was started has no other way to take any more."""
        began = time.perf_counter()
        quota = self._gate.pace_of(caller, asked.address)
        if quota is not None and not quota.welcome:
            return None
        request_id = uuid4().hex
        try:
            told = await answer(request_id)
        except Exception as error:  # noqa: BLE001 - the outermost place of a request; it is told in the log
            told = told_as_problem(error, asked.method, asked.path.decode(), request_id)
        if len(told.body) >= LARGE:
            return None  # there may be only so many of these at a time
        self._site.traffic.count(asked.method, route, told.status, time.perf_counter() - began)
        told.headers.update(self._gate.left(quota))
        return told

    async def _found(self, wanted: UUID, _: str) -> Told:
        return Told(200, _encoder.encode(await instance_as_seen(self._site, wanted)), dict(_JSON_TYPE))

    async def _started(self, wanted: Start, caller: Caller, request_id: str) -> Told:
        command = OnBehalf(StartInstances((wanted,)), caller.name, request_id)
        [started] = await self._site.have_done(command, starts=True)
        reply = accepted(started, wanted.task)
        return Told(reply.status, reply.body, _JSON_TYPE | reply.headers)

    def _wanted(self, body: bytes) -> Start | None:
        """Return what to start; None if anything is wrong with the body, for the long way to tell what."""
        try:
            return read_start(self._site.tasks, decode(body))
        except (BadJSON, Invalid, Unknown):
            return None


class Came:
    """What has come of a request; whoever takes it over gets it again."""

    def __init__(self, receive: ASGIReceiveCallable) -> None:
        self._receive: Callable[[], Awaitable[ASGIReceiveEvent]] = receive
        self._messages: deque[ASGIReceiveEvent] = deque()

    async def whole(self) -> bytes | None:
        """Return the body, None if it does not come at once."""
        body = b""
        with trio.move_on_after(PATIENCE):
            while True:
                message = await self._receive()
                self._messages.append(message)
                if message["type"] != "http.request":
                    return None
                body += message["body"]
                if not message["more_body"]:
                    return body
        return None

    async def again(self) -> ASGIReceiveEvent:
        """Return the next message, first of all those that came already."""
        return self._messages.popleft() if self._messages else await self._receive()


def _at_hand(body: bytes) -> Body:
    async def whole() -> bytes:
        return body

    return whole


def _headers_of(told: Told) -> list[tuple[bytes, bytes]]:
    own = [(name.lower().encode(), value.encode()) for name, value in told.headers.items()]
    return [*own, (b"content-length", b"%d" % len(told.body)), *_SECURE]


@lru_cache(maxsize=64)
def _is_ours(host: bytes) -> bool:
    return check_host(Headers([("Host", host.decode("latin1"))])) is None
