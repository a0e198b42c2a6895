"""Spans of the real process: they reach a collector, and one that is dead hurts nobody."""

import signal
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from attrs import define, field
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from callsheet import service
from callsheet.errors import RefusedToStart
from callsheet.settings import Settings

TASKS = """
import sys

from opentelemetry import trace


@task
async def traced(_in: None, out: Out[None]) -> None:
    with trace.get_tracer("jobs").start_as_current_span("inside"):
        pass


@task(isolate="process")
async def elsewhere(_in: None, out: Out[None]) -> None:
    with trace.get_tracer("jobs").start_as_current_span("far away"):
        pass


"""
MODULES = """
import sys


@task
async def modules(_in: None, out: Out[list[str]]) -> None:
    await out.send([name for name in sys.modules if name.startswith(("opentelemetry", "requests"))])
"""
SLOW_TO_SEND = {"OTEL_BSP_SCHEDULE_DELAY": "60000"}  # ms: what arrives before that was sent at the end


@define
class Collector:
    """A collector of spans, by OTLP over HTTP."""

    port: int
    heads: list[Any] = field(factory=list)
    spans: dict[str, Any] = field(factory=dict)
    resources: list[dict[str, str]] = field(factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that name it."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}"}

    def take(self, body: bytes) -> None:
        """Take the spans of one request."""
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append({one.key: one.value.string_value for one in group.resource.attributes})
            self.spans |= {span.name: span for scope in group.scope_spans for span in scope.spans}


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector that takes what it is sent."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.heads.append((self.path, self.headers["Authorization"]))
            found.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Collector(server.server_port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


@pytest.fixture
def deaf() -> Iterator[int]:
    """The port of one that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield server.getsockname()[1]


def test_spans_reach_the_collector_that_the_variables_name_the_last_of_them_at_the_stop(
    launch: Any, collector: Collector, until: Any
) -> None:
    variables = {"OTEL_EXPORTER_OTLP_HEADERS": "Authorization=secret", "OTEL_RESOURCE_ATTRIBUTES": "where=here"}
    running = launch(
        "--otel", "--node", "n7", tasks=TASKS, environment=collector.environment | SLOW_TO_SEND | variables
    )
    running.over(running.start("elsewhere"))
    until(lambda: "far away" in collector.spans)  # of a process that may be killed at any time: sent soon
    running.over(running.start("traced"))
    assert "traced" not in collector.spans
    assert running.stop() == 0
    spans = collector.spans

    assert spans["inside"].parent_span_id == spans["traced"].span_id
    assert spans["far away"].parent_span_id == spans["elsewhere"].span_id
    assert spans["far away"].trace_id == spans["elsewhere"].trace_id
    assert [link.span_id for link in spans["traced"].links] == [spans["POST /v1/instances"].span_id]
    assert set(collector.heads) == {("/v1/traces", "secret")}
    assert any(
        one.items() >= {"service.name": "callsheet", "callsheet.node": "n7", "where": "here"}.items()
        for one in collector.resources
    )
    assert not running.errors


@pytest.mark.parametrize("kind", ["deaf", "closed"])
def test_a_dead_collector_neither_slows_the_work_nor_holds_up_the_stop(
    launch: Any, kind: str, deaf: int, free_port: int
) -> None:
    port = deaf if kind == "deaf" else free_port
    hurried = {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_BSP_MAX_QUEUE_SIZE": "512"}
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"} | hurried
    running = launch("--otel", "--drain", "1s", environment=environment)
    for _ in range(3):  # more than there is room for
        items = [{"task": "sleep", "input": {"seconds": 0}}] * 400
        started = running.post("/v1/instances/batch", {"items": items}).body["items"]
        running.over(started[-1]["uri"])
    assert running.get("/readyz").status == 200
    code, took = running.ended(running.signal(signal.SIGTERM))

    assert code == 0
    assert took < 3.0
    assert not [line for line in running.errors if "loop.blocked" in line or "Traceback" in line]


def test_nothing_of_it_is_imported_unless_it_is_asked_for(launch: Any) -> None:
    running = launch(tasks=MODULES)
    found = running.over(running.start("modules"))

    assert found["outputs"] == [[]]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"OTEL_TRACES_EXPORTER": "jaegerr"}, "no OpenTelemetry exporter called 'jaegerr'"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "no OpenTelemetry exporter called 'otlp_proto_grpc'"),
        ({"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "many"}, "OpenTelemetry refuses its variables"),
    ],
)
def test_variables_that_cannot_be_followed_stop_the_start(launch: Any, variables: dict[str, str], words: str) -> None:
    code, said = launch.refused("--otel", environment=variables)

    assert code == 78
    assert words in said


def test_without_the_extra_the_start_is_refused_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "callsheet.tracing", None)

    with pytest.raises(RefusedToStart, match=r"pip install 'callsheet\[otel\]'"):
        service._tracing(Settings(otel=True), "n1")


def test_the_variable_that_says_no_goes_before_the_flag(launch: Any, collector: Collector) -> None:
    running = launch("--otel", environment=collector.environment | {"OTEL_SDK_DISABLED": "true"})
    running.get("/v1/tasks")
    assert running.stop() == 0

    assert not collector.heads
