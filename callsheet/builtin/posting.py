"""One POST to the outside, by the same guard as http_get: no redirects, no proxy, bounded in time and size."""

import ssl
from contextlib import aclosing
from ipaddress import ip_address

import httpcore2
import httpx2
import trio

from callsheet import __version__
from callsheet.builtin.addresses import AddressRefused, check
from callsheet.builtin.dialling import (
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

MOST_BYTES = 64 * 1024  # of an answer that are read
MOST_URL = 2048


def check_target(text: str) -> str:
    """Return a URL that something may be posted to; AddressRefused tells why not, names are looked up later."""
    url = _parse(text)
    try:
        address = ip_address(url.host)
    except ValueError:
        return text
    check(url.host, address, port_of(url))
    return text


async def post(
    url: str,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
    *,
    within: float,
    resolve: Resolve = resolve,
    tls: ssl.SSLContext | None = None,
) -> int:
    """Post and return the status; raises AddressRefused, NotReached, BadAnswer or TooSlow."""
    target = _parse(url)
    with trio.move_on_after(within), in_words(target.host):
        return await _exchange(target, headers, body, resolve, tls)
    raise TooSlow(f"There was no complete answer within {within:g} s.")


def _parse(text: str) -> httpx2.URL:
    if len(text) > MOST_URL:
        raise AddressRefused(f"The URL is longer than {MOST_URL} characters.")
    url = dialable(text)
    if url.userinfo:
        raise AddressRefused("The URL holds a user name or password, which would be shown to all who read it.")
    return url


async def _exchange(
    url: httpx2.URL, headers: list[tuple[bytes, bytes]], body: bytes, resolve: Resolve, tls: ssl.SSLContext | None
) -> int:
    target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=port_of(url), target=url.raw_path)
    host = url.raw_host.decode()
    sent = [
        (b"Host", url.netloc),
        (b"User-Agent", b"callsheet/" + __version__.encode()),
        (b"Accept", b"*/*"),
        (b"Connection", b"close"),
        (b"Content-Length", b"%d" % len(body)),
        *headers,
    ]
    async with aclosing(await dial(host, port_of(url), resolve)) as stream:
        if url.scheme == "https":
            stream = await stream.start_tls(tls or trusted(), host.removesuffix("."))
        sipped = Sipped(stream)
        connection = httpcore2.AsyncHTTP11Connection(target.origin, sipped)
        async with connection.stream("POST", target, headers=sent, content=body) as response:
            await read_away(response, sipped, MOST_BYTES)
            status: int = response.status
            return status
