"""Pydantic models as a task's types: imported only when a task uses one."""

from typing import Any

import msgspec
import pydantic

from callsheet.errors import FieldError, Invalid
from callsheet.tasks.codec import NotJson, canonical, in_words, not_json
from callsheet.validation import MOST_ERRORS, REQUIRED, UNKNOWN, not_accepted, pointer


class PydanticCodec:
    """A type that holds a pydantic model; how strict it is, the model's own configuration says."""

    def __init__(self, type_: Any) -> None:
        self._adapter: Any = pydantic.TypeAdapter(type_)

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = self._adapter.json_schema()
        return schema

    def check(self, document: object) -> bytes:
        if wrong := not_json(document):
            raise Invalid(*wrong)
        try:
            return self._dump(self._read(canonical(document)))
        except NotJson as error:
            raise Invalid(FieldError("", str(error))) from None

    def decode(self, raw: bytes) -> Any:
        return self._read(raw)

    def encode(self, value: Any) -> bytes:
        raw = self._dump(value)
        try:
            self._read(raw)
        except Invalid as error:
            raise NotJson(in_words(error)) from None
        return raw

    def _read(self, raw: bytes) -> Any:
        try:
            return self._adapter.validate_json(raw)
        except pydantic.ValidationError as error:
            found = error.errors(include_url=False, include_context=False)[:MOST_ERRORS]
            if found[0]["type"] == "json_invalid":
                raise Invalid(FieldError("", f"is not JSON: {found[0]['msg']}")) from None
            document = msgspec.json.decode(raw)
            wrong = dict.fromkeys(_translate(document, one) for one in found)
            raise Invalid(*wrong) from None
        except Exception as error:  # a model may run its author's code
            raise not_accepted(error) from error

    def _dump(self, value: Any) -> bytes:
        try:
            plain = self._adapter.dump_python(value, mode="json", by_alias=True, warnings="none")
        except Exception as error:  # as above
            raise NotJson(f"it has no JSON form: {error}") from error
        return canonical(plain)


def _translate(document: object, found: Any) -> FieldError:
    detail = {"missing": REQUIRED, "extra_forbidden": UNKNOWN}.get(found["type"])
    message = found["msg"].replace("Input should be", "must be")
    return FieldError(pointer(*_path(document, found)), detail or message)


def _path(document: Any, found: Any) -> list[object]:
    """Keep of pydantic's location what is a place in the document: it also names union members."""
    path: list[object] = []
    for step in found["loc"]:
        inside = isinstance(document, dict) and step in document
        if inside or (isinstance(document, list) and isinstance(step, int)):
            path.append(step)
            document = document[step]
    return [*path, found["loc"][-1]] if found["type"] == "missing" else path
