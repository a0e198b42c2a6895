"""GET /v1/events: every committed fact in order, as pages and as a stream that loses and doubles nothing."""

import pytest
import trio

from actors.inbox import order
from storage.journal.commands import KeepEvent
from web import streams


async def happen(api, *names):
    """Have an event written down for each name."""
    for name in names:
        await order(api.engine.bus, KeepEvent("clock.jumped", b'{"name": "%s"}' % name.encode()))


def names(heard):
    """Return the names of such events."""
    return [one.data["data"]["name"] for one in heard]


async def head(api):
    """Return the id of the latest event."""
    return (await api.walk("/v1/events", 200))[-1]["id"]


# --- pages ---


async def test_a_page_holds_what_was_committed_in_order(api_on_each):
    api = api_on_each
    uri = await api.start("say", input={"text": "hello"})
    await api.over(uri)

    found = (await api.get("/v1/events", params={"instance": uri})).json()

    assert [item["type"] for item in found["items"]] == ["instance.started", "instance.ended"]
    assert found["items"][1].keys() == {"id", "at", "type", "schedule", "instance", "data"}
    assert found["items"][1]["instance"] == uri
    assert found["items"][1]["data"]["outcome"] == "succeeded"
    assert found["next"] is None


async def test_pages_join_without_gap_or_double(api_on_each):
    api = api_on_each
    await happen(api, *"abcdefg")

    first = (await api.get("/v1/events", params={"limit": 3, "types": "clock.*"})).json()
    found = first["items"]
    assert len(found) == 3
    found += (await api.get("/v1/events", params={"after": found[-1]["id"], "types": "clock.*"})).json()["items"]
    assert found == await api.walk("/v1/events", 1, types="clock.jumped")

    assert [item["data"]["name"] for item in found] == list("abcdefg")


async def test_a_filter_that_takes_little_looks_through_a_window_at_a_time(api, monkeypatch):
    monkeypatch.setattr("storage.queries.events.WINDOW", 4)
    await happen(api, *"abcdefgh")

    first = (await api.get("/v1/events", params={"types": "schedule.changed"})).json()

    assert first["items"] == []
    assert first["next"] is not None


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ({"after": "-1"}, ["#/after"]),
        ({"after": "x", "types": "nonsense", "instance": "1"}, ["#/after", "#/types", "#/instance"]),
        ({"types": "instance.ended,instance.endet,task.*"}, ["#/types"]),
        ({"cursor": "x", "limit": "0"}, ["#/limit", "#/cursor"]),
    ],
)  # fmt: skip
async def test_all_that_is_wrong_with_a_query_is_told(api, query, pointers):
    assert await api.wrong(api.get("/v1/events", params=query)) == pointers


# --- streams ---


async def test_a_stream_tells_what_happens_from_now_on(api_on_each):
    api = api_on_each
    await happen(api, "before")
    async with api.listen("/v1/events") as ear:
        begin = await ear.next()
        await happen(api, "one", "two")
        heard = await ear.take(2)

    assert begin.event == "position"
    assert int(begin.id) == begin.data["after"] == int(heard[0].id) - 1
    assert names(heard) == ["one", "two"]
    assert [one.event for one in heard] == ["clock.jumped"] * 2
    assert [int(one.id) for one in heard] == [one.data["id"] for one in heard]


async def test_who_comes_back_hears_what_he_missed_and_goes_on(api_on_each):
    api = api_on_each
    await happen(api, *"abcdef")
    third = (await api.walk("/v1/events", 200, types="clock.jumped"))[2]["id"]

    async with api.listen("/v1/events", last=third, after=0) as ear:
        assert (await ear.next()).id == str(third)
        heard = await ear.take(3)
        await happen(api, "g")
        heard += await ear.take(1)

    assert names(heard) == list("defg")


async def test_a_stream_can_begin_at_the_oldest_event(api):
    async with api.listen("/v1/events", after=0) as ear:
        heard = await ear.take(2)

    assert heard[1].event == "node.started"


async def test_filters_let_through_what_was_asked_for(api):
    await api.put("/v1/schedules/s", json={"task": "quick", "trigger": {"every": "1h"}})
    async with (
        api.listen("/v1/events", types="instance.ended,schedule.*") as by_type,
        api.listen("/v1/events", schedule="s") as by_schedule,
    ):
        await by_type.next(), await by_schedule.next()
        await api.over(await api.start("quick"))
        uri = (await api.post("/v1/schedules/s/trigger")).headers["Location"]
        await api.over(uri)
        await api.delete("/v1/schedules/s")

        assert [one.event for one in await by_type.take(3)] == ["instance.ended", "instance.ended", "schedule.changed"]
        assert [one.data["instance"] for one in await by_schedule.take(3)] == [uri, uri, None]


async def test_a_silent_stream_beats_and_tells_how_far_it_is(api, monkeypatch):
    monkeypatch.setattr(streams, "HEARTBEAT", 0.05)
    async with api.listen("/v1/events", types="schedule.changed") as ear:
        await ear.next()
        await happen(api, "unheard")
        moved = await ear.next()
        await trio.sleep(0.15)
        await api.put("/v1/schedules/s", json={"task": "quick", "trigger": {"every": "1h"}})
        heard = await ear.next()

    assert (moved.event, moved.id) == ("position", str(int(heard.id) - 1))
    assert heard.event == "schedule.changed"
    assert ear.comments


async def test_what_was_pruned_is_gone_and_nothing_is_skipped_silently(api_on_each):
    api = api_on_each
    await happen(api, *"abcd")
    last = await head(api)
    prune(api, last - 1)

    kept = await api.walk("/v1/events", 200)
    gone = api.problem(await api.get("/v1/events", params={"after": last - 3}), 410)
    stream = await api.get("/v1/events", headers={"Accept": "text/event-stream", "Last-Event-ID": str(last - 3)})

    assert [item["id"] for item in kept] == [last]
    assert gone["type"] == "/problems/events-gone"
    api.problem(stream, 410)
    assert (await api.get("/v1/events", params={"after": last - 1})).status_code == 200


async def test_an_empty_table_still_knows_what_it_had(api_on_each):
    api = api_on_each
    await happen(api, *"abcd")
    last = await head(api)
    prune(api, last)

    api.problem(await api.get("/v1/events", params={"after": last - 1}), 410)
    assert (await api.get("/v1/events", params={"after": last})).json() == {"items": [], "next": None}
    assert (await api.get("/v1/events", params={"after": 0})).json() == {"items": [], "next": None}
    api.problem(await api.get("/v1/events", params={"after": last + 1}), 410)  # of another database


def prune(api, upto):
    """Remove events, as retention does."""
    from pony import orm

    with orm.db_session:
        api.database.db.execute("DELETE FROM event WHERE id <= $upto")
    api.database.db.disconnect()


async def test_a_stream_says_bye_when_the_service_stops(serving, sqlite_url):
    heard = []

    async def listen(api, task_status):
        async with api.listen("/v1/events") as ear:
            await ear.next()
            task_status.started()
            heard.extend(await ear.rest())

    async with trio.open_nursery() as nursery, serving(sqlite_url) as api:
        await nursery.start(listen, api)
        await api.start("sleeper")

    assert [one.event for one in heard[-3:]] == ["instance.ended", "node.stopped", "bye"]
    assert heard[-1].data == {"reason": "shutdown"}


async def test_there_are_only_so_many_streams(api):
    api.streams.room = 1
    async with api.listen("/v1/events"):
        refused = await api.get("/v1/events", headers={"Accept": "text/event-stream"})
        api.problem(refused, 503)
        assert refused.headers["Retry-After"] == "1"
        assert (await api.get("/v1/events")).status_code == 200
    with trio.fail_after(5):
        while api.streams.open:
            await trio.sleep(0.01)
    async with api.listen("/v1/events"):
        pass


async def test_head_of_a_stream_is_an_answer_that_ends(api):
    answer = await api.head("/v1/events", headers={"Accept": "text/event-stream"})

    assert answer.headers["Content-Type"] == "text/event-stream"
    assert api.streams.open == 0


async def test_who_falls_behind_misses_nothing(api, monkeypatch):
    monkeypatch.setattr(streams, "ROOM", 1)
    monkeypatch.setattr("actors.feed.PAGE", 2)
    count = 300
    async with api.listen("/v1/events", types="clock.jumped") as ear, trio.open_nursery() as nursery:
        await ear.next()
        nursery.start_soon(happen, api, *map(str, range(count)))
        heard = []
        for _ in range(count):
            heard.append(await ear.next())
            await trio.lowlevel.checkpoint()

    assert names(heard) == [str(n) for n in range(count)]
