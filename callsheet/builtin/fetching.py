"""One GET of the outside: redirects by hand, each hop through the guard, bounded in time and size.

A name is resolved once, every answer is checked by the guard, and the connection goes to an address that was checked
(docs/decisions/0008). One bare httpcore2 connection per hop, without a client on top: no proxy, no netrc, no cookies,
and cheap to set up.
"""

import ssl
from contextlib import aclosing

import httpcore2
import httpx2
import trio

from callsheet import __version__
from callsheet.builtin.addresses import AddressRefused
from callsheet.builtin.dialling import (
    BadAnswer,
    Resolve,
    Sipped,
    TooSlow,
    dial,
    dialable,
    in_words,
    port_of,
    read_away,
    resolve,
    trusted,
)
from callsheet.builtin.http_get import MOST_SECONDS, Reply

MOST_REDIRECTS = 5
MOST_BYTES = 1024 * 1024

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADERS = [
    (b"User-Agent", b"callsheet/" + __version__.encode()),
    (b"Accept", b"*/*"),
    (b"Accept-Encoding", b"identity"),
    (b"Connection", b"close"),
]


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
    url = dialable(text)
    if url.userinfo:
        raise AddressRefused("The URL holds a user name or password, and http_get sends none.")
    return url


async def _follow(url: httpx2.URL, resolve: Resolve, tls: ssl.SSLContext | None) -> int:
    for _ in range(1 + MOST_REDIRECTS):
        with in_words(url.host):
            status, location = await _hop(url, resolve, tls)
        if location is None:
            return status
        url = dialable(location, url)
    raise BadAnswer(f"There were more than {MOST_REDIRECTS} redirects.")


async def _hop(url: httpx2.URL, resolve: Resolve, tls: ssl.SSLContext | None) -> tuple[int, str | None]:
    """Ask one server; answers the status, and where it redirects to, if it does."""
    target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=port_of(url), target=url.raw_path)
    host = url.raw_host.decode()
    # Closed by us: httpcore2 leaves the socket open when it is cancelled in a TLS handshake.
    async with aclosing(await dial(host, port_of(url), resolve)) as stream:
        if url.scheme == "https":
            stream = await stream.start_tls(tls or trusted(), host.removesuffix("."))
        sipped = Sipped(stream)
        connection = httpcore2.AsyncHTTP11Connection(target.origin, sipped)
        headers = [(b"Host", url.netloc), *_HEADERS]
        async with connection.stream("GET", target, headers=headers) as response:
            location = _location(response)
            if location is None:
                await read_away(response, sipped, MOST_BYTES)
            return response.status, location


def _location(response: httpcore2.Response) -> str | None:
    if response.status not in _REDIRECTS:
        return None
    found = (value for name, value in response.headers if name.lower() == b"location")
    return next(found, b"").decode("utf-8", "replace") or None
