"""Words and values of tasks made safe to store and to show, whatever a task hands over."""

import inspect
import re
import reprlib
from math import isfinite
from typing import Any

import msgspec

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80
_MODULES = re.compile(r"(?:[\w<>]+\.)+(?=\w)")
_LONGEST_INT = 2**64


def safe_text(text: str) -> str:
    """Replace what no database or JSON document can hold: lone surrogates and NUL, by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\0", "\ufffd")


def safe_fields(fields: dict[str, Any]) -> dict[str, object]:
    """Turn the pairs of a log line into JSON built-ins; what JSON cannot hold is shown."""
    return {safe_text(name): _safe(value) for name, value in fields.items()}


def shown(value: object) -> str:
    """Describe a value in a few characters, even one whose `repr` fails."""
    try:
        return safe_text(_short.repr(value))
    except Exception:  # noqa: BLE001 - the author's own `__repr__`
        return f"<{type(value).__name__} that cannot be shown>"


def type_name(annotation: object) -> str:
    """Name a type as its author would: `int`, `list[int]`, `Reply`."""
    if isinstance(annotation, str):
        return annotation
    return _MODULES.sub("", inspect.formatannotation(annotation)).replace("NoneType", "None")


def last_line(error: Exception) -> str:
    """Give the line of a long message that says what it is about."""
    return str(error).strip().rsplit("\n", 1)[-1]


def _safe(value: object) -> object:
    try:
        return _clean(msgspec.to_builtins(value, str_keys=True, enc_hook=shown))
    except Exception:  # noqa: BLE001 - the author's own types, or nesting without end
        return shown(value)


def _clean(value: object) -> object:
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, dict):
        return {safe_text(str(name)): _clean(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(part) for part in value]
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if isinstance(value, int) and abs(value) >= _LONGEST_INT:
        return shown(value)
    return value
