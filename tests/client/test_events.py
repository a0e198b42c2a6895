"""The stream of events goes on over broken connections, in order, each event once."""

import asyncio
import json
from contextlib import aclosing

import pytest
import trio

from callsheet import AsyncClient, Client
from callsheet.client import ClientError, Gone, Unreachable
from callsheet.client.retrying import Patience
from callsheet.client.sse import Parser, event_of
from callsheet.models import Instance


def answer(body, status="200 OK", kind="application/json", **headers):
    """Return an answer as a script has it."""
    return body, status, kind, headers


# what httpcore iterates over is left to the collector when a stream is not read to its end; the connection is closed
pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'httpcore2:ResourceWarning")

EVENT = 'id: {0}\nevent: instance.started\ndata: {{"id": "{0}", "type": "instance.started", "data": {{"n": {0}}}}}\n\n'


def stream(*numbers, end=""):
    """Return the answer that streams some events, with a heartbeat between them, and ends."""
    return answer(": heartbeat\n\n".join(EVENT.format(number) for number in numbers) + end, kind="text/event-stream")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    """Let no test wait for a pause."""
    monkeypatch.setattr(Patience, "backoff", lambda self, tried: 0.001)


async def first(events, count):
    """Return the ids of the first events."""
    found = []
    async with aclosing(events):
        async for event in events:
            found.append(event.data["n"])
            if len(found) == count:
                break
    return found


async def test_a_stream_that_ends_or_says_bye_is_taken_up_where_it_was(script):
    there, client = await script(stream(1, 2), stream(3, end="event: bye\ndata: {}\n\n"), stream(4))
    async with client:
        with trio.fail_after(5):
            assert await first(client.events(types=["instance.started"], schedule="s"), 4) == [1, 2, 3, 4]
    assert there.paths[0] == "GET /v1/events?types=instance.started&schedule=s"
    assert [one.get("last-event-id") for one in there.asked] == [None, "2", "3"]
    assert all(one["accept"] == "text/event-stream" for one in there.asked)


async def test_what_a_stream_says_of_itself_is_no_event_but_where_it_goes_on(script):
    position = answer('id: 5\nevent: position\ndata: {"after": 5}\n\n', kind="text/event-stream")
    there, client = await script(position, stream(6))
    async with client:
        assert await first(client.events(), 1) == [6]
    assert [one.get("last-event-id") for one in there.asked] == [None, "5"]


async def test_it_begins_after_a_given_event_and_asks_for_that_only_once(script):
    there, client = await script(stream(8), stream(9))
    async with client:
        assert await first(client.events(after=7), 2) == [8, 9]
    assert there.paths == ["GET /v1/events?after=7", "GET /v1/events"]


async def test_an_event_cut_in_half_is_not_told_until_it_is_whole(script):
    cut = answer(stream(1, 2)[0][:-20], kind="text/event-stream")
    _, client = await script(cut, stream(2))
    async with client:
        assert await first(client.events(), 2) == [1, 2]


async def test_a_busy_service_is_waited_for_but_what_is_gone_is_told(script):
    gone = answer('{"type": "/problems/gone", "status": 410, "detail": "pruned"}', "410 Gone")
    _, client = await script(stream(1), answer("{}", "503 Busy"), stream(2), gone)
    async with client:
        seen = []
        with pytest.raises(Gone, match="pruned"):  # noqa: PT012 - what came before is what matters
            async for event in client.events():
                seen.append(event.data["n"])  # noqa: PERF401 - it ends by raising
    assert seen == [1, 2]


async def test_a_stream_that_breaks_before_its_first_event_is_taken_up_too(script):
    broken = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 999\r\n\r\n: heartbeat\n\n"
    there, client = await script(broken, stream(1))
    async with client:
        assert await first(client.events(after=0), 1) == [1]
    assert there.paths == ["GET /v1/events?after=0"] * 2


async def test_where_nobody_was_to_begin_with_the_error_comes_at_once():
    async with AsyncClient("http://127.0.0.1:9", environment={}) as client:
        with pytest.raises(Unreachable):
            await first(client.events(), 1)


async def test_patience_has_an_end(script):
    _, client = await script(stream(1), answer("{}", "503 Busy"))
    async with client:
        with pytest.raises(ClientError):
            await first(client.events(patience=0.05), 2)


async def test_a_service_without_a_stream_is_told_apart(script):
    _, client = await script(answer('{"items": [], "next": null}'))
    async with client:
        with pytest.raises(ClientError, match="has no stream of events"):
            await first(client.events(), 1)


async def test_without_following_it_is_a_list(script):
    page = '{{"items": [{{"id": {0}, "type": "a.b", "data": {{"n": {0}}}}}], "next": {1}}}'
    there, client = await script(answer(page.format(1, '"c"')), answer(page.format(2, "null")))
    async with client:
        assert [event.data["n"] async for event in client.events(after=0, follow=False)] == [1, 2]
    assert there.paths == ["GET /v1/events?after=0", "GET /v1/events?after=0&cursor=c"]


async def test_asyncio_and_threads_read_the_same(script):
    async def awaits(url):
        async with AsyncClient(url, environment={}) as client:
            return await first(client.events(), 2)

    def blocks(url):
        with Client(url, environment={}) as client:
            events = client.events()
            return [next(events).data["n"], next(events).data["n"]]

    there, _ = await script(stream(1), stream(2))
    assert await trio.to_thread.run_sync(asyncio.run, awaits(there.url)) == [1, 2]
    there, _ = await script(stream(1), stream(2))
    assert await trio.to_thread.run_sync(blocks, there.url) == [1, 2]


async def test_outputs_come_live_where_there_is_a_stream_and_none_comes_twice(script):
    known = {"id": "a", "uri": "/v1/instances/a", "task": "t", "cause": "manual", "running": True, "state": "running"}
    known |= {"attempt": 1, "tags": [], "queued_at": "2026-01-01T00:00:00Z", "stuck": False}
    whole = dict.fromkeys(set(Instance.__struct_fields__) - {"outputs", "progress"}) | known
    running, over = json.dumps(whole), json.dumps(whole | {"outcome": "succeeded"})
    item = '{{"seq": {0}, "at": "2026-01-01T00:00:00Z", "value": {0}}}'
    page = '{{"items": [{}], "next": null}}'
    live = "".join(f"id: {number}\nevent: output\ndata: {item.format(number)}\n\n" for number in (0, 1))
    there, client = await script(
        running,
        answer(page.format(item.format(0))),
        answer(live + "event: bye\ndata: {}\n\n", kind="text/event-stream"),
        over,
        answer(page.format(",".join(item.format(number) for number in (0, 1, 2)))),
    )
    async with client:
        assert [one.value async for one in client.instances.follow_outputs("a")] == [0, 1, 2]
    assert there.asked[2]["last-event-id"] == "0"


def test_messages_are_read_from_any_chunks():
    data = b"id: 1\r\nevent: x\r\ndata: {\r\ndata: }\r\n\r\n: beat\n\nid: 2\ndata: 5\n\nevent: bye\n\n"
    parser = Parser()
    found = [message for place in range(len(data)) for message in parser.feed(data[place : place + 1])]

    assert [(one.event, one.data, one.id) for one in found] == [
        ("x", "{\n}", "1"),
        ("message", "5", "2"),
        ("bye", "", "2"),
    ]
    assert (event_of(found[0]).type, event_of(found[1]).data) == ("x", {"value": 5})
