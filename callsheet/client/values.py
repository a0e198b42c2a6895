"""What the client makes of answers beyond `callsheet.models`: events, problems made whole, fields that are UNSET."""

from typing import Any, TypeVar

from msgspec import UNSET, Struct, UnsetType, convert, field

from callsheet.models import Problem, Time

T = TypeVar("T")

_PROBLEM = {"type": "about:blank", "title": "", "status": 0, "detail": "", "instance": None, "request_id": None}


class Event(Struct):
    """One committed fact; `data` is as docs/events.md has it."""

    id: int | str
    type: str
    at: Time | None = None
    schedule: str | None = None
    instance: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


def problem_of(document: dict[str, Any]) -> Problem:
    """Return a problem, whole; a proxy's, or our own, may lack fields. ValidationError when one has the wrong type."""
    return convert(_PROBLEM | document, Problem)


def kind_of(problem: Problem) -> str:
    """Return the last word of a problem's type, such as `validation`: what programs branch on."""
    return problem.type.rsplit("/", 1)[-1]


def known(value: T | UnsetType) -> T | None:
    """Return the value of a field, None when the answer does not have it."""
    return None if value is UNSET else value
