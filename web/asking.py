"""What a request asks: its query, its body, its preconditions, each refused whole when any part is wrong."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import UUID

import trio
from attrs import define, field
from quart import request

from callsheet.errors import FieldError, Invalid, Unavailable, Unknown
from callsheet.instants import parse_instant
from callsheet.timetable import SLUG
from callsheet.validation import pointer
from storage.journal.commands import ANY_VERSION
from web.replies import note_body
from web.site import LARGE_AT_A_TIME, site
from web.strict_json import read_json

MAX_BODY = 1024 * 1024
MAX_BATCH_BODY = 16 * 1024 * 1024
DEFAULT_LIMIT, MAX_LIMIT = 50, 200
PAGE_BYTES = 4 * 1024 * 1024  # or so: a page that holds as much ends early
MOST_UNKNOWN = 100  # unknown fields of one object that are listed: a body can hold a million

T = TypeVar("T")


@define
class Query:
    """The query of a request, read name by name; `close` refuses all that was wrong or is unknown."""

    errors: list[FieldError] = field(factory=list)
    _known: set[str] = field(factory=set)

    def text(self, name: str) -> str | None:
        """Return a value as it is."""
        return self._read(name, _clean)

    def instant(self, name: str) -> int | None:
        """Return an RFC 3339 time as an instant."""
        return self._read(name, lambda text: parse_instant(text.replace(" ", "+")))

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        """Return one of several words."""
        return self._read(name, lambda text: _one_of(text, choices))

    def flag(self, name: str) -> bool | None:
        """Return a value that is true or false."""
        return self._read(name, lambda text: _one_of(text, ("true", "false")) == "true")

    def checked(self, name: str, check: Callable[[str], T]) -> T | None:
        """Return what `check` makes of a value; its ValueError tells what is wrong."""
        return self._read(name, lambda text: check(_clean(text)))

    def number(self, name: str) -> int | None:
        """Return a whole number, 0 or more."""
        return self._read(name, _natural)

    def items(self, name: str, check: Callable[[str], str], most: int) -> tuple[str, ...]:
        """Return a list whose parts are separated by commas."""
        return self._read(name, lambda text: _items(text, check, most)) or ()

    def limit(self, most: int = MAX_LIMIT) -> int:
        """Return how many items are asked for."""
        return self._read("limit", lambda text: _number(text, most)) or DEFAULT_LIMIT

    def cursor(self) -> str | None:
        """Return the cursor."""
        return self.text("cursor")

    def close(self) -> None:
        """Raise Invalid with everything that is wrong."""
        unknown = [name for name in request.args if name not in self._known]
        self.errors += [FieldError(pointer(name), "is not a known query name") for name in unknown]
        if self.errors:
            raise Invalid(*self.errors)

    def _read(self, name: str, check: Callable[[str], T]) -> T | None:
        self._known.add(name)
        given = request.args.getlist(name)
        if not given:
            return None
        try:
            if len(given) > 1:
                raise ValueError("is given more than once")
            return check(given[0])
        except ValueError as error:
            self.errors.append(FieldError(f"/{name}", str(error)))
            return None


def no_query() -> None:
    """Refuse any query."""
    Query().close()


async def body_object(limit: int = MAX_BODY, *, optional: bool = False, merge_patch: bool = False) -> dict[str, Any]:
    """Return the JSON object in the body; with `optional`, no body at all is an empty one."""
    if optional and not request.content_length and "Transfer-Encoding" not in request.headers:
        return {}
    with _room_for(request.content_length):
        document = await read_json(request, limit=limit, merge_patch=merge_patch)
    await note_body(document)
    if not isinstance(document, dict):
        raise Invalid(FieldError("", "must be an object"))
    return document


@contextmanager
def _room_for(size: int | None) -> Iterator[None]:
    """Take in hand only so many large bodies at a time; Quart keeps them in memory as they come."""
    if size is not None and size <= MAX_BODY:
        yield
        return
    holder = object()
    try:
        site().large.acquire_on_behalf_of_nowait(holder)
    except trio.WouldBlock:
        raise Unavailable(f"{LARGE_AT_A_TIME} large bodies are being read, which is as many as there may be.") from None
    try:
        yield
    finally:
        site().large.release_on_behalf_of(holder)


@define
class Fields:
    """The fields of a body, read name by name like a query."""

    document: dict[str, Any]
    errors: list[FieldError] = field(factory=list)
    _known: set[str] = field(factory=set)

    def read(self, name: str, check: Callable[[Any], T], *, required: bool = False) -> T | None:
        """Return a field; None when it is missing or wrong. ValueError and Invalid of `check` tell what is wrong."""
        self._known.add(name)
        if name not in self.document:
            if required:
                self.errors.append(FieldError(f"/{name}", "is required"))
            return None
        try:
            return check(self.document[name])
        except Invalid as error:
            self.errors.extend(error.under(f"/{name}").errors)
        except ValueError as error:
            self.errors.append(FieldError(f"/{name}", str(error)))
        return None

    def close(self, prefix: str = "") -> None:
        """Raise Invalid with everything that is wrong."""
        found = self.all_errors()
        if found:
            raise Invalid(*(error.under(prefix) for error in found))

    def all_errors(self) -> list[FieldError]:
        """Return everything that is wrong, unknown names included."""
        unknown = [name for name in self.document if name not in self._known]
        errors = [FieldError(pointer(name), "is not a known field") for name in unknown[:MOST_UNKNOWN]]
        if len(unknown) > MOST_UNKNOWN:
            errors.insert(0, FieldError("", f"has {len(unknown):,} fields that are not known; some are listed"))
        return self.errors + errors


def reason(value: Any) -> str | None:
    """Check a reason that people give."""
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > 500:
        raise ValueError("must be a text of at most 500 characters")
    return value


def instant(value: Any) -> int:
    """Check a time in a body."""
    if not isinstance(value, str):
        raise ValueError("must be an RFC 3339 time with an offset")  # noqa: TRY004 - a wrong field, not a fault of ours
    return parse_instant(value)


def instant_or_none(value: Any) -> int | None:
    """Check a time in a body that may as well be null."""
    return None if value is None else instant(value)


def flag(value: Any) -> bool:
    """Check a field that is true or false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - a wrong field, not a fault of ours
    return value


def choice_of(choices: tuple[str, ...]) -> Callable[[Any], str]:
    """Return a check for one of several words."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("must be one of " + ", ".join(choices))  # noqa: TRY004 - a wrong field, not a fault of ours
        return _one_of(value, choices)

    return check


def whole_number(most: int) -> Callable[[Any], int]:
    """Return a check for a number from 1 to `most`."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise ValueError(f"must be a whole number from 1 to {most}")
        return value

    return check


def instance_id(text: str) -> UUID:
    """Return the id in a path; what is no UUID never existed."""
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text, re.ASCII):
        raise Unknown("instance", text)
    return UUID(text)


def slug(text: str) -> str:
    """Return the schedule id in a path; what is no possible id never existed."""
    if not SLUG.fullmatch(text):
        raise Unknown("schedule", text)
    return text


def if_match() -> tuple[int, ...] | None:
    """Return the versions of which one must stand, from If-Match; a tag that is not ours matches nothing."""
    given = request.headers.getlist("If-Match")
    if not given:
        return None
    header = ", ".join(given)
    if header.strip() == "*":
        return (ANY_VERSION,)
    # weak tags are taken, too: proxies that compress make strong ones weak, and ours name a version either way
    found = re.findall(r'"([0-9]{1,18})"', header, re.ASCII)
    return tuple(int(version) for version in found if int(version) != ANY_VERSION) or (-1,)


def only_if_new() -> bool:
    """Tell whether `If-None-Match: *` asks to create and never to replace; the header takes nothing else here."""
    given = request.headers.getlist("If-None-Match")
    if any(value.strip() != "*" for value in given):
        raise Invalid(FieldError("", "If-None-Match can only be * here: create, but never replace"))
    return bool(given)


def _clean(text: str) -> str:
    if "\0" in text or len(text) > 512 or not text.isprintable():
        raise ValueError("must be at most 512 printable characters")
    return text


def _one_of(text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise ValueError("must be one of " + ", ".join(choices))
    return text


def _natural(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text, re.ASCII):
        raise ValueError("must be a whole number, 0 or more")
    return int(text)


def _items(text: str, check: Callable[[str], str], most: int) -> tuple[str, ...]:
    parts = text.split(",")
    if len(parts) > most:
        raise ValueError(f"must be at most {most} values")
    return tuple(check(part.strip()) for part in parts)


def _number(text: str, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or not 1 <= int(text) <= most:
        raise ValueError(f"must be a whole number from 1 to {most}")
    return int(text)
