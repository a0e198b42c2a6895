"""What can go wrong for a client, by what it should do about it."""

import re
from http import HTTPStatus
from typing import Any

import msgspec

from callsheet.client.values import kind_of, known, problem_of
from callsheet.models import Problem, WrongField


class ClientError(Exception):
    """Base of all that a client raises: `str(error)` is a sentence, `problem` what the service said, if anything."""

    def __init__(self, sentence: str, problem: Problem | None = None) -> None:
        super().__init__(sentence)
        self.problem = problem


class Unreachable(ClientError):
    """Nobody answers at that address, or the connection broke; `sent`: the request may have got through."""

    def __init__(self, sentence: str, *, sent: bool = False) -> None:
        super().__init__(sentence)
        self.sent = sent


def in_words(error: Exception) -> str:
    """Return what an error of the network says, without the number that the system has for it."""
    return re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__


class Refused(ClientError):
    """The service answered with a problem."""

    problem: Problem

    def __init__(self, problem: Problem, retry_after: float | None = None) -> None:
        super().__init__(problem.detail or problem.title or f"The service answered {problem.status}.", problem)
        self.retry_after = retry_after

    @property
    def status(self) -> int:
        """Return the HTTP status."""
        return self.problem.status

    @property
    def kind(self) -> str:
        """Return the last word of the problem's type, such as `validation`: what programs branch on."""
        return kind_of(self.problem)


class Unauthorized(Refused):
    """401: no key, or one that is not valid."""


class Forbidden(Refused):
    """403 or 421: this key, or this caller, may not do that."""


class NotFound(Refused):
    """404: nothing by that name exists, or ever did."""


class Conflict(Refused):
    """409: it clashes with how things stand."""

    @property
    def blocked_by(self) -> str | None:
        """Return the URI in the way."""
        return known(self.problem.blocked_by)


class Gone(Refused):
    """410: the event to go on from is not kept any more."""


class PreconditionFailed(Refused):
    """412: it changed since it was read."""


class Invalid(Refused):
    """400, 413, 415 or 422: the request is wrong; `errors` lists every wrong field."""

    @property
    def errors(self) -> list[WrongField]:
        """Return all wrong fields, by JSON pointer."""
        return self.problem.errors or []


class RateLimited(Refused):
    """429: too many requests; wait `retry_after` seconds."""


class Unavailable(Refused):
    """502, 503, 504 or 507: not now."""


class WaitTimeout(ClientError):
    """It is not over yet, and the time to wait for it is."""


_KINDS: dict[int, type[Refused]] = {
    400: Invalid, 401: Unauthorized, 403: Forbidden, 404: NotFound, 409: Conflict, 410: Gone, 412: PreconditionFailed,
    413: Invalid, 415: Invalid, 421: Forbidden, 422: Invalid, 429: RateLimited, 502: Unavailable, 503: Unavailable,
    504: Unavailable, 507: Unavailable,
}  # fmt: skip


def error_of(status: int, body: bytes, retry_after: str | None = None) -> Refused:
    """Return the error for an answer that is none of success; what is no problem document becomes one."""
    try:
        problem = problem_of(msgspec.json.decode(body, type=dict[str, Any]))
    except msgspec.MsgspecError:
        said = f"The service answered {status} {_phrase(status)}."
        problem = problem_of({"title": _phrase(status), "detail": said})
    problem.status = status
    return _KINDS.get(status, Refused)(problem, _seconds(retry_after))


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "unknown"


def _seconds(text: str | None) -> float | None:
    """Read Retry-After in seconds; as a date it is passed over."""
    return float(text) if text and text.isascii() and text.isdigit() else None
