"""JSON as the API takes it: what another parser could read differently is refused (docs/decisions/0007).

UTF-8 without a byte order mark; no NaN, no infinity, no duplicate keys, no NUL and no half of a surrogate pair in
strings, integers within ±2^53, a limited depth, nothing before or after.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from math import inf, isfinite
from typing import Any, NoReturn, TypeVar

import trio
from quart import Request
from werkzeug.exceptions import RequestEntityTooLarge

from callsheet.errors import CallsheetError
from callsheet.validation import pointer

MAX_DEPTH = 32
MAX_INTEGER = 2**53

_DOUBTFUL_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_DOUBTFUL_CHARACTER = re.compile("[\0\ud800-\udfff]")
_CONTAINERS = {dict, list}


MOST_CONTAINERS = 300_000
LARGE = 64 * 1024  # bytes of a body that is read beside the event loop
LARGE_AT_A_TIME = 2

T = TypeVar("T")

_threads: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("threads for large bodies")


class BadJSON(CallsheetError):
    """The body is not JSON, or JSON that two parsers could read differently."""

    status = 400
    kind = "bad-json"
    title = "The body is not JSON as we take it"


class UnsupportedMediaType(CallsheetError):
    """The body is not announced as plain JSON."""

    status = 415
    kind = "unsupported-media-type"
    title = "Send JSON"


class TooLarge(CallsheetError):
    """The body is larger than `limit` bytes."""

    status = 413
    kind = "too-large"
    title = "The body is too large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body may be {limit:,} bytes long, and no longer.")


class TooSlow(CallsheetError):
    """The body did not come in time."""

    status = 408
    kind = "too-slow"
    title = "The body did not come in time"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The whole body must come within {seconds:g} seconds.")


async def read_json(request: Request, *, limit: int, merge_patch: bool = False) -> object:
    """Return the document in the body, of which no more than `limit` bytes are collected.

    Raises UnsupportedMediaType, TooLarge, TooSlow, or what `decode` raises. With `merge_patch`, a body that says it
    is an RFC 7396 patch will do as well.
    """
    _check_announcement(request, merge_patch=merge_patch)
    seconds = inf if request.body_timeout is None else request.body_timeout
    with trio.move_on_after(seconds) as scope:
        body = await _collect(request, limit)
    if scope.cancelled_caught:
        raise TooSlow(seconds)
    return await beside_the_loop(len(body), decode, body)


async def beside_the_loop(size: float, work: Callable[..., T], *args: Any) -> T:
    """Do what takes the longer the more bytes there are; with many it would hold the loop, and is done in a thread."""
    if size < LARGE:
        return work(*args)
    return await trio.to_thread.run_sync(work, *args, abandon_on_cancel=True, limiter=_limiter())


def _limiter() -> trio.CapacityLimiter:
    try:
        return _threads.get()
    except LookupError:
        _threads.set(trio.CapacityLimiter(LARGE_AT_A_TIME))
        return _threads.get()


async def _collect(request: Request, limit: int) -> bytes:
    limit = min(limit, request.max_content_length or limit)  # Quart 0.23 leaves that to whoever reads in parts
    if (request.content_length or 0) > limit:
        raise TooLarge(limit)
    body = bytearray()
    try:
        async for part in request.body:
            body += part
            if len(body) > limit:
                raise TooLarge(limit)
    except RequestEntityTooLarge:
        raise TooLarge(limit) from None
    return bytes(body)


def _check_announcement(request: Request, *, merge_patch: bool) -> None:
    types = {"application/json"} | ({"application/merge-patch+json"} if merge_patch else set())
    parameters = {name: value.lower() for name, value in request.mimetype_params.items()}
    if len(request.headers.getlist("Content-Type")) > 1 or request.mimetype not in types:
        came = request.mimetype or "no content type"
        raise UnsupportedMediaType(f"Send {' or '.join(sorted(types))}; this came as {came[:100]}.")
    if parameters not in ({}, {"charset": "utf-8"}):
        raise UnsupportedMediaType("Send the body in UTF-8; its type needs no parameters.")
    if any(coding.strip().lower() != "identity" for coding in request.headers.getlist("Content-Encoding")):
        raise UnsupportedMediaType("Send the body without compression.")


def decode(body: bytes, *, max_depth: int = MAX_DEPTH) -> object:
    """Return the document in `body`; raise BadJSON, which says what is wrong and where."""
    text = _as_text(body)
    containers = body.count(b"[") + body.count(b"{")
    if containers > MOST_CONTAINERS:  # a body of nothing but brackets would hold the event loop for seconds
        raise BadJSON(f"The body has more than {MOST_CONTAINERS:,} objects and arrays.")
    try:
        document: object = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")
        raise BadJSON(f"{what} at line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise _too_deep(max_depth) from None
    # Both walks are slow next to parsing, so they are taken only where the bytes give a reason to.
    if containers > max_depth:
        _check_depth(document, max_depth)
    if _DOUBTFUL_ESCAPE.search(body):
        _check_strings(document)
    return document


def _as_text(body: bytes) -> str:
    if not body:
        raise BadJSON("The body is empty.")
    if body.startswith(b"\xef\xbb\xbf"):
        raise BadJSON("The body begins with a byte order mark.")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise BadJSON(f"Not UTF-8 at byte {error.start:,}.") from None


def _no_constant(name: str) -> NoReturn:
    raise BadJSON(f"{name} is not a number in JSON.")


def _integer(digits: str) -> int:
    if len(digits) < 16 or (len(digits) <= 17 and abs(int(digits)) <= MAX_INTEGER):
        return int(digits)
    raise BadJSON(f"The integer {_short(digits)} is beyond ±2^53; send it as a string.")


def _finite(digits: str) -> float:
    number = float(digits)
    if isfinite(number):
        return number
    raise BadJSON(f"The number {_short(digits)} is too large.")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
    raise BadJSON(f"The key {_short(repr(twice))} comes twice in one object.")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_finite, parse_constant=_no_constant
)


def _check_depth(document: object, max_depth: int) -> None:
    level = [document] if type(document) in _CONTAINERS else []
    for _ in range(max_depth):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)  # type: ignore[attr-defined]
            if type(child) in _CONTAINERS
        ]
    if level:
        raise _too_deep(max_depth)


def _too_deep(max_depth: int) -> BadJSON:
    return BadJSON(f"Nested deeper than {max_depth} levels.")


def _check_strings(document: object) -> None:
    waiting = [("", document)]
    while waiting:
        where, value = waiting.pop()
        if isinstance(value, str):
            _check_text(value, f"string at {_short(repr(where))}")
        elif isinstance(value, list):
            waiting.extend((f"{where}/{index}", child) for index, child in enumerate(value))
        elif isinstance(value, dict):
            for key, child in value.items():
                _check_text(key, f"key {_short(repr(key))}")
                waiting.append((where + pointer(key), child))


def _check_text(text: str, where: str) -> None:
    found = _DOUBTFUL_CHARACTER.search(text)
    if found:
        what = "a NUL" if found[0] == "\0" else "half of a surrogate pair"
        raise BadJSON(f"The {where} holds {what}.")


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
