"""Requests that are plain in every respect: nothing in them needs more than a look.

Whatever is not plain is nobody's fault and no error: it goes the long way, through h11 and Quart, which know the whole
of HTTP and refuse what is wrong. So this may be strict where they are patient, and must never be patient where they
are strict.
"""

import re
from functools import lru_cache
from typing import Any

from msgspec import Struct

from web.http1 import HOST

LARGEST = 64 * 1024  # bytes of a body
LONGEST_HEAD = 8 * 1024

_KNOWN = frozenset(
    (b"host", b"user-agent", b"accept", b"accept-encoding", b"accept-language", b"connection", b"authorization",
     b"content-type", b"content-length", b"cache-control", b"pragma", b"via", b"forwarded", b"x-forwarded-for",
     b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip", b"x-request-id")
)  # fmt: skip
_JSON = (b"application/json", b"application/json; charset=utf-8")
_FIRST_LINE = re.compile(rb"(GET|POST) (/[!-~]*) HTTP/1\.1")
_UNUSUAL = re.compile(rb"[^ -~\r\n]|\r(?!\n)|(?<!\r)\n")  # in a head; a tab, too, is for others to judge


class Plain(Struct, frozen=True):
    """A request: `path` as it came, headers with small names, each of them once, and the client's address."""

    method: str
    path: bytes
    headers: dict[bytes, bytes]
    address: str

    @property
    def brings_small_json(self) -> bool:
        """Tell whether its body is said to be that."""
        length = self.headers.get(b"content-length", b"")
        return self.headers.get(b"content-type") in _JSON and len(length) <= 5 and int(length or 0) <= LARGEST


def plain_of_scope(scope: Any) -> Plain | None:
    """Return what ASGI says of a request; None if it is not plain."""
    if scope["type"] != "http" or scope["query_string"]:
        return None
    given = list(scope["headers"])
    headers = dict(given)
    if len(headers) != len(given) or not headers.keys() <= _KNOWN:
        return None
    return Plain(scope["method"], scope["raw_path"], headers, scope["client"][0] if scope["client"] else "?")


def plain_of_bytes(data: bytes, address: str) -> tuple[Plain, bytes] | None:
    """Return the one whole request that bytes are, with its body; None if they are anything else."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end or len(head) > LONGEST_HEAD or _UNUSUAL.search(head):
        return None
    first, *lines = head.split(b"\r\n")
    begins = _FIRST_LINE.fullmatch(first)
    headers = _headers_of(lines)
    if begins is None or headers is None or not _is_all_there(headers, body):
        return None
    return Plain(begins[1].decode(), begins[2], headers, address), body


def _headers_of(lines: list[bytes]) -> dict[bytes, bytes] | None:
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        name = name.lower()
        if not colon or name not in _KNOWN or name in headers:
            return None
        headers[name] = value.strip(b" ")
    return headers if _stays(headers) and _names_a_host(headers.get(b"host", b"")) else None


def _stays(headers: dict[bytes, bytes]) -> bool:
    """Tell whether the client wants nothing special of the connection."""
    return headers.get(b"connection", b"keep-alive").lower() == b"keep-alive"


@lru_cache(maxsize=64)
def _names_a_host(host: bytes) -> bool:
    return HOST.fullmatch(host) is not None


def _is_all_there(headers: dict[bytes, bytes], body: bytes) -> bool:
    length = headers.get(b"content-length")
    if length is None:
        return not body
    return length.isdigit() and len(length) <= 5 and int(length) == len(body)
