"""The task `http_get`: fetch one address, and tell its status and how long it took.

Whoever may start a task chooses where this process connects to, so a name is resolved once, every
answer is checked by the guard, and the connection goes to an address that was checked
(docs/decisions/0008). One bare httpcore2 connection per hop, without a client on top: no proxy, no
netrc, no cookies, and cheap to set up.
"""

import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from functools import cache, partial
from ipaddress import ip_address
from math import inf
from typing import Annotated

import httpcore2
import httpx2
import msgspec
import trio

from callsheet import Out, __version__, task
from callsheet.builtin.addresses import Address, AddressRefused, check
from callsheet.errors import CallsheetError

MOST_REDIRECTS = 5
MOST_BYTES = 1024 * 1024
MOST_SECONDS = 30.0

_CONNECT_SECONDS = 10.0  # for one of several addresses, so that a dead one leaves time for the next
_LOOKUPS = 16
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}
_HEADERS = [
    (b"User-Agent", b"callsheet/" + __version__.encode()),
    (b"Accept", b"*/*"),
    (b"Accept-Encoding", b"identity"),
    (b"Connection", b"close"),
]

Resolve = Callable[[str, int], Awaitable[list[Address]]]


class NotReached(CallsheetError):
    """No connection came about: the name, the network or TLS failed."""

    kind = "not-reached"
    title = "The address could not be reached"


class BadAnswer(CallsheetError):
    """There was a connection, but no usable answer on it."""

    kind = "bad-answer"
    title = "The answer was no good"


class TooSlow(CallsheetError):
    """The answer was not complete in time."""

    kind = "too-slow"
    title = "The answer took too long"


class Get(msgspec.Struct, forbid_unknown_fields=True):
    """Fetch one address."""

    url: Annotated[str, msgspec.Meta(pattern="^https?://", max_length=2048)]


class Reply(msgspec.Struct):
    """The HTTP status, and the seconds until the body was read (at most 1 MiB of it)."""

    status: int
    seconds: float


@task(timeout="30s")
async def http_get(_in: Get, out: Out[Reply]) -> None:
    """Fetch one address with GET; an HTTP error status is a result, too."""
    # Whoever set another timeout meant it; our own limit is for attempts without any.
    await out.send(await fetch(_in.url, within=MOST_SECONDS if out.deadline == inf else inf))


_lookups: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("http_get look-ups")


async def resolve(host: str, port: int) -> list[Address]:
    """Look a name up once; NotReached if it has no address."""
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        try:
            found = look_up(flags=socket.AI_NUMERICHOST)  # numbers need no thread, however spelled
        except socket.gaierror:
            found = await trio.to_thread.run_sync(look_up, abandon_on_cancel=True, limiter=_lookup_limiter())
    except (OSError, UnicodeError) as error:
        raise NotReached(f"The name {host!r} could not be resolved: {_plain(error)}.") from error
    return list(dict.fromkeys(ip_address(answer[4][0]) for answer in found))


def _lookup_limiter() -> trio.CapacityLimiter:
    # Its own, because when DNS is down the waiting threads must not hold up those of `def` tasks.
    try:
        return _lookups.get()
    except LookupError:
        _lookups.set(trio.CapacityLimiter(_LOOKUPS))
        return _lookups.get()


async def fetch(
    url: str,
    *,
    resolve: Resolve = resolve,
    tls: ssl.SSLContext | None = None,
    within: float = MOST_SECONDS,
) -> Reply:
    """Get `url`, following redirects by hand, in at most `within` seconds.

    Raises AddressRefused, NotReached, BadAnswer or TooSlow, each with a sentence for people.
    """
    started = trio.current_time()
    with trio.move_on_after(within):  # a server that drips is never too slow for a timeout per read
        status = await _follow(_parse(url), resolve, tls)
        return Reply(status, round(trio.current_time() - started, 6))
    raise TooSlow(f"There was no complete answer within {within:g} s.")


def _parse(text: str) -> httpx2.URL:
    url = _dialable(text)
    if url.userinfo:
        raise AddressRefused("The URL holds a user name or password, and http_get sends none.")
    return url


def _dialable(text: str, base: httpx2.URL | None = None) -> httpx2.URL:
    """Read a URL, relative to `base` if there is one; AddressRefused if it cannot be dialled."""
    shown = repr(text[:200])
    try:
        url = httpx2.URL(text) if base is None else base.join(text)
    except httpx2.InvalidURL as error:
        raise AddressRefused(f"{shown} is not a URL: {_plain(error)}.") from None
    if url.scheme not in _PORTS:
        raise AddressRefused(f"{shown} is not fetched: only http and https URLs are.")
    if not url.host or not 1 <= _port(url) <= 65_535:
        raise AddressRefused(f"{shown} names no host and port that can be dialled.")
    return url


def _port(url: httpx2.URL) -> int:
    return _PORTS[url.scheme] if url.port is None else url.port


async def _follow(url: httpx2.URL, resolve: Resolve, tls: ssl.SSLContext | None) -> int:
    for _ in range(1 + MOST_REDIRECTS):
        with _in_words(url.host):
            status, location = await _hop(url, resolve, tls)
        if location is None:
            return status
        url = _dialable(location, url)
    raise BadAnswer(f"There were more than {MOST_REDIRECTS} redirects.")


async def _hop(url: httpx2.URL, resolve: Resolve, tls: ssl.SSLContext | None) -> tuple[int, str | None]:
    """Ask one server; answers the status, and where it redirects to, if it does."""
    target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=_port(url), target=url.raw_path)
    host = url.raw_host.decode()
    # Closed by us: httpcore2 leaves the socket open when it is cancelled in a TLS handshake.
    async with aclosing(await _dial(host, _port(url), resolve)) as stream:
        if url.scheme == "https":
            stream = await stream.start_tls(tls or _trusted(), host.removesuffix("."))
        connection = httpcore2.AsyncHTTP11Connection(target.origin, stream)
        headers = [(b"Host", url.netloc), *_HEADERS]
        async with connection.stream("GET", target, headers=headers) as response:
            location = _location(response)
            if location is None:
                await _read(response)
            return response.status, location


async def _dial(host: str, port: int, resolve: Resolve) -> httpcore2.AsyncNetworkStream:
    """Resolve a name once, let the guard see every answer, and connect to one of these."""
    addresses = await resolve(host, port)
    for address in addresses:  # all of them: a name with one answer inside is not to be trusted
        check(host, address, port)
    *others, last = map(str, addresses)
    dialler = httpcore2.TrioBackend()
    for other in others:
        with suppress(httpcore2.ConnectError, httpcore2.ConnectTimeout):
            return await dialler.connect_tcp(other, port, _CONNECT_SECONDS)
    return await dialler.connect_tcp(last, port)


def _location(response: httpcore2.Response) -> str | None:
    if response.status not in _REDIRECTS:
        return None
    found = (value for name, value in response.headers if name.lower() == b"location")
    return next(found, b"").decode("utf-8", "replace") or None


async def _read(response: httpcore2.Response) -> None:
    read = 0
    async with aclosing(response.aiter_stream()) as chunks:
        async for chunk in chunks:
            read += len(chunk)
            if read >= MOST_BYTES:
                break


@cache
def _trusted() -> ssl.SSLContext:
    # Built once: it takes longer than a whole request. SSL_CERT_FILE and SSL_CERT_DIR are honoured.
    context = httpcore2.default_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


@contextmanager
def _in_words(host: str) -> Iterator[None]:
    """Turn httpcore2's errors into ours."""
    try:
        yield
    except httpcore2.ConnectError as error:
        raise NotReached(f"No connection to {host}: {_plain(_root(error))}.") from error
    except httpcore2.NetworkError as error:
        raise BadAnswer(f"{host} broke off the answer: {_plain(_root(error))}.") from error
    except httpcore2.ProtocolError as error:
        raise BadAnswer(f"{host} did not answer in proper HTTP: {_plain(error)}.") from error


def _root(error: BaseException) -> BaseException:
    while True:
        if isinstance(error, BaseExceptionGroup):  # Trio tells of attempts to connect in groups
            error = error.exceptions[0]
        elif error.__cause__ is None:
            return error
        else:
            error = error.__cause__


def _plain(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror) and error.errno:
        return os.strerror(error.errno)  # Trio's own words repeat the address
    text = getattr(error, "strerror", None) or str(error)
    return text.rstrip(".") or type(error).__name__
