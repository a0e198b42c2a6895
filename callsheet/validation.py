"""Documents against types: msgspec decides; on failure jsonschema lists every wrong field at once.

msgspec is fast but stops at the first error, so a document that failed is walked again over the
JSON Schema of the same type (docs/decisions/0005): that walk is in `wrong_fields.py`.
"""

from typing import Any, TypeVar, overload

import msgspec

from callsheet.errors import FieldError, Invalid

T = TypeVar("T")

REQUIRED = "is required"
UNKNOWN = "is not a known field"

MOST_ERRORS = 100
"""More wrong fields than this help nobody."""


@overload
def check(document: object, type_: type[T]) -> T: ...
@overload
def check(document: object, type_: object) -> Any: ...
def check(document: object, type_: object) -> Any:
    """Turn JSON built-ins into a value of `type_`; Invalid lists all wrong fields at once."""
    try:
        return msgspec.convert(document, type_, strict=True, str_keys=True)
    except msgspec.ValidationError as error:
        raise Invalid(*wrong_fields(document, type_, str(error))) from None
    except RecursionError:
        raise Invalid(FieldError("", "is nested too deeply")) from None
    except Exception as error:  # a type may run its author's code (`__post_init__`)
        raise not_accepted(error) from error


def not_accepted(error: Exception) -> Invalid:
    """Say that a type's own code refused a document, whatever it raised."""
    detail = f"is not accepted: {type(error).__name__}: {error}"
    return Invalid(FieldError("", printable(detail)))


def wrong_fields(document: object, type_: object, first: str) -> tuple[FieldError, ...]:
    """List what is wrong with a document that msgspec refused, saying `first`; never empty."""
    from callsheet.wrong_fields import listed  # noqa: PLC0415 - most of our imports, for those who make mistakes

    return listed(document, type_, first)


def pointer(*path: object) -> str:
    """Write a path of names and indices as an RFC 6901 JSON pointer."""
    steps = (printable(str(step)).replace("~", "~0").replace("/", "~1") for step in path)
    return "".join(f"/{step}" for step in steps)


def printable(text: str) -> str:
    """Replace lone surrogates: an error about them must itself be valid JSON."""
    return text.encode(errors="replace").decode()
