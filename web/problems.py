"""The only translator of errors to HTTP: RFC 9457 problems, with every wrong field at once."""

import logging
from typing import Any
from uuid import uuid4

import msgspec
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

MOST_FIELDS = 100  # wrong fields that one answer lists: a body of 1 MiB can hold a hundred thousand


def install(app: Quart) -> None:
    """Answer every error of every view with a problem."""

    @app.before_request
    async def name_request() -> None:
        g.request_id = uuid4().hex

    @app.errorhandler(CallsheetError)
    async def known(error: CallsheetError) -> Response:
        return problem_of(error)

    @app.errorhandler(HTTPException)
    async def http(error: HTTPException) -> Response:
        return _of_http(error)

    @app.errorhandler(Exception)
    async def unforeseen(error: Exception) -> Response:
        name, method, path = g.get("request_id"), request.method, request.path
        g.fault = describe(error)
        path = hidden(path)
        extra = told("request.failed", request_id=name, method=method, path=path)
        log.error("request %s failed: %s %s", name, method, path, exc_info=error, extra=extra)
        return problem(500, "internal", "Something went wrong on our side", "The log of the service tells more.")


def problem_of(error: CallsheetError) -> Response:
    """Return the problem for one of our errors."""
    extra: dict[str, Any] = {}
    detail = str(error)
    if isinstance(error, Invalid):
        extra["errors"] = [_field(one) for one in error.errors[:MOST_FIELDS]]
        if len(error.errors) > MOST_FIELDS:
            detail = f"{len(error.errors):,} fields are wrong; {MOST_FIELDS} of them are listed."
    if isinstance(error, Refused) and error.blocked_by:
        extra["blocked_by"] = error.blocked_by
    extra |= getattr(error, "members", {})
    response = problem(error.status, error.kind, error.title, detail, **extra)
    response.headers.update(getattr(error, "headers", {}))
    if isinstance(error, Unavailable):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def problem(status: int, kind: str, title: str, detail: str, **extra: Any) -> Response:
    """Return a problem document."""
    body = {
        "type": f"/problems/{kind}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.path,
        "request_id": g.get("request_id"),
        **extra,
    }
    return Response(_encode(body), status, content_type="application/problem+json")


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
