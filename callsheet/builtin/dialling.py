"""Outgoing connections, to addresses that the guard has seen: what all share who speak HTTP to the outside.

A name is resolved once, every answer is checked, and the connection goes to an address that was checked
(docs/decisions/0008).
"""

import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from functools import cache, partial
from ipaddress import ip_address
from math import inf
from typing import Any

import httpcore2
import httpx2
import trio

from callsheet.builtin.addresses import Address, AddressRefused, check
from callsheet.errors import CallsheetError

_CONNECT_SECONDS = 10.0  # for one of several addresses, so that a dead one leaves time for the next
_LOOKUPS = 16
_MOST_HEAD = 128 * 1024  # bytes of an answer until its head is there, interim answers included
_SIP = 4096  # bytes of them that are read at a time: each may hold a hundred interim answers
_MOST_CRUMBS = 10_000  # pieces of a body, if they are smaller than _CRUMB bytes on the average
_CRUMB = 16
_BREATH = 64  # pieces between two breaths of the event loop
_PORTS = {"http": 80, "https": 443}

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
        raise NotReached(f"The name {host!r} could not be resolved: {plain(error)}.") from error
    return list(dict.fromkeys(ip_address(answer[4][0]) for answer in found))


def _lookup_limiter() -> trio.CapacityLimiter:
    # Its own, because when DNS is down the waiting threads must not hold up those of `def` tasks.
    try:
        return _lookups.get()
    except LookupError:
        _lookups.set(trio.CapacityLimiter(_LOOKUPS))
        return _lookups.get()


def dialable(text: str, base: httpx2.URL | None = None) -> httpx2.URL:
    """Read a URL, relative to `base` if there is one; AddressRefused if it cannot be dialled."""
    shown = repr(text[:200])
    try:
        url = httpx2.URL(text) if base is None else base.join(text)
    except httpx2.InvalidURL as error:
        raise AddressRefused(f"{shown} is not a URL: {plain(error)}.") from None
    if url.scheme not in _PORTS:
        raise AddressRefused(f"{shown} is not fetched: only http and https URLs are.")
    if not url.host or not 1 <= port_of(url) <= 65_535:
        raise AddressRefused(f"{shown} names no host and port that can be dialled.")
    return url


def port_of(url: httpx2.URL) -> int:
    """Return the port that a URL names, or that its scheme stands for."""
    return _PORTS[url.scheme] if url.port is None else url.port


async def dial(host: str, port: int, resolve: Resolve) -> httpcore2.AsyncNetworkStream:
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


@cache
def trusted() -> ssl.SSLContext:
    """Return the certificates that are trusted."""
    # Built once: it takes longer than a whole request. SSL_CERT_FILE and SSL_CERT_DIR are honoured.
    context = httpcore2.default_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


@contextmanager
def in_words(host: str) -> Iterator[None]:
    """Turn httpcore2's errors into ours."""
    try:
        yield
    except httpcore2.ConnectError as error:
        raise NotReached(f"No connection to {host}: {plain(_root(error))}.") from error
    except httpcore2.NetworkError as error:
        raise BadAnswer(f"{host} broke off the answer: {plain(_root(error))}.") from error
    except httpcore2.ProtocolError as error:
        raise BadAnswer(f"{host} did not answer in proper HTTP: {plain(error)}.") from error


class Sipped(httpcore2.AsyncNetworkStream):
    """A connection of which little is read at a time, and not for ever, until the head of the answer is there.

    What is read at once is taken apart at once, and a server may send interim answers without end.
    """

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._left: float = _MOST_HEAD

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - as its base has it
        """Read some bytes."""
        if self._left <= 0:
            raise httpcore2.RemoteProtocolError("the head does not end")
        data = await self._stream.read(max_bytes if self._left == inf else min(max_bytes, _SIP), timeout)
        self._left -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - likewise
        """Write bytes."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        """Tell something about the connection."""
        return self._stream.get_extra_info(info)

    def drink(self) -> None:
        """Read as it comes from now on: the head is there."""
        self._left = inf


async def read_away(response: httpcore2.Response, stream: Sipped, most: int) -> None:
    """Read the body of an answer that nobody needs, as far as `most` bytes; BadAnswer if it comes in crumbs."""
    stream.drink()
    read = pieces = 0
    async with aclosing(response.aiter_stream()) as chunks:
        async for chunk in chunks:
            read, pieces = read + len(chunk), pieces + 1
            if read >= most:
                break
            if pieces > _MOST_CRUMBS and read < pieces * _CRUMB:
                raise BadAnswer("The answer comes in crumbs: its chunks hold next to nothing.")
            if pieces % _BREATH == 0:
                await trio.lowlevel.checkpoint()


def _root(error: BaseException) -> BaseException:
    while True:
        if isinstance(error, BaseExceptionGroup):  # Trio tells of attempts to connect in groups
            error = error.exceptions[0]
        elif error.__cause__ is None:
            return error
        else:
            error = error.__cause__


def plain(error: BaseException) -> str:
    """Return what is wrong in words, without what people know already."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror) and error.errno:
        return os.strerror(error.errno)  # Trio's own words repeat the address
    text = getattr(error, "strerror", None) or str(error)
    return text.rstrip(".") or type(error).__name__
