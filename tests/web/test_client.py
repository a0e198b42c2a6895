"""The client against the real service: Trio, asyncio and threads ask alike."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest
import trio
from msgspec import UNSET, Struct

from callsheet import AsyncClient, Client, Out, task
from callsheet.client import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    RunFailed,
    Unauthorized,
    Unreachable,
    WaitTimeout,
)
from callsheet.signing import check_secret

TICK = {"cron": "0 2 * * *", "timezone": "Europe/Berlin"}


class Spoken(Struct):
    """What `say` takes."""

    text: str
    times: int = 1


@task(name="say")
async def typed_say(_in: Spoken, out: Out[str]) -> None:
    """Stand for the task of the same name in the service."""


@pytest.fixture
async def client(api):
    """A client of the service at hand, by await."""
    async with AsyncClient(api.url, environment={}) as one:
        yield one


async def test_a_run_is_started_awaited_and_read(client):
    done = await client.tasks.run("say", {"text": "hi", "times": 3}, tags=["a"], within=20)

    assert (done.succeeded, done.outputs) == (True, ["hi", "hi", "hi"])
    assert done.check().instance.tags == ["a"]
    assert done.instance.queued_at.tzinfo is not None


async def test_a_run_that_fails_is_told_apart(client):
    done = await client.tasks.run("failing", within=20)

    with pytest.raises(RunFailed, match="ValueError: on purpose") as caught:
        done.check()
    assert caught.value.instance.outcome == "failed"


async def test_an_input_may_be_a_typed_value_or_nothing(client):
    assert (await client.tasks.run("say", Spoken("typed"), within=20)).outputs == ["typed"]
    assert (await client.tasks.run("quick", None, within=20)).succeeded
    assert (await client.tasks.run("quick", within=20)).succeeded


async def test_a_batch_starts_all(client):
    started = await client.tasks.start_batch([{"task": "say", "input": {"text": str(number)}} for number in range(3)])

    ended = [await client.instances.wait(one, 20) for one in started]
    assert [one.outputs for one in ended] == [["0"], ["1"], ["2"]]


async def test_a_batch_creates_all_schedules(client):
    every = {"task": "quick", "trigger": {"every": "1h"}}
    created = await client.schedules.create_batch([{"id": "a"} | every, {"id": "b", "tags": ["x"]} | every, every])

    assert [one.id for one in created[:2]] == ["a", "b"]
    assert (await client.schedules.get(created[2].id)).state == "active"
    with pytest.raises(Conflict):
        await client.schedules.create_batch([{"id": "a"} | every])


async def test_lists_are_walked_page_by_page(client):
    await client.tasks.start_batch([{"task": "say", "input": {"text": "x"}, "tags": ["many"]}] * 7)

    assert len([one async for one in client.instances.list(tag="many", page=2)]) == 7
    assert {one.name async for one in client.tasks.list()} >= {"say", "sleep"}
    assert (await client.tasks.get("say")).name == "say"
    assert [one.name async for one in client.nodes()] == ["n1"]


async def test_waiting_ends_when_it_was_told_to(client):
    started = await client.tasks.start("sleeper")
    with pytest.raises(WaitTimeout, match="is still"):
        await client.instances.wait(started, 0.05)

    cancelled = await client.instances.cancel(started.uri, "enough")
    assert cancelled.cancel.reason == "enough"
    assert (await client.instances.wait(started, 20)).outcome == "cancelled"
    assert (await client.instances.stack(started)).frames == []


async def test_cancelling_by_filter_and_running_again(client):
    first = await client.tasks.start("sleeper", tags=["lot"])
    again = await client.instances.rerun(first)

    assert await client.instances.cancel_matching(tag="lot", reason="all") == 2
    assert (await client.instances.wait(again, 20)).rerun_of == first.uri


async def test_outputs_and_log_are_followed_to_their_end(client):
    started = await client.tasks.start("say", {"text": "x", "times": 500})
    assert [item.seq async for item in client.instances.follow_outputs(started)] == list(range(500))

    chatty = await client.tasks.start("chatty")
    followed = [line async for line in client.instances.follow_log(chatty)]
    assert [line.seq for line in followed] == [0, 1, 2]
    assert followed == [line async for line in client.instances.log(chatty)]


async def test_a_schedule_is_put_read_changed_and_deleted(client):
    made = await client.schedules.put("nightly", "quick", **TICK, tags=["t"], timeout=timedelta(seconds=9), new=True)
    assert (made.version, made.timeout, made.trigger) == (1, 9, TICK)
    with pytest.raises(PreconditionFailed):
        await client.schedules.put("nightly", "quick", **TICK, new=True)

    same = await client.schedules.compare("nightly", "quick", **TICK, tags=["t"], timeout="9s")
    assert same.would == "change nothing"
    other = await client.schedules.compare_patch("nightly", {"trigger": {"cron": "0 3 * * *"}})
    assert (other.would, other.appearing > 0) == ("update", True)

    changed = await client.schedules.patch("nightly", {"timeout": None}, if_match=1)
    assert changed.timeout is None
    with pytest.raises(PreconditionFailed):
        await client.schedules.patch("nightly", {"jitter": 3}, if_match=1)
    assert [one.id async for one in client.schedules.list(tag="t")] == ["nightly"]

    await client.schedules.delete("nightly")
    assert await client.schedules.find("nightly") is None


async def test_a_schedule_is_made_under_an_id_of_its_own(client):
    first = await client.schedules.create("quick", every=timedelta(hours=1))
    assert first.trigger["every"] == 3600

    with pytest.raises(Conflict):
        await client.schedules.create("quick", id=first.id, every="1h")


async def test_due_times_are_paused_skipped_run_and_explained(client):
    await client.schedules.put("nightly", "quick", trigger=TICK)

    paused = await client.schedules.pause("nightly", "holiday", datetime.now(UTC) + timedelta(days=1))
    assert (paused.state, paused.state_reason) == ("paused", "holiday")
    assert (await client.schedules.resume("nightly")).state == "active"

    skipped = await client.schedules.skip("nightly", 2)
    assert len(skipped.skips) == 2
    coming = await client.schedules.upcoming("nightly", 3)
    assert [one.skip for one in coming] == [True, True, False]
    assert (await client.schedules.unskip("nightly", coming[0].due_at)).skips == [coming[1].due_at]
    assert (await client.upcoming(limit=1))[0].schedule == "nightly"

    started = await client.schedules.trigger("nightly")
    assert (await client.instances.wait(started, 20)).schedule == "nightly"
    end = datetime.now(UTC)
    filled = await client.schedules.backfill("nightly", end - timedelta(days=3), end, dry_run=True)
    assert (filled.dry_run, filled.count) == (True, 3)
    assert "nightly" in (await client.schedules.explain("nightly")).schedule
    assert [row async for row in client.schedules.ledger("nightly")] == []


async def test_a_preview_saves_nothing(client):
    shown = await client.schedules.preview(cron="0 2 * * *", after="2026-01-01T00:00:00Z", limit=2)

    assert [str(item.due_at) for item in shown.items] == ["2026-01-01 02:00:00+00:00", "2026-01-02 02:00:00+00:00"]
    with pytest.raises(ValueError, match="give either trigger"):
        await client.schedules.preview(trigger=TICK, cron="0 2 * * *")


async def test_figures_and_probes(client):
    await client.tasks.run("quick", within=20)

    assert (await client.stats(task="quick")).outcomes["succeeded"] == 1
    assert await client.alive()
    assert await client.ready()


async def test_what_the_service_refuses_has_a_type_and_carries_the_problem(client):
    with pytest.raises(NotFound, match="There is no task 'nope'") as missing:
        await client.tasks.start("nope")
    assert (missing.value.kind, missing.value.status) == ("unknown", 404)

    with pytest.raises(Invalid) as wrong:
        await client.tasks.start("say", {"text": "", "times": 0, "more": 1})
    assert {error.pointer for error in wrong.value.errors} == {"#/input/text", "#/input/times", "#/input/more"}

    await client.schedules.put("one", "sleeper", every="1h")
    running = await client.schedules.trigger("one")
    with pytest.raises(Conflict) as clash:
        await client.schedules.trigger("one")
    assert clash.value.blocked_by == running.uri


async def test_nobody_at_the_address_is_unreachable():
    async with AsyncClient("http://127.0.0.1:9", tries=2, environment={}) as client:
        with pytest.raises(Unreachable, match=r"Nobody answers at http://127\.0\.0\.1:9") as caught:
            await client.ready()
    assert not caught.value.sent
    assert caught.value.problem is None


async def test_the_same_works_under_asyncio(api):
    async def main():
        async with AsyncClient(api.url, environment={}) as client:
            done = await client.tasks.run("say", {"text": "hi"}, within=20)
            names = [one.name async for one in client.tasks.list()]
            followed = [item.value async for item in client.instances.follow_outputs(done.instance)]
            return done.outputs, "say" in names, followed

    assert await trio.to_thread.run_sync(asyncio.run, main()) == (["hi"], True, ["hi"])


async def test_the_same_works_in_a_thread(api):
    def main():
        with Client(api.url, environment={}) as client:
            done = client.tasks.run(typed_say, Spoken("hi", 2), within=20)
            client.schedules.put("nightly", "quick", **TICK)
            listed = [one.id for one in client.schedules.list()]
            followed = [item.value for item in client.instances.follow_outputs(done.instance)]
            with pytest.raises(NotFound):
                client.instances.get("0193a6e2-0000-7000-8000-000000000000")
            return done.outputs, listed, followed, [node.name for node in client.nodes()]

    assert await trio.to_thread.run_sync(main) == (["hi", "hi"], ["nightly"], ["hi", "hi"], ["n1"])


async def test_keys_are_made_listed_and_revoked_and_the_audit_tells(client):
    made = await client.create_token("boss", "admin", timedelta(days=1))
    assert (made.state, str(made.token)[:4]) == ("active", "csk_")
    with pytest.raises(Unauthorized):
        await client.stats()  # from the first key on, everybody needs one

    async with AsyncClient(client.url, token=str(made.token), environment={}) as boss:
        viewer = await boss.create_token("viewer", "viewer", datetime.now(UTC) + timedelta(days=1))
        async with AsyncClient(client.url, token=str(viewer.token), environment={}) as other:
            assert await other.upcoming() == []
            with pytest.raises(Forbidden, match="operator"):
                await other.tasks.start("quick")
        await boss.revoke_token("viewer")
        listed = [(one.name, one.state, one.token) async for one in boss.tokens()]
        assert listed == [("viewer", "revoked", UNSET), ("boss", "active", UNSET)]
        assert [one.action async for one in boss.audit(by="boss")] == ["token.revoke", "token.create"]
        started = await boss.tasks.start("quick")
        assert (await boss.instances.wait(started, 20)).outcome == "succeeded"


async def test_the_future_is_simulated(client):
    await client.schedules.put("nightly", "quick", **TICK)
    tried = {"often": {"task": "quick", "every": timedelta(hours=1), "anchor": "2030-01-01T00:00:00Z"}}

    found = await client.simulate(
        timedelta(days=2), "2030-01-01T00:00:00Z", seed=3, durations={"quick": [5, "7s"]}, schedules=tried
    )
    assert (found.until - found.since, found.seed) == (timedelta(days=2), 3)
    assert {one.schedule: one.firings for one in found.schedules} == {"nightly": 2, "often": 48}
    assert await client.schedules.find("often") is None
    with pytest.raises(Invalid) as wrong:
        await client.simulate("1d", schedules={"often": {"task": "nope", "every": "1h"}})
    assert [error.pointer for error in wrong.value.errors] == ["#/schedules/often/task"]


@pytest.mark.filterwarnings("ignore:Async generator 'httpcore2:ResourceWarning")
async def test_events_come_by_stream_where_the_service_has_one(api, client):
    with trio.fail_after(20):
        started = await client.tasks.start("quick")
        async with aclosing(client.events(after=0, instance=started.id)) as events:
            async for event in events:
                if event.type == "instance.ended":
                    break
    paged = [event.type async for event in client.events(after=0, instance=started.id, follow=False)]
    assert paged[-1] == "instance.ended"


async def test_a_webhook_is_made_changed_and_forgotten(client):
    made = await client.webhooks.create("http://example.org/hook", ["failed", "missed"], schedules=["nightly"])
    assert (made.events, made.schedules, made.enabled) == (["failed", "missed"], ["nightly"], True)
    assert check_secret(made.secret)
    assert (await client.webhooks.get(made)).secret is UNSET

    changed = await client.webhooks.change(made.uri, schedules=[], enabled=False)
    assert (changed.events, changed.schedules, changed.enabled) == (["failed", "missed"], [], False)
    assert check_secret(await client.webhooks.rotate(made)) != made.secret
    assert [one.id async for one in client.webhooks.list()] == [made.id]
    await client.webhooks.delete(made.id)
    with pytest.raises(NotFound):
        await client.webhooks.test(made)
