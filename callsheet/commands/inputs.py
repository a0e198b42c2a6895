"""Inputs of tasks as people type them: `key=value`, JSON, `@file`, or `-` for standard input."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from callsheet.commands.common import Usage
from callsheet.commands.schemas import resolved


def read_text(given: str) -> str:
    """Return what an argument means: itself, the content of `@file`, or with `-` standard input."""
    if given == "-":
        return sys.stdin.read()
    if given.startswith("@"):
        return Path(given[1:]).read_text()
    return given


def read_json(given: str, what: str) -> Any:
    """Return the JSON that an argument means."""
    try:
        return msgspec.json.decode(read_text(given))
    except msgspec.MsgspecError as error:
        raise Usage(f"{what} is not JSON: {error}. Write it as JSON, as @FILE, or as - for standard input.") from None


def read_input(given: str | None, pairs: Sequence[str], schema: Mapping[str, Any]) -> Any:
    """Return an input: the JSON that is given, with each `key=value` over it; UNSET when there is neither.

    A value is text where the schema says so; else JSON if it can be read so, and text if not. `a.b=1` reaches inside.
    """
    base = msgspec.UNSET if given is None else read_json(given, "--input")
    if not pairs:
        return base
    whole: dict[str, Any] = {} if base is msgspec.UNSET else base
    if not isinstance(whole, dict):
        raise Usage("key=value needs an input that is an object.")
    for pair in pairs:
        name, is_pair, text = pair.partition("=")
        if not is_pair or not name:
            raise Usage(f"{pair!r} is not key=value.")
        _put(whole, name.split("."), text, schema, schema)
    return whole


def _put(target: dict[str, Any], path: Sequence[str], text: str, schema: Any, root: Mapping[str, Any]) -> None:
    inner = resolved(resolved(schema, root).get("properties", {}).get(path[0], {}), root)
    if len(path) > 1:
        below = target.setdefault(path[0], {})
        if not isinstance(below, dict):
            raise Usage(f"{path[0]} is not an object.")
        _put(below, path[1:], text, inner, root)
        return
    target[path[0]] = _value(text, inner)


def _value(text: str, schema: Mapping[str, Any]) -> Any:
    if schema.get("type") == "string":
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return text
