"""One type of a task's face, both ways: documents in, JSON out, its schema for the API.

msgspec does the work; pydantic models, where they are installed, bring their own validator.
"""

import hashlib
from math import isfinite
from typing import Any, NoReturn, Protocol, get_args

import msgspec

from callsheet import validation
from callsheet.errors import FieldError, Invalid
from callsheet.validation import pointer


class NotJson(Exception):
    """A value cannot be written as JSON of its type; `str(error)` says why."""


class Codec(Protocol):
    """How values of one type are read, written and described."""

    def schema(self) -> dict[str, Any]:
        """Describe the type as a self-contained JSON Schema 2020-12."""

    def check(self, document: object) -> bytes:
        """Give the canonical JSON of a document of JSON built-ins, defaults filled; or Invalid."""

    def decode(self, raw: bytes) -> Any:
        """Read JSON into a typed value; or Invalid."""

    def encode(self, value: Any) -> bytes:
        """Write a value as canonical JSON after checking it against the type; or NotJson."""


def codec_of(type_: object) -> Codec:
    """Find the codec of a type; TypeError when the type has no JSON form."""
    if _has_pydantic(type_):
        from callsheet.tasks.pydantic_codec import PydanticCodec  # noqa: PLC0415 - often not there

        return PydanticCodec(type_)
    return MsgspecCodec(type_)


def _has_pydantic(type_: object) -> bool:
    marked = isinstance(type_, type) and hasattr(type_, "__pydantic_core_schema__")
    return marked or any(_has_pydantic(part) for part in get_args(type_))


class MsgspecCodec:
    """Structs, dataclasses, attrs classes, TypedDicts and built-ins."""

    def __init__(self, type_: Any) -> None:
        self._type = type_
        msgspec.json.schema(type_)  # a decoder alone would take any class
        self._decoder = msgspec.json.Decoder(type_)

    def schema(self) -> dict[str, Any]:
        return msgspec.json.schema(self._type)

    def check(self, document: object) -> bytes:
        try:
            return canonical(validation.check(document, self._type))
        except (Invalid, NotJson) as error:
            wrong = not_json(document)
            if isinstance(error, Invalid) and not wrong:
                raise
            raise Invalid(*(wrong or [FieldError("", str(error))])) from None

    def decode(self, raw: bytes) -> Any:
        try:
            return self._decoder.decode(raw)
        except msgspec.ValidationError as error:
            self._refuse(raw, str(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Invalid(FieldError("", f"is not JSON: {error}")) from None
        except Exception as error:  # a type may run its author's code (`__post_init__`)
            raise validation.not_accepted(error) from error

    def encode(self, value: Any) -> bytes:
        raw = canonical(value)
        try:
            self.decode(raw)
        except Invalid as error:
            raise NotJson(in_words(error)) from None
        return raw

    def _refuse(self, raw: bytes, message: str) -> NoReturn:
        try:
            document = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Invalid(FieldError("", f"is not JSON: {error}")) from None
        raise Invalid(*validation.wrong_fields(document, self._type, message)) from None


# --- JSON itself ---

_encoder = msgspec.json.Encoder(order="deterministic")
_DEEPEST = 2_000  # msgspec refuses deeper nesting by itself, at Python's recursion limit


def to_document(value: object) -> object:
    """Turn a typed value into JSON built-ins; what already is JSON stays as it is."""
    return msgspec.to_builtins(value, str_keys=True, enc_hook=_plain)


def canonical(value: object) -> bytes:
    """Write a value as JSON, always the same for the same value; or NotJson."""
    try:
        raw = _encode(value)
        if b"null" in raw and not_json(to_document(value)):  # msgspec writes NaN as null
            raise NotJson("NaN and infinities are not JSON")
    except UnicodeEncodeError:
        raise NotJson("it holds a lone surrogate, which is not Unicode") from None
    except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise NotJson(f"it has no JSON form: {error}") from None
    return raw


def _encode(value: object) -> bytes:
    try:
        return _encoder.encode(value)
    except TypeError:  # names that are no text, or a subclass of a built-in
        return _encoder.encode(to_document(value))


def _plain(value: object) -> object:
    """Give what msgspec does not know in a form that it does."""
    if hasattr(value, "__pydantic_core_schema__"):
        return value.model_dump(mode="json", by_alias=True)  # type: ignore[attr-defined]
    for type_ in (str, int, float):
        if isinstance(value, type_):
            return type_(value)
    raise TypeError(f"{type(value).__name__} is not a type that JSON knows")


def not_json(document: object) -> list[FieldError]:
    """Find the numbers and texts in JSON built-ins that JSON cannot hold."""
    found: list[FieldError] = []
    waiting: list[tuple[tuple[object, ...], object]] = [((), document)]
    while waiting and len(found) < validation.MOST_ERRORS:
        path, value = waiting.pop()
        if len(path) > _DEEPEST:
            continue
        if isinstance(value, dict):
            waiting.extend(((*path, name), part) for name, part in value.items())
            waiting.extend(((*path, name), name) for name in value if not isinstance(name, float))
        elif isinstance(value, list | tuple):
            waiting.extend(((*path, index), part) for index, part in enumerate(value))
        elif detail := _unfit(value):
            found.append(FieldError(pointer(*path), detail))
    return found[::-1]


def _unfit(value: object) -> str | None:
    if isinstance(value, float) and not isfinite(value):
        return "must be a finite number: NaN and infinities are not JSON"
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return "must be valid Unicode: it holds a lone surrogate"
    return None


def fingerprint_of(schema: dict[str, Any]) -> str:
    """Hash a schema, the same in every process."""
    return hashlib.sha256(_encoder.encode(_ordered(schema))).hexdigest()[:32]


def _ordered(schema: Any) -> Any:
    """Sort the lists whose order means nothing: a set as a default has another one in each run."""
    if isinstance(schema, dict):
        return {
            name: [_ordered(item) for item in part] if name == "prefixItems" else _ordered(part)
            for name, part in schema.items()
        }
    if isinstance(schema, list):
        return sorted((_ordered(part) for part in schema), key=_encoder.encode)
    return schema


def in_words(error: Invalid) -> str:
    """Put all wrong fields into one line: "/a must be an integer; /b is required"."""
    return "; ".join(f"{wrong.pointer} {wrong.detail}".lstrip() for wrong in error.errors)
