"""All that is wrong with a document, in sentences: jsonschema walks it over the schema of the type that msgspec missed.

What msgspec said of it comes first in doubt: not every rule can be said in JSON Schema (docs/decisions/0005).
"""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import Any
from uuid import UUID

import msgspec
from jsonschema import FormatChecker
from jsonschema.exceptions import ValidationError as SchemaError
from jsonschema.validators import Draft202012Validator, extend

from callsheet.errors import FieldError
from callsheet.validation import MOST_ERRORS, REQUIRED, UNKNOWN, pointer, printable

_MOST_VALUES = 20_000
"""jsonschema takes some microseconds a value: in a larger document only the first error is told."""


def listed(document: object, type_: object, first: str) -> tuple[FieldError, ...]:
    """List what is wrong with a document that msgspec refused, saying `first`; never empty."""
    found: list[FieldError] = []
    try:
        if _is_small(document):
            errors = _explain(_validator(type_).iter_errors(document))
            found = list(islice(_unique(errors), MOST_ERRORS))
    except (RecursionError, ArithmeticError, TypeError, ValueError):
        found = []  # the schema cannot be made or walked: msgspec's own finding stands
    own = _translate(first)
    if not any(_overlap(own.pointer, error.pointer) for error in found):
        found.append(own)  # not every rule can be said in JSON Schema
    return tuple(found)


def _unique(errors: Iterator[FieldError]) -> Iterator[FieldError]:
    told: set[FieldError] = set()
    for error in errors:
        if error not in told:
            told.add(error)
            yield error


def _overlap(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _is_small(document: object) -> bool:
    waiting, seen = [document], 0
    while waiting and seen <= _MOST_VALUES:
        value = waiting.pop()
        seen += 1
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return seen <= _MOST_VALUES


# --- the schema's validator ---

_FORMATS = {
    "date-time": (datetime, "an RFC 3339 time, like 2027-08-08T17:35:00Z"),
    "date": (date, "a date, like 2027-08-08"),
    "time": (time, "a time of day, like 17:35:00Z"),
    "duration": (timedelta, "an ISO 8601 duration, like PT30S"),
    "uuid": (UUID, "a UUID"),
    "decimal": (Decimal, "a decimal number in a string"),
}


def _formats() -> FormatChecker:
    checker = FormatChecker(formats=())
    for name, (type_, _) in _FORMATS.items():
        checker.checks(name)(_reads_as(type_))
    return checker


def _reads_as(type_: Any) -> Callable[[object], bool]:
    def reads(value: object) -> bool:
        try:
            msgspec.convert(value, type_)
        except msgspec.ValidationError:
            return not isinstance(value, str)  # the schema's `type` speaks of other values
        return True

    return reads


def _is_integer(_checker: object, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_Strict = extend(  # JSON Schema takes 1.0 for an integer, msgspec does not
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)


@lru_cache(maxsize=512)
def _validator(type_: object) -> Any:
    return _Strict(msgspec.json.schema(type_), format_checker=_formats())


# --- jsonschema's errors as sentences ---


def _explain(errors: Iterable[SchemaError]) -> Iterator[FieldError]:
    for error in errors:
        where = list(error.absolute_path)
        if error.validator == "required":
            missing = [name for name in error.validator_value if name not in error.instance]
            yield from (FieldError(pointer(*where, name), REQUIRED) for name in missing)
        elif error.validator == "additionalProperties":
            yield from (FieldError(pointer(*where, name), UNKNOWN) for name in _extra(error))
        elif error.validator == "anyOf":
            yield from _explain_union(error)
        elif _is_about_a_name(error):
            yield FieldError(pointer(*where, error.instance), f"as a name {_sentence(error)}")
        else:
            yield FieldError(pointer(*where), _sentence(error))


def _is_about_a_name(error: SchemaError) -> bool:
    steps = list(error.relative_schema_path)
    return steps[-2:-1] == ["propertyNames"] and steps[-3:-2] != ["properties"]


def _extra(error: SchemaError) -> list[str]:
    known = error.schema.get("properties", {})
    return [name for name in error.instance if name not in known]


def _explain_union(error: SchemaError) -> Iterator[FieldError]:
    """Speak of the one branch that was meant, where that can be told; else name all branches."""
    tag = error.schema.get("discriminator", {}).get("propertyName")
    if tag is not None and isinstance(error.instance, dict):
        branches = error.schema["discriminator"]["mapping"]
        if error.instance.get(tag) not in list(branches):
            detail = f"must be one of {_in_a_row(branches)}" if tag in error.instance else REQUIRED
            yield FieldError(pointer(*error.absolute_path, tag), detail)
            return
    meant = [branch for branch in _branches(error) if not _is_other(branch, tag)]
    if len(meant) == 1:
        yield from _explain(meant[0])
    else:
        names = dict.fromkeys(_kind(branch) for branch in error.validator_value)
        yield FieldError(pointer(*error.absolute_path), f"must be {' or '.join(names)}")


def _branches(error: SchemaError) -> list[list[SchemaError]]:
    branches: dict[object, list[SchemaError]] = {}
    for inner in error.context or ():
        branches.setdefault(inner.relative_schema_path[0], []).append(inner)
    return list(branches.values())


def _is_other(branch: list[SchemaError], tag: str | None) -> bool:
    """Whether these errors say that the value is of another kind altogether."""
    return any(
        (not error.relative_path and _is_other_kind(error)) or (tag is not None and list(error.relative_path) == [tag])
        for error in branch
    )


def _is_other_kind(error: SchemaError) -> bool:
    if error.validator == "anyOf":
        return all(_is_other(branch, None) for branch in _branches(error))
    return error.validator in ("type", "enum", "const")


_KINDS = {
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "boolean": "true or false",
    "null": "null",
    "array": "an array",
    "object": "an object",
}


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return f"an object ({schema['$ref'].rsplit('/', 1)[-1]})"
    if "enum" in schema:
        return f"one of {_in_a_row(schema['enum'])}"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(branch) for branch in schema["anyOf"]))
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]][1]
    return _KINDS.get(str(schema.get("type")), "another value")


def _in_a_row(values: Iterable[object]) -> str:
    shown = [msgspec.json.encode(value).decode() for value in islice(values, 21)]
    return ", ".join(shown[:20]) + (", …" if len(shown) > 20 else "")


_SENTENCES: dict[str, str] = {
    "minimum": "must be at least {0}",
    "maximum": "must be at most {0}",
    "exclusiveMinimum": "must be above {0}",
    "exclusiveMaximum": "must be below {0}",
    "multipleOf": "must be a multiple of {0}",
    "minLength": "must have at least {0} {1}",
    "maxLength": "must have at most {0} {1}",
    "minItems": "must have at least {0} {1}",
    "maxItems": "must have at most {0} {1}",
    "minProperties": "must have at least {0} {1}",
    "maxProperties": "must have at most {0} {1}",
    "uniqueItems": "must not hold the same value twice",
    "pattern": "must match the pattern {0}",
}
_UNITS = {"Length": "character", "Items": "item", "Properties": "field"}


def _sentence(error: SchemaError) -> str:
    keyword, wanted = str(error.validator), error.validator_value
    if keyword in ("type", "enum", "format"):
        return f"must be {_kind(error.schema)}"
    if keyword == "items" and wanted is False:  # a tuple's surplus
        most = len(error.schema.get("prefixItems", ()))
        return f"must have at most {most} {_counted('item', most)}"
    unit = _UNITS.get(keyword[3:], "")
    return _SENTENCES.get(keyword, "is not valid").format(wanted, _counted(unit, wanted))


def _counted(unit: str, count: object) -> str:
    return unit if count == 1 else unit + "s"


# --- msgspec's own message as a sentence ---

_AT = re.compile(r"(?P<what>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_FIELD = re.compile(r"Object (missing required|contains unknown) field `(.*)`", re.DOTALL)
_GOT = re.compile(r"Expected `(.*)`, got `(.*)`")
_TYPES = {
    "int": "an integer",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "null": "null",
    "array": "an array",
    "object": "an object",
    "datetime": _FORMATS["date-time"][1],
    "uuid": _FORMATS["uuid"][1],
}
_INVALID = {
    "Invalid RFC3339 encoded datetime": f"must be {_FORMATS['date-time'][1]}",
    "Invalid RFC3339 encoded time": f"must be {_FORMATS['time'][1]}",
    "Invalid RFC3339 encoded date": f"must be {_FORMATS['date'][1]}",
    "Invalid ISO8601 duration": f"must be {_FORMATS['duration'][1]}",
    "Invalid UUID": f"must be {_FORMATS['uuid'][1]}",
    "Invalid base64 encoded string": "must be base64",
    "Invalid decimal string": f"must be {_FORMATS['decimal'][1]}",
    "Number out of range": "must be a number that fits 64 bits",
}


def _translate(message: str) -> FieldError:
    """Turn "Expected `int`, got `float` - at `$.a[0]`" into a pointer and a sentence."""
    found = _AT.fullmatch(printable(message))
    if found is None:
        return FieldError("", message)
    path = _steps(found["path"] or "")
    if field := _FIELD.fullmatch(found["what"]):
        detail = REQUIRED if field[1] == "missing required" else UNKNOWN
        return FieldError(pointer(*path, field[2]), detail)
    what = _INVALID.get(found["what"], found["what"])
    if types := _GOT.fullmatch(what):
        wanted = " or ".join(_TYPES.get(name, name) for name in types[1].split(" | "))
        what = f"must be {wanted}, not {_TYPES.get(types[2], types[2])}"
    return FieldError(pointer(*path), f"a name in it {what}" if found["key"] else what)


def _steps(path: str) -> list[str]:
    """Split `.a.b[0]`; from `[...]` on, a place that msgspec does not tell, the rest is dropped."""
    known = path.split("[...]", 1)[0]
    return [name or index for name, index in _STEP.findall(known)]
