"""A span for each HTTP request, from its head to the last byte of its answer; costs nothing where none are asked for.

That of a stream ends when it is open: it may last for days, and what is sent then has spans of its own.
"""

from typing import TYPE_CHECKING, Any

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent
from quart import Quart, Response, g, request

from web.quart_connection import SafeHTTP

if TYPE_CHECKING:
    from callsheet.tracing import Span, Tracing

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
FAULTS = 500  # statuses from here on are ours


def install(app: Quart, tracing: "Tracing | None") -> None:
    """Have the requests of `app` traced; call it before anything that may refuse one."""
    if tracing is None:
        return
    app.asgi_http_class = _traced(tracing)

    @app.before_request
    async def name_route() -> None:
        if request.url_rule is not None:
            span = _span_at_hand()
            span.rename(f"{request.method} {request.url_rule.rule}")
            span.tell({"http.route": request.url_rule.rule})

    @app.after_request
    async def tell(response: Response) -> Response:
        span = _span_at_hand()
        caller = g.get("caller")
        span.tell({"callsheet.request_id": g.get("request_id"), "callsheet.caller": caller and caller.name})
        if response.status_code >= FAULTS:
            span.fail(f"answered {response.status_code}", g.get("fault"))
        return response


def _span_at_hand() -> "Span":
    span: Span = request.scope["callsheet.span"]  # type: ignore[typeddict-item]
    return span


def _traced(tracing: "Tracing") -> type[SafeHTTP]:
    class TracedHTTP(SafeHTTP):
        """A connection whose requests have spans."""

        async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
            """Answer one request."""
            span = _begun(tracing, self.scope)
            self.scope["callsheet.span"] = span  # type: ignore[typeddict-unknown-key]

            async def watched(message: ASGISendEvent) -> None:
                if message["type"] == "http.response.start":
                    span.tell({"http.response.status_code": message["status"]})
                    if (b"content-type", b"text/event-stream") in message["headers"]:
                        span.end()
                await send(message)

            try:
                await super().__call__(receive, watched)
            finally:  # cut off, too: then it has no status
                span.end()

    return TracedHTTP


def _begun(tracing: "Tracing", scope: Any) -> "Span":
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    client = scope["client"] or ("", None)
    method = scope["method"] if scope["method"] in METHODS else None  # or anybody could make up names of spans
    about = {
        "http.request.method": method or "_OTHER",
        "url.scheme": scope["scheme"],
        "url.path": scope["raw_path"].decode("ascii", "replace"),  # the query may hold what is nobody's business
        "network.protocol.version": scope["http_version"],
        "client.address": client[0] or None,
        "server.address": headers.get("host"),
        "user_agent.original": headers.get("user-agent"),
    }
    return tracing.request(method or "HTTP", headers, about)
