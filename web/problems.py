"""The only translator of errors to HTTP: RFC 9457 problems, with every wrong field at once."""

import logging
from typing import Any
from uuid import uuid4

import msgspec
from attrs import frozen
from quart import Quart, Response, g, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from callsheet.errors import CallsheetError, FieldError, Invalid, Refused, Unavailable
from callsheet.logs import told
from callsheet.tasks.failure import describe
from callsheet.tokens import hidden

log = logging.getLogger("callsheet.web")

KINDS = {400: "bad-request", 404: "no-such-page", 405: "method-not-allowed", 408: "too-slow", 413: "too-large",
         415: "unsupported-media-type"}  # fmt: skip
DETAILS = {
    404: "There is nothing at this address; /v1/schedules, /v1/instances and /v1/tasks are there.",
    405: "Allow lists the methods that this address takes.",
}

PROBLEM = "application/problem+json"
INTERNAL = "Something went wrong on our side"
MOST_FIELDS = 100  # wrong fields that one answer lists: a body of 1 MiB can hold a hundred thousand


@frozen
class Told:
    """An answer as it goes over the wire."""

    status: int
    body: bytes
    headers: dict[str, str]


def install(app: Quart) -> None:
    """Answer every error of every view with a problem."""

    @app.before_request
    async def name_request() -> None:
        g.request_id = uuid4().hex

    @app.errorhandler(HTTPException)
    async def http(error: HTTPException) -> Response:
        return _of_http(error)

    @app.errorhandler(Exception)
    async def ours(error: Exception) -> Response:
        if not isinstance(error, CallsheetError):
            g.fault = describe(error)  # for its span, if it has one
        return problem_of(error)


def problem_of(error: Exception) -> Response:
    """Return the problem for an error."""
    return _response(told_as_problem(error, request.method, request.path, g.get("request_id")))


def told_as_problem(error: Exception, method: str, path: str, request_id: str | None) -> Told:
    """Return what tells of an error: of ours what it says, of any other only where to look."""
    if isinstance(error, CallsheetError):
        return _of_ours(error, path, request_id)
    shown = hidden(path)
    extra = told("request.failed", request_id=request_id, method=method, path=shown)
    log.error("request %s failed: %s %s", request_id, method, shown, exc_info=error, extra=extra)
    body = _document(500, "internal", INTERNAL, "The log of the service tells more.", path, request_id)
    return Told(500, _encode(body), {"Content-Type": PROBLEM})


def _of_ours(error: CallsheetError, path: str, request_id: str | None) -> Told:
    extra: dict[str, Any] = {}
    detail = str(error)
    if isinstance(error, Invalid):
        extra["errors"] = [_field(one) for one in error.errors[:MOST_FIELDS]]
        if len(error.errors) > MOST_FIELDS:
            detail = f"{len(error.errors):,} fields are wrong; {MOST_FIELDS} of them are listed."
    if isinstance(error, Refused) and error.blocked_by:
        extra["blocked_by"] = error.blocked_by
    extra |= getattr(error, "members", {})
    headers = {"Content-Type": PROBLEM, **getattr(error, "headers", {})}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(error.retry_after)
    body = _document(error.status, error.kind, error.title, detail, path, request_id) | extra
    return Told(error.status, _encode(body), headers)


def problem(status: int, kind: str, title: str, detail: str) -> Response:
    """Return a problem that is no error."""
    body = _document(status, kind, title, detail, request.path, g.get("request_id"))
    return _response(Told(status, _encode(body), {"Content-Type": PROBLEM}))


def _response(found: Told) -> Response:
    response = Response(found.body, found.status)
    response.headers.update(found.headers)
    return response


def _document(status: int, kind: str, title: str, detail: str, path: str, request_id: str | None) -> dict[str, Any]:
    return {
        "type": f"/problems/{kind}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": path,
        "request_id": request_id,
    }


def _encode(body: dict[str, Any]) -> bytes:
    try:
        raw = msgspec.json.encode(body)
    except UnicodeEncodeError:  # a lone surrogate from the request line
        raw = msgspec.json.encode(body | {"instance": None, "detail": ascii(body["detail"])})
    return hidden(raw.decode()).encode()


def _field(error: FieldError) -> dict[str, str]:
    return {"pointer": f"#{error.pointer}", "detail": error.detail}


def _of_http(error: HTTPException) -> Response:
    status = error.code or 500
    if isinstance(error, RequestEntityTooLarge):
        status = 413
    title = error.name or "Not possible"
    detail = DETAILS.get(status) or error.description or title
    response = problem(status, KINDS.get(status, "http"), title, detail)
    if error.code == 405:
        response.headers["Allow"] = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
    return response
