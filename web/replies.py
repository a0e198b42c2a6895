"""Answers to changes as plain values, so that they can be kept with the change and given again."""

import hashlib
from collections.abc import Callable
from math import inf
from typing import Any

import msgspec
from attrs import evolve, field, frozen
from quart import Response, g, request

from callsheet.errors import CallsheetError, FieldError, Invalid
from storage.journal.commands import IdempotencyKey
from web.gate import caller_at_hand
from web.strict_json import beside_the_loop

LONGEST_KEY = 255

_encoder = msgspec.json.Encoder()


class KeyInFlight(CallsheetError):
    """A request with the same `Idempotency-Key` is being worked on."""

    status = 409
    kind = "idempotency-key-in-flight"
    title = "The same request is being worked on"
    headers = {"Retry-After": "1"}  # noqa: RUF012 - as its siblings have it

    def __init__(self) -> None:
        super().__init__("A request with the same Idempotency-Key is being worked on: ask again for its answer.")


@frozen
class Reply:
    """An answer: its status, its JSON and the headers that matter."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(factory=dict)
    replayed: bool = False  # it was given before, and nothing was done this time

    def response(self) -> Response:
        """Return it as an HTTP response."""
        response = Response(self.body, self.status)
        if self.body:
            response.headers["Content-Type"] = "application/json"
        else:
            del response.headers["Content-Type"]
        response.headers.update(self.headers)
        if self.replayed:
            response.headers["Idempotency-Replayed"] = "true"
        return response

    def showing(self, body: object, status: int | None = None) -> "Reply":
        """Return the same answer with another body: of what may not be kept, or has to be read anew."""
        return evolve(self, body=_encoder.encode(body), status=status or self.status)

    def with_fields(self, **more: object) -> "Reply":
        """Return the same answer with more fields in its body."""
        return self.showing(msgspec.json.decode(self.body) | more)

    def kept(self) -> str:
        """Return it as text."""
        return _encoder.encode([self.status, self.body.decode(), self.headers]).decode()

    @classmethod
    def of(cls, text: str, *, replayed: bool) -> "Reply":
        """Return what `kept` wrote."""
        status, body, headers = msgspec.json.decode(text, type=tuple[int, str, dict[str, str]])
        return cls(status, body.encode(), headers, replayed)


def reply(body: object, status: int = 200, **headers: str) -> Reply:
    """Return an answer; `_` in a header's name stands for `-`."""
    return Reply(status, _encoder.encode(body), {name.replace("_", "-"): value for name, value in headers.items()})


def idempotency_key(show: Callable[[Any], Reply]) -> IdempotencyKey | None:
    """Return what the answer to the request at hand is kept under, None without an `Idempotency-Key`.

    A key is a matter of one caller and one address; `show` turns the answer of the journal into ours.
    """
    given = request.headers.getlist("Idempotency-Key")
    if not given:
        return None
    if len(given) > 1 or not given[0].isascii() or not given[0].isprintable() or not 1 <= len(given[0]) <= LONGEST_KEY:
        raise Invalid(
            FieldError("", f"Idempotency-Key must be one text of 1 to {LONGEST_KEY} printable ASCII characters")
        )
    caller = caller_at_hand()
    about = f"{caller.token or caller.name}\n{request.method} {request.path}\n{given[0]}"
    return IdempotencyKey(_hash(about), _fingerprint(), lambda answer: show(answer).kept())


async def note_body(document: object) -> None:
    """Note what the body says, whatever its spaces and the order of its keys, for a request that comes again."""
    if "Idempotency-Key" in request.headers:
        g.body_hash = await beside_the_loop(request.content_length or inf, _hash_of, document)


def _hash_of(document: object) -> str:
    return hashlib.sha256(msgspec.json.encode(document, order="sorted")).hexdigest()


def _fingerprint() -> str:
    conditions = [request.headers.getlist(name) for name in ("If-Match", "If-None-Match")]
    return _hash(repr((request.query_string, conditions, g.get("body_hash"))))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
