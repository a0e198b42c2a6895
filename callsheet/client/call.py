"""One request as a value, and how what people give becomes JSON. Nothing here does any I/O."""

from collections.abc import Hashable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Generic, TypeVar, cast
from urllib.parse import quote

import msgspec
from attrs import evolve, frozen

T = TypeVar("T")

Instant = datetime | str
Duration = str | float | timedelta


@frozen
class Call(Generic[T]):
    """One request.

    `repeatable`: to send it twice does what to send it once does. `creates`: it starts something new each time, so
    that it may carry an Idempotency-Key.
    """

    method: str
    path: str
    answer: type[T]
    query: Mapping[str, str] = {}
    body: bytes | None = None
    headers: Mapping[str, str] = {}
    repeatable: bool = True
    creates: bool = False
    takes: float = 0.0  # seconds that an answer may take, whatever the time-out of the client
    patient: bool = True  # False: what it asks is whether somebody answers right now

    def read(self, body: bytes) -> T:
        """Decode a successful answer."""
        if self.answer is type(None):
            return None
        return decoder(self.answer).decode(body)

    def whole(self) -> "Call[T]":
        """Return the same call for a stream, which has no pages."""
        return evolve(
            self, query={name: value for name, value in self.query.items() if name not in ("limit", "cursor")}
        )

    def at(self, cursor: str) -> "Call[T]":
        """Return the same call for another page."""
        return evolve(self, query={**self.query, "cursor": cursor})


def call(
    method: str,
    path: str,
    answer: type[T],
    *names: str,
    query: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
    if_match: int | None = None,
    headers: Mapping[str, str] | None = None,
    repeatable: bool = True,
    creates: bool = False,
) -> Call[T]:
    """Put a call together: `names` fill the `{}` of the path, and what is None is left out."""
    filled = path.format(*(quote(name, safe="") for name in names))
    sent = {name: _text(value) for name, value in (query or {}).items() if value is not None}
    extra = dict(headers or {}) | ({} if if_match is None else {"If-Match": f'"{if_match}"'})
    data = None if body is None else encode(body)
    decoder(answer)
    return Call(method, filled, answer, sent, data, extra, repeatable and if_match is None, creates)


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """Return what decodes a type; made before anything is sent.

    While msgspec looks into a type for the first time it drops whatever is raised when it hashes a part, the
    KeyboardInterrupt of somebody who waits included.
    """
    made: msgspec.json.Decoder[T] = _decoder(cast("Hashable", kind))
    return made


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def encode(body: Mapping[str, Any], *, with_null: bool = False) -> bytes:
    """Encode a body; what is None on its first level is left out, and lengths of time become seconds."""
    sent = {name: plain(value) for name, value in body.items() if with_null or value is not None}
    return msgspec.json.encode(sent, enc_hook=_model)


def _model(value: Any) -> Any:
    """Turn a pydantic model into JSON built-ins; dataclasses, attrs classes and Structs need no help."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def plain(value: Any) -> Any:
    """Return a length of time in seconds, and a time as one with a zone; everything else as it is."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    return _aware(value) if isinstance(value, datetime) else value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return _aware(value).astimezone(UTC).isoformat().replace("+00:00", "Z")
    return ",".join(value) if isinstance(value, list | tuple) else str(value)


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time needs a zone: datetime.now(UTC), or .astimezone()")
    return moment


TRIGGER_WORDS = ("every", "cron", "at", "after", "timezone", "anchor", "on")


def trigger_of(words: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trigger: the `trigger` given whole, or the one that its own words make."""
    made = {name: plain(words[name]) for name in TRIGGER_WORDS if words.get(name) is not None}
    whole = words.get("trigger")
    if (whole is None) == (not made):
        raise ValueError("give either trigger, or one of every, cron, at and after")
    return made or dict(whole or {})


def document_of(task: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schedule's document; lengths of time and trigger may be written as Python has them."""
    rest = {name: value for name, value in fields.items() if name not in (*TRIGGER_WORDS, "trigger")}
    return {"task": task, "trigger": trigger_of(fields), **rest}
