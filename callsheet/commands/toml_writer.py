"""Documents as TOML: tables below tables, everything else in one line."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
DEPTH = 2  # tables that get a heading of their own; those within stand in one line


def toml(document: Mapping[str, Any]) -> str:
    """Return a document as TOML; what is None is left out, for TOML has no word for it."""
    return "\n".join(_table(document, ())).strip("\n")


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    inner = {name: value for name, value in table.items() if isinstance(value, dict) and len(path) < DEPTH}
    plain = {name: value for name, value in table.items() if name not in inner and value is not None}
    if path and (plain or not inner):
        yield ""
        yield f"[{'.'.join(_key(part) for part in path)}]"
    for name, value in plain.items():
        yield f"{_key(name)} = {_value(value)}"
    for name, value in inner.items():
        yield from _table(value, (*path, name))


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        pairs = [f"{_key(name)} = {_value(one)}" for name, one in value.items() if one is not None]
        return "{ " + ", ".join(pairs) + " }" if pairs else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    return json.dumps(value)
