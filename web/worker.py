"""The HTTP server: Hypercorn's HTTP/1.1 under Trio, held by limits that no client can get round.

Hypercorn 0.18 as it comes lets one request end the server, and one client that does not read hold it for ever
(docs/decisions/0006). We keep its HTTP/1.1 protocol and its ASGI side, and bring our own connections and accept loop.

What is Quart's to bound, the app must set: `asgi_http_class = SafeHTTP`, and in its config `BODY_TIMEOUT` (408),
`MAX_CONTENT_LENGTH` (413) and `RESPONSE_TIMEOUT`; a stream that is meant to last sets `response.timeout = None`.

An app may bring `at_once`, which answers whole requests before Hypercorn's protocol sees them (docs/decisions/0039).
"""

import logging
import resource
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any

import h11
import trio
from attrs import frozen
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.logging import Logger
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import (
    ASGIFramework,
    ConnectionState,
    ResponseSummary,
    WWWScope,
)

from callsheet.errors import RefusedToStart
from callsheet.logs import told
from callsheet.tokens import hidden
from web.http1 import Http1

log = logging.getLogger("callsheet.web")
requests = logging.getLogger("callsheet.access")

READ_SIZE = 64 * 1024
SLICE = 64 * 1024
TURNED_AWAY_AT_ONCE = 100
TURNED_AWAY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

Headers = list[tuple[bytes, bytes]]
AtOnce = Callable[[bytes, str], Awaitable[tuple[int, Headers, bytes] | None]]
"""What an app may bring: the answer to what has come from an address, None if it must go the usual way."""


@frozen
class Limits:
    """What one client can hold, and for how long; times in seconds."""

    graceful_timeout: float = 0.5
    """For requests under way when the server is told to stop."""
    keep_alive_timeout: float = 15
    """For the next request to begin, from the moment the last answer was sent."""
    head_timeout: float = 10
    """For the whole head of a request, from its first byte."""
    write_timeout: float = 8
    """For the client to take the next 64 KiB of an answer."""
    linger: float = 1
    """For the client to hang up after a last answer, so that it can read it."""
    max_connections: int = 2_000
    """At most; and never more than half of the file descriptors we may open."""

    @property
    def room(self) -> int:
        """Return how many connections there may be."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return min(self.max_connections, soft // 2) if soft > 0 else self.max_connections


STANDARD = Limits()


async def serve(
    app: ASGIFramework,
    *,
    host: str,
    port: int,
    shutdown: trio.Event,
    limits: Limits = STANDARD,
    listeners: list[trio.SocketListener] | None = None,
    live: set[Any] | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` until `shutdown`, then end within `graceful_timeout`; raise RefusedToStart if we cannot listen.

    Listens on `host` and `port`, or takes over `listeners` that are open already; `live` holds the connections that are
    open, for others to count. Tells its addresses
    ("http://127.0.0.1:8080") once it answers. ASGI lifespan is not spoken, so Quart's `before_serving` and background
    tasks do not run: what lives as long as the service is an actor outside of it.
    """
    listeners = listeners or await listen(host, port)
    server = _Server(app, limits, set() if live is None else live)
    async with trio.open_nursery() as connections:
        async with trio.open_nursery() as door:
            door.start_soon(partial(trio.serve_listeners, server.receive, listeners, handler_nursery=connections))
            task_status.started([url_of(listener) for listener in listeners])
            await shutdown.wait()
            door.cancel_scope.cancel()
        connections.cancel_scope.deadline = trio.current_time() + limits.graceful_timeout
        await server.retire()


async def listen(host: str, port: int) -> list[trio.SocketListener]:
    """Open the addresses of `host`; raise RefusedToStart, which says what is in the way."""
    # Many machines name ::1 "localhost" and then have no IPv6 to bind it.
    address = "127.0.0.1" if host == "localhost" else host
    try:
        if not 0 <= port < 2**16:  # getaddrinfo quietly takes 70000 for 4464
            raise OSError("a port is a number from 0 to 65535")
        return await trio.open_tcp_listeners(port, host=address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RefusedToStart(
            f"Cannot listen on {host}, port {port}: {reason}. Choose another with --host and --port."
        ) from error


def url_of(listener: trio.SocketListener) -> str:
    """Return the address of a listener as a URL."""
    host, port, *_ = listener.socket.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server:
    """All connections of one server."""

    def __init__(self, app: ASGIFramework, limits: Limits, live: set["_Connection"]) -> None:
        self._app = ASGIWrapper(app)
        self._at_once: AtOnce | None = getattr(app, "at_once", None)
        self._limits = limits
        self._context = WorkerContext(None)
        self._config = Config()
        self._config.logger_class = _Log
        self._config.include_server_header = False
        self._live = live
        self._turning_away = 0
        self._room = limits.room

    async def receive(self, stream: trio.SocketStream) -> None:
        """Attend to one client from its first byte to its last; whatever goes wrong ends here."""
        try:
            if len(self._live) < self._room and not self._context.terminated.is_set():
                await self._attend(stream)
            elif self._turning_away < TURNED_AWAY_AT_ONCE:
                await self._turn_away(stream)
        except* Exception:
            # The outermost place of a connection: its fault must not end the others.
            log.warning("connection failed", exc_info=True, extra=told("connection.failed"))

    async def _attend(self, stream: trio.SocketStream) -> None:
        connection = _Connection(self._app, self._at_once, self._config, self._context, self._limits, stream)
        self._live.add(connection)
        try:
            await connection.run()
        finally:
            self._live.discard(connection)

    async def _turn_away(self, stream: trio.SocketStream) -> None:
        self._turning_away += 1
        try:
            with suppress(trio.BrokenResourceError), trio.move_on_after(self._limits.linger):
                await stream.send_all(TURNED_AWAY)
                await _linger(stream)
        finally:
            self._turning_away -= 1

    async def retire(self) -> None:
        """Close idle connections now, and the others after their answer."""
        await self._context.terminated.set()
        for connection in self._live:
            connection.retire()


class _Connection:
    """One client's connection, as Hypercorn's `TCPServer`, but with every wait bounded and none shielded.

    Its scope holds the reader and the request's app; once that is cancelled nothing more is sent.
    """

    def __init__(
        self,
        app: ASGIWrapper,
        at_once: AtOnce | None,
        config: Config,
        context: WorkerContext,
        limits: Limits,
        stream: trio.SocketStream,
    ) -> None:
        self._app, self._at_once, self._config, self._context = app, at_once, config, context
        self._limits = limits
        self._stream = stream
        self._sending = trio.Lock()
        self._scope = trio.CancelScope()
        self._receiving = trio.CancelScope()
        self._deadline = inf
        self._begun = False
        self._interrupted = False
        self._client: tuple[str, int] | None = None

    async def run(self) -> None:
        """Answer requests until the client leaves or a limit is reached; the caller closes the stream."""
        with self._scope:
            async with TaskGroup() as tasks:
                self._client, server = _ends(self._stream)
                self._protocol = Http1(
                    self._app,
                    self._config,
                    self._context,
                    tasks,
                    ConnectionState({}),
                    False,
                    self._client,
                    server,
                    self._on_event,
                )
                self._expect_request(within=self._limits.keep_alive_timeout)
                await self._read()
                self._scope.cancel()
        if self._interrupted:
            with suppress(trio.BrokenResourceError), trio.move_on_after(self._limits.linger):
                await _linger(self._stream)

    def retire(self) -> None:
        """Close now if no request is under way; if one is, the protocol closes after the answer."""
        if self._deadline < inf:
            self._scope.cancel()

    async def _read(self) -> None:
        with suppress(trio.BrokenResourceError):
            while True:
                with trio.CancelScope(deadline=self._deadline) as self._receiving:
                    data = await self._stream.receive_some(READ_SIZE)
                if self._receiving.cancelled_caught or not data:
                    return
                if self._deadline == inf or not await self._answered_at_once(bytes(data)):
                    self._note_head()
                    await self._protocol.handle(RawData(bytes(data)))

    async def _answered_at_once(self, data: bytes) -> bool:
        """Answer a request that came in one piece while nothing else was under way, if the app knows how."""
        if self._at_once is None or not self._protocol.may_stay:
            return False
        deadline, self._deadline, began = self._deadline, inf, time.time()
        answer = await self._at_once(data, self._client[0] if self._client else "?")
        if answer is None:
            self._deadline = deadline
            return False
        await self._send(self._protocol.as_bytes(*answer))
        if requests.isEnabledFor(logging.INFO):
            method, path, _ = data.split(b" ", 2)
            _note(method.decode(), path, answer[0], self._client, time.time() - began)
        if self._context.terminated.is_set():
            self._scope.cancel()
        self._expect_request(within=self._limits.keep_alive_timeout)
        return True

    async def _on_event(self, event: Event) -> None:
        match event:
            case RawData(data=data):
                await self._send(data)
            case Updated(idle=idle):
                self._expect_request(within=self._limits.keep_alive_timeout if idle else inf)
            case Closed():
                self._interrupted = self._protocol.connection.their_state in {h11.SEND_BODY, h11.ERROR}
                self._scope.cancel()

    def _expect_request(self, *, within: float) -> None:
        self._begun = False
        self._deadline = self._receiving.deadline = trio.current_time() + within
        if self._protocol.connection.trailing_data[0]:  # of a client that does not wait for answers
            self._note_head()

    def _note_head(self) -> None:
        """From its first byte, a head has less time than a connection that is idle."""
        if not self._begun and self._deadline < inf:
            self._begun = True
            latest = trio.current_time() + self._limits.head_timeout
            self._deadline = self._receiving.deadline = min(self._deadline, latest)

    async def _send(self, data: bytes) -> None:
        if not data:
            return
        whole = False
        try:
            async with self._sending:
                for part in range(0, len(data), SLICE):
                    with trio.fail_after(self._limits.write_timeout):
                        await self._stream.send_all(memoryview(data)[part : part + SLICE])
            whole = True
        except (trio.BrokenResourceError, trio.TooSlowError):
            log.debug("client gone or not reading", extra=told("connection.gone"))
        finally:
            if not whole:  # cancelled, too: half an answer cannot be continued
                self._scope.cancel()


async def _linger(stream: trio.SocketStream) -> None:
    """Say that nothing more comes, and wait for the client to hang up.

    Closing a socket with unread bytes resets it, and the client loses the answer it has not read yet.
    """
    await stream.send_eof()
    while await stream.receive_some(READ_SIZE):
        pass


def _ends(stream: trio.SocketStream) -> tuple[tuple[str, int] | None, tuple[str, int] | None]:
    try:
        return stream.socket.getpeername()[:2], stream.socket.getsockname()[:2]
    except OSError:  # it is gone already; the first read will say so
        return None, None


class _Log(Logger):
    """Hypercorn's log as ours: requests where that is asked for, faults as they are."""

    def __init__(self, config: Config) -> None:
        self.access_log_format = config.access_log_format
        self.access_logger = self.error_logger = log

    async def access(self, request: WWWScope, response: ResponseSummary | None, request_time: float) -> None:
        if requests.isEnabledFor(logging.INFO):
            status = response["status"] if response else None
            _note(str(request.get("method", "")), request["raw_path"], status, request["client"], request_time)


def _note(method: str, path: bytes, status: int | None, client: Any, took: float) -> None:
    """Log a request."""
    shown, seconds = hidden(path.decode("ascii", "replace")), round(took, 6)
    address = (client or ["unknown"])[0]
    extra = told("http.request", method=method, path=shown, status=status, seconds=seconds, client=address)
    requests.info("%s %s %s %.1f ms", method, shown, status or "-", seconds * 1000, extra=extra)
