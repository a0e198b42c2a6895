"""Outputs and log of an instance as streams: all that is there, then each new word, then the end."""

import pytest
import trio

from callsheet import Out, task
from web import streams


def values(heard):
    """Return what was sent."""
    return [one.data["value"] for one in heard]


@pytest.fixture
async def talk(api_on_each):
    """An API with a task that says a word each time it is told to, and the words."""
    words, hear = trio.open_memory_channel(10)

    @task
    async def talker(_in: None, out: Out[str]) -> None:
        async for word in hear:
            await out.log(f"log of {word}")
            await out.send(word)

    api_on_each.tasks.add(talker)
    return api_on_each, words


async def test_outputs_are_followed_from_the_first_to_the_end(talk):
    api, words = talk
    uri = await api.start("talker")
    await words.send("one")
    await api.until(f"{uri}/outputs", lambda found: found["items"])

    async with api.listen(f"{uri}/outputs") as ear:
        heard = [await ear.next()]
        for word in ("two", "three"):
            await words.send(word)
            heard.append(await ear.next())
        words.close()
        end, nothing = await ear.take(2)

    assert values(heard) == ["one", "two", "three"]
    assert [(one.event, one.id) for one in heard] == [("output", "0"), ("output", "1"), ("output", "2")]
    assert (end.event, end.id, end.data["outcome"], end.data["uri"]) == ("end", "end", "succeeded", uri)
    assert nothing is None


async def test_the_log_is_followed_likewise(talk):
    api, words = talk
    uri = await api.start("talker")
    async with api.listen(f"{uri}/log") as ear:
        await words.send("one")
        heard = await ear.next()
        await api.post(f"{uri}/cancel")
        end = await ear.next()

    assert (heard.event, heard.data["text"]) == ("log", "log of one")
    assert end.data["outcome"] == "cancelled"


async def test_who_comes_back_hears_the_rest_and_after_the_end_nothing(api):
    uri = await api.start("say", input={"text": "x", "times": 250})
    await api.over(uri)

    async with api.listen(f"{uri}/outputs", last=9) as ear:
        heard = await ear.rest()
    cursor = (await api.get(f"{uri}/outputs", params={"limit": 200})).json()["next"]
    async with api.listen(f"{uri}/outputs", cursor=cursor) as ear:
        rest = await ear.rest()
    after = await api.get(f"{uri}/outputs", headers={"Accept": "text/event-stream", "Last-Event-ID": "end"})

    assert [one.id for one in heard] == [*map(str, range(10, 250)), "end"]
    assert [one.id for one in rest] == [*map(str, range(200, 250)), "end"]
    assert after.status_code == 204


async def test_what_never_was_cannot_be_followed(api):
    headers = {"Accept": "text/event-stream"}
    uri = await api.start("quick")

    api.problem(await api.get("/v1/instances/01900000-0000-7000-8000-000000000000/log", headers=headers), 404)
    api.problem(await api.get(f"{uri}/log", headers=headers | {"Last-Event-ID": "x"}), 422)
    api.problem(await api.get(f"{uri}/log?limit=5", headers=headers), 422)


async def test_many_follow_one_instance_and_leave_nothing_behind(talk):
    api, words = talk
    uri = await api.start("talker")
    heard = []

    async def follow(task_status):
        async with api.listen(f"{uri}/outputs") as ear:
            task_status.started()
            heard.append(values([await ear.next()]))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            await nursery.start(follow)
        await words.send("hello")
    words.close()
    await api.over(uri)

    assert heard == [["hello"]] * 20


async def test_a_follower_beats_while_nothing_is_said(talk, monkeypatch):
    monkeypatch.setattr(streams, "HEARTBEAT", 0.03)
    api, words = talk
    uri = await api.start("talker")
    async with api.listen(f"{uri}/outputs") as ear:
        await trio.sleep(0.1)
        await words.send("late")
        heard = await ear.next()

    assert values([heard]) == ["late"]
    assert ear.comments


async def test_followers_are_told_when_the_service_stops(serving, sqlite_url):
    heard = []

    async def listen(api, uri, task_status):
        async with api.listen(f"{uri}/log") as ear:
            task_status.started()
            heard.extend(await ear.rest())

    async with trio.open_nursery() as nursery, serving(sqlite_url) as api:
        await nursery.start(listen, api, await api.start("sleeper"))
        queued = (await api.post("/v1/instances/batch", json={"items": [{"task": "held", "input": None}] * 2})).json()
        await nursery.start(listen, api, queued["items"][1]["uri"])

    assert sorted((one.event, *one.data.values())[:2] for one in heard) == [("bye", "shutdown"), ("end", "interrupted")]
