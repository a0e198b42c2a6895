"""Spans: one for each attempt and each request, linked by who asked; children where a body makes its own."""

import sqlite3
from contextlib import asynccontextmanager, closing

import pytest
import trio
from attrs import frozen
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from callsheet import Out, Retry, task
from callsheet.instants import parse_instant
from callsheet.tracing import Tracing

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MEMORY = InMemorySpanExporter()
PROVIDER = TracerProvider(shutdown_on_exit=False)
PROVIDER.add_span_processor(SimpleSpanProcessor(MEMORY))
own = PROVIDER.get_tracer("of the author")


@task
async def family(_in: None, out: Out[None]) -> None:
    """Make spans of its own: here, in two tasks at once, and in a thread."""

    async def child(name: str) -> None:
        with own.start_as_current_span(name):
            await trio.sleep(0.001)

    def grandchild() -> None:
        own.start_span("thread").end()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(child, "one")
        nursery.start_soon(child, "two")
    with own.start_as_current_span("three"):
        await trio.to_thread.run_sync(grandchild)


@task
def threaded(_in: None, out: Out[None]) -> None:
    """Make a span in a thread."""
    own.start_span("by hand").end()


@task(retries=Retry(1, backoff="5ms..10ms"))
async def stumbling(_in: None, out: Out[None]) -> None:
    """Fail at each attempt."""
    raise ValueError("on purpose")


@task(max_running=1)
async def single(_in: None, out: Out[None]) -> None:
    """Run alone until cancelled."""
    await trio.sleep_forever()


@frozen
class Spans:
    """What was exported."""

    def named(self, name):
        """Return the spans with a name, in the order in which they ended."""
        return [span for span in MEMORY.get_finished_spans() if span.name == name]

    async def one(self, name, count=1):
        """Wait for the last of so many spans with a name, and return it."""
        with trio.fail_after(10):
            while len(found := self.named(name)) < count:
                await trio.sleep(0.002)
        return found[count - 1]


@pytest.fixture
def spans():
    """What was exported since the test began."""
    MEMORY.clear()
    return Spans()


@pytest.fixture
def tracing_service(serving):
    """The service, with spans and a few more tasks."""

    @asynccontextmanager
    async def run(url, **options):
        more = (family, threaded, stumbling, single)
        async with serving(url, tracing=Tracing(PROVIDER), more=more, **options) as api:
            yield api

    return run


@pytest.fixture
async def traced(tracing_service, sqlite_url, spans):
    """The service with spans."""
    async with tracing_service(sqlite_url) as api:
        yield api


async def over(api, name, **options):
    """Start a task, wait until it is over, and return the instance."""
    started = await api.post("/v1/instances", json={"task": name}, **options)
    return await api.over(started.headers["Location"])


async def test_an_attempt_is_a_span_from_its_start_to_its_end_that_tells_all_about_it(traced, spans):
    await traced.put("/v1/schedules/a", json={"task": "quick", "trigger": {"every": "10s"}})
    await traced.pass_time(10)
    span = await spans.one("quick")
    [seen] = (await traced.get("/v1/instances?schedule=a")).json()["items"]
    seen = await traced.over(seen["uri"])

    assert span.parent is None
    assert not span.links
    assert span.start_time == parse_instant(span.attributes["callsheet.started_at"]) * 1000
    assert span.end_time == parse_instant(seen["finished_at"]) * 1000
    about = {name.removeprefix("callsheet."): value for name, value in span.attributes.items()}
    assert about.pop("late_by") >= 0
    assert about == {
        "task": "quick", "schedule": "a", "instance.id": seen["id"], "attempt": 1, "cause": "schedule",
        "outcome": "succeeded", "due_at": seen["due_at"], "queued_at": seen["queued_at"],
        "started_at": seen["started_at"], "ended_at": seen["finished_at"],
    }  # fmt: skip
    assert span.status.status_code is trace.StatusCode.UNSET


async def test_a_run_is_linked_to_the_request_that_started_it_which_is_a_part_of_the_callers_trace(traced, spans):
    await over(traced, "quick", headers={"traceparent": CALLER})
    run, [request] = await spans.one("quick"), spans.named("POST /v1/instances")

    assert f"{request.context.trace_id:032x}" == CALLER.split("-")[1]
    assert f"{request.parent.span_id:016x}" == CALLER.split("-")[2]
    assert [link.context.span_id for link in run.links] == [request.context.span_id]
    assert [link.context.trace_id for link in run.links] == [request.context.trace_id]
    assert run.context.trace_id != request.context.trace_id


async def test_a_failed_attempt_is_an_error_with_what_was_raised_and_its_retry_keeps_the_link(traced, spans):
    await over(traced, "stumbling", headers={"traceparent": CALLER})
    second, first = await spans.one("stumbling", 2), spans.named("stumbling")[0]
    [request] = spans.named("POST /v1/instances")

    assert [one.attributes["callsheet.attempt"] for one in (first, second)] == [1, 2]
    assert second.attributes["callsheet.retry_of"] == first.attributes["callsheet.instance.id"]
    for span in (first, second):
        assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, "on purpose")
        [event] = span.events
        assert event.name == "exception"
        assert event.attributes["exception.type"] == "ValueError"
        assert "raise ValueError" in event.attributes["exception.stacktrace"]
        assert [link.context.span_id for link in span.links] == [request.context.span_id]


async def test_what_was_cancelled_is_no_error_and_what_took_too_long_is(traced, spans):
    uri = await traced.start("sleeper")
    await traced.post(f"{uri}/cancel")
    cancelled = await spans.one("sleeper")
    await traced.start("sleeper", timeout="1s")
    timed_out = await spans.one("sleeper", 2)

    assert cancelled.attributes["callsheet.outcome"] == "cancelled"
    assert cancelled.status.status_code is trace.StatusCode.UNSET
    assert timed_out.attributes["callsheet.outcome"] == "timed_out"
    assert timed_out.status.status_code is trace.StatusCode.ERROR
    assert timed_out.status.description.startswith("ran 1.0")


async def test_spans_of_a_body_are_children_of_its_attempt_in_threads_too(traced, spans):
    await over(traced, "family")
    await over(traced, "threaded")
    parents = {name: (await spans.one(name)).parent.span_id for name in ("one", "two", "three", "thread", "by hand")}
    [attempt, by_hand, three] = [(await spans.one(name)).context.span_id for name in ("family", "threaded", "three")]

    assert parents == {"one": attempt, "two": attempt, "three": attempt, "thread": three, "by hand": by_hand}


async def test_who_waits_for_a_turn_keeps_the_link_over_a_restart(tracing_service, database_url, spans):
    async with tracing_service(database_url) as api:
        first = await api.start("single")
        await api.until(first, lambda found: found["state"] == "running")
        waiting = (await api.post("/v1/instances", json={"task": "single"}, headers={"traceparent": CALLER})).json()
    async with tracing_service(database_url) as api:
        await api.until(waiting["uri"], lambda found: found["state"] == "running")
        await api.post(f"{waiting['uri']}/cancel")
        await api.over(waiting["uri"])
    asked = spans.named("POST /v1/instances")[1]
    run = next(span for span in spans.named("single") if span.attributes["callsheet.instance.id"] == waiting["id"])

    assert [link.context.span_id for link in run.links] == [asked.context.span_id]
    assert run.attributes["callsheet.queued_at"] < run.attributes["callsheet.started_at"]


async def test_each_request_is_a_span_by_its_route_and_never_tells_its_query(traced, spans):
    await traced.get("/v1/schedules/secret-name?token=csk_never", headers={"User-Agent": "test"})
    await traced.get("/no/such/page")
    await traced.request("MADEUP", "/v1/tasks")
    found, lost = await spans.one("GET /v1/schedules/<name>"), await spans.one("GET")

    assert found.kind is trace.SpanKind.SERVER
    about = dict(found.attributes)
    assert len(about.pop("callsheet.request_id")) == 32
    about.pop("server.address")
    assert about == {
        "http.request.method": "GET", "http.route": "/v1/schedules/<name>", "http.response.status_code": 422,
        "url.scheme": "http", "url.path": "/v1/schedules/secret-name", "network.protocol.version": "1.1",
        "client.address": "127.0.0.1", "user_agent.original": "test", "callsheet.caller": "api",
    }  # fmt: skip
    assert found.status.status_code is trace.StatusCode.UNSET
    assert lost.attributes["http.response.status_code"] == 404
    assert "http.route" not in lost.attributes
    assert (await spans.one("HTTP")).attributes["http.request.method"] == "_OTHER"


async def test_a_fault_of_ours_is_an_error_with_what_was_raised(traced, spans, monkeypatch):
    async def broken(*_):
        raise ZeroDivisionError("a fault")

    with monkeypatch.context() as fault:
        fault.setattr(traced.door, "read", broken)
        assert (await traced.get("/v1/nodes")).status_code == 500
    span = await spans.one("GET /v1/nodes")

    assert span.status.status_code is trace.StatusCode.ERROR
    assert span.events[0].attributes["exception.type"] == "ZeroDivisionError"


async def test_a_stream_is_a_span_until_it_is_open_and_a_client_that_leaves_ends_its_own(traced, spans):
    async with traced.listen("/v1/events"):
        assert (await spans.one("GET /v1/events")).attributes["http.response.status_code"] == 200
    with trio.move_on_after(0.1):
        await over(traced, "sleeper", headers={"Prefer": "wait=60"})
    left = await spans.one("POST /v1/instances")

    assert "http.response.status_code" not in left.attributes


@pytest.mark.parametrize(
    "header", ["", "00-x", CALLER[:-3], "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "ff" + CALLER[2:]]
)
async def test_a_traceparent_that_is_none_is_no_ones_trace(traced, spans, header):
    await over(traced, "quick", headers={"traceparent": header})
    [request] = spans.named("POST /v1/instances")

    assert request.parent is None
    assert (await spans.one("quick")).links[0].context.span_id == request.context.span_id


async def test_without_spans_nobody_is_written_down_as_the_caller(api, tmp_path):
    await over(api, "quick", headers={"traceparent": CALLER})

    with closing(sqlite3.connect(tmp_path / "api.db")) as database:
        assert database.execute("SELECT count(*), count(trace) FROM instance").fetchone() == (1, 0)
