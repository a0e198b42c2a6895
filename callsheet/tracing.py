"""Spans for OpenTelemetry: the only module that knows its SDK, and imported only where `--otel` asks for it.

Spans are handed to threads that send them, which nobody waits for: what they do not get rid of in time is dropped.
Where they go, and how many of them, is said by the `OTEL_…` variables that all services know.
"""

import os
import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

from attrs import define, field, frozen
from opentelemetry import context, propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from callsheet import __version__
from callsheet.errors import RefusedToStart

PATIENCE = 2.0  # seconds that the last spans have to get away when the service ends
SOON = 200.0  # milliseconds after which a worker process sends what there is: it may be killed at any time

_NANOSECONDS = 1000  # in the microsecond of an instant
_W3C = TraceContextTextMapPropagator()


@frozen
class Span:
    """One span under way."""

    _span: trace.Span

    @property
    def traceparent(self) -> str | None:
        """Return what others need to refer to it; None for one that is not kept."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, trace.set_span_in_context(self._span))
        return carrier.get("traceparent")

    def tell(self, attributes: Mapping[str, Any]) -> None:
        """Add attributes; what is None is left out."""
        self._span.set_attributes(_known(attributes))

    def rename(self, name: str) -> None:
        """Give it another name."""
        self._span.update_name(name)

    def fail(self, reason: str, error: Mapping[str, str] | None = None, at: int | None = None) -> None:
        """Say that it is no success; `error` has the type, message and traceback of what was raised."""
        self._span.set_status(trace.StatusCode.ERROR, reason)
        if error:
            told = {"type": error.get("type"), "message": error.get("message"), "stacktrace": error.get("traceback")}
            attributes = {f"exception.{name}": text for name, text in told.items() if text}
            self._span.add_event("exception", attributes, _at(at))

    def end(self, at: int | None = None) -> None:
        """End it, now or at an instant; a second end changes nothing."""
        if self._span.is_recording():
            self._span.end(_at(at))


@define(eq=False)
class Tracing:
    """Makes spans."""

    provider: TracerProvider
    patience: float = PATIENCE
    _tracer: trace.Tracer = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._tracer = self.provider.get_tracer("callsheet", __version__)

    def attempt(self, name: str, at: int, cause: str | None, attributes: Mapping[str, Any]) -> Span:
        """Begin a trace at an instant, of which all is a part that this Trio task does from here on.

        It is linked to `cause`, a traceparent: that one may be over for long, or cause ten thousand of them.
        """
        found = trace.get_current_span(_W3C.extract({"traceparent": cause or ""})).get_span_context()
        links = [trace.Link(found)] if found.is_valid else None
        span = self._tracer.start_span(
            name, context.Context(), attributes=_known(attributes), links=links, start_time=_at(at)
        )
        return _entered(span)

    def request(self, name: str, headers: Mapping[str, str], attributes: Mapping[str, Any]) -> Span:
        """Begin the span of a request, a part of the trace that its headers name, if they do."""
        caller = propagate.extract(headers, context.Context())
        return _entered(self._tracer.start_span(name, caller, trace.SpanKind.SERVER, _known(attributes)))

    def here(self) -> str | None:
        """Return the traceparent of the span that this Trio task is in."""
        return Span(trace.get_current_span()).traceparent

    def close(self) -> None:
        """Send what is left, for no longer than `patience` seconds, whatever the receiver does."""
        last = threading.Thread(target=self.provider.shutdown, name="callsheet-last-spans", daemon=True)
        last.start()
        last.join(max(self.patience, 0))


def start_tracing(node: str | None = None, *, soon: bool = False) -> Tracing | None:
    """Return what makes spans, by the `OTEL_…` variables; None when they say no. RefusedToStart tells what is wrong."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    try:
        exporters = _exporters()
        provider = TracerProvider(resource=_resource(node), shutdown_on_exit=False)  # which would wait for 30 s
        for exporter in exporters:
            delay = SOON if soon else None
            provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=delay))
    except RefusedToStart:
        raise
    except Exception as error:  # other people's exporters and variables: whatever they raise, they cannot be used
        raise RefusedToStart(f"--otel: OpenTelemetry refuses its variables: {error}.") from error
    trace.set_tracer_provider(provider)
    return Tracing(provider)


def follow(traceparent: str) -> None:
    """Make what this task does a part of a span of another process."""
    context.attach(_W3C.extract({"traceparent": traceparent}, context.Context()))


def _exporters() -> Sequence[SpanExporter]:
    names = [name.strip() for name in os.environ.get("OTEL_TRACES_EXPORTER", "").split(",")]
    return [_exporter(name) for name in ([name for name in names if name] or ["otlp"]) if name != "none"]


def _exporter(name: str) -> SpanExporter:
    if name == "otlp":
        general = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
        protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or general
        name = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}.get(protocol.strip(), protocol)
    for found in entry_points(group="opentelemetry_traces_exporter", name=name):
        exporter: SpanExporter = found.load()()
        return exporter
    raise RefusedToStart(
        f"--otel: there is no OpenTelemetry exporter called {name!r} here. Install it, or set"
        " OTEL_TRACES_EXPORTER=otlp and OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf."
    )


def _resource(node: str | None) -> Resource:
    """Return what tells this service from others: what the variables say goes before what we know."""
    ours = Resource(_known({"service.name": "callsheet", "service.version": __version__, "callsheet.node": node}))
    theirs = Resource.create()
    named = not str(theirs.attributes.get("service.name", "")).startswith("unknown_service")
    return ours.merge(theirs) if named else theirs.merge(ours)


def _entered(span: trace.Span) -> Span:
    context.attach(trace.set_span_in_context(span))  # never detached: each Trio task has a context of its own
    return Span(span)


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def _at(instant: int | None) -> int | None:
    return None if instant is None else instant * _NANOSECONDS
