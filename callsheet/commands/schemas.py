"""JSON Schema in words, for people who want to know what a task takes."""

from collections.abc import Iterator, Mapping
from typing import Any

from callsheet.commands.output import compact

Schema = Mapping[str, Any]


def resolved(schema: Schema, root: Schema) -> Schema:
    """Follow a `$ref` within the same document."""
    while "$ref" in schema:
        found: Any = root
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            found = found.get(part, {})
        schema = found
    return schema


def fields(schema: Schema) -> list[str]:
    """Return the names of an object's fields, those that may be left out with a `?`."""
    whole = resolved(schema, schema)
    required = whole.get("required", ())
    return [name if name in required else f"{name}?" for name in whole.get("properties", {})]


def in_words(schema: Schema) -> str:
    """Return a schema in words: of an object, a line for each field; an object within another is just that."""
    whole = resolved(schema, schema)
    return "\n".join(_lines(whole, schema)) if "properties" in whole else _kind(whole, schema)


def _lines(whole: Schema, root: Schema) -> Iterator[str]:
    for name, given in zip(fields(whole), whole["properties"].values(), strict=True):
        about = resolved(given, root).get("description") or given.get("description")
        default = f", else {compact(given['default'])}" if "default" in given else ""
        yield f"{name}: {_kind(given, root)}{default}{f': {about}' if about else ''}"


def _kind(given: Schema, root: Schema) -> str:
    schema = resolved(given, root)
    if "enum" in schema:
        return " or ".join(compact(value) for value in schema["enum"])
    if "const" in schema:
        return compact(schema["const"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(one, root) for one in schema["anyOf"]))
    kind = schema.get("type", "any JSON")
    if kind == "array" and "items" in schema:
        return f"list of {_kind(schema['items'], root)}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)
