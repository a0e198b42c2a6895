"""Retention in a whole engine, in virtual time."""

from itertools import pairwise

import pytest
import trio

from actors.janitor import REST
from actors.supervisor import Rules
from callsheet import Out, Retry, task
from callsheet.errors import Unavailable, Unknown
from callsheet.instants import DAY, HOUR, MINUTE, SECOND, parse_instant
from callsheet.retention import Keep
from storage.journal.commands import CancelInstance, PauseSchedule, RerunInstance, Start, StartInstances
from storage.queries.history import HEAVY
from storage.queries.invariants import check_all

START = parse_instant("2026-03-01T00:00:00Z")  # of every stage


@task
async def quick(_in: None, out: Out[int]) -> None:
    """Say one thing."""
    await out.send(1)
    await out.log("done")


@task
async def silent(_in: None, out: Out[int]) -> None:
    """Do nothing."""


@task(retries=Retry(1, backoff="30m"))
async def bad(_in: None, out: Out[int]) -> None:
    """Fail, twice."""
    raise ValueError("bad")


@task
async def long(_in: float, out: Out[int]) -> None:
    """Take as many hours as told."""
    await trio.sleep(_in * 3600)


def keeping(**keep):
    """Return rules under which history is kept so long."""
    return Rules(keep=Keep(**keep))


async def test_a_month_of_a_schedule_with_keep_last_100_leaves_100_runs(stage, autojump_clock):
    rules = Rules(keep=Keep(last=100), longest_wait=HOUR / SECOND)
    async with stage.play([silent], rules=rules) as play:
        await play.put("m", silent, {"every": "10m"})
        await trio.sleep(30 * DAY / SECOND + 1)
        await play.order(PauseSchedule("m"))
        await trio.sleep(2 * HOUR / SECOND)

        kept = play.ledger("m")
        assert [entry.fate for entry in kept] == ["ran"] * 100
        assert kept[-1].last_due == play.schedule("m").last_due == START + 30 * DAY
        assert sum(told["instances"] for told in play.events("history.pruned")) == 30 * 144 - 100
        assert check_all(play.database) == []


async def test_history_goes_by_itself_once_it_is_old(stage, autojump_clock):
    async with stage.play([quick], rules=keeping(age=HOUR, events=2 * HOUR)) as play:
        first = await play.start(quick)
        await trio.sleep(1800)
        second = await play.start(quick)
        await trio.sleep(1800 + 61)

        with pytest.raises(Unknown):
            play.instance(first)
        assert play.outputs(second) == [1]
        assert play.events("history.pruned") == [
            {"instances": 1, "omissions": 0, "schedules": 0, "nodes": 0, "events": 0, "audit": 0, "tokens": 0}
        ]
        await trio.sleep(3600 + 61)
        assert play.event_instances("instance.ended") == [second]


async def test_events_alone_make_no_event(stage, autojump_clock):
    async with stage.play([quick], rules=keeping(events=MINUTE)) as play:
        await play.start(quick)
        await trio.sleep(3600)

        assert play.events("instance.ended") == []
        assert play.events("history.pruned") == []


async def test_what_is_kept_for_seconds_is_looked_at_every_few_seconds(stage, autojump_clock):
    async with stage.play([quick], rules=keeping(age=3 * SECOND)) as play:
        instance = await play.start(quick)
        await trio.sleep(6.5)

        with pytest.raises(Unknown):
            play.instance(instance)


async def test_nothing_that_runs_or_waits_is_ever_removed(stage, autojump_clock):
    async with stage.play([quick, bad, long], rules=keeping(age=MINUTE, last=1)) as play:
        running = await play.start(long, 5)
        tried = await play.start(bad)
        await play.put("s", long, {"every": "1h"}, input=3)
        await trio.sleep(25 * 60)
        assert play.instance(tried).outcome == "failed"  # its second attempt waits
        assert play.instance(running).outcome is None
        await trio.sleep(4 * 3600)
        assert play.instance(running).outcome is None
        assert "ran" in [entry.fate for entry in play.ledger("s")]
        await trio.sleep(2 * 3600)
        assert [one.schedule for one in play.instances()] == ["s"]
        assert check_all(play.database) == []


@pytest.mark.parametrize("command", [RerunInstance, lambda instance: CancelInstance(instance, None, "tester")])
async def test_what_is_gone_can_be_neither_run_again_nor_cancelled(stage, autojump_clock, command):
    async with stage.play([quick], rules=keeping(age=SECOND)) as play:
        instance = await play.start(quick)
        await trio.sleep(10)

        with pytest.raises(Unknown):
            await play.order(command(instance))
        assert await play.sighting(instance) is None


async def test_between_two_orders_there_is_a_rest_for_others(stage, autojump_clock, door):
    async with stage.play([quick], rules=keeping(age=10 * MINUTE), door=door) as play:
        await play.order(StartInstances((Start("quick", b"null"),) * 300))
        await trio.sleep(600)
        moments, left = [], 300
        while left:
            await trio.sleep(REST / 4)
            if len(play.instances()) < left:
                left = len(play.instances())
                moments.append(trio.current_time())

        assert len(moments) == 300 * 3 // HEAVY + 1  # each said two things
        assert all(after - before >= REST / 2 for before, after in pairwise(moments))


async def test_a_database_that_does_not_answer_makes_it_wait_and_it_goes_on(stage, autojump_clock, door):
    async with stage.play([quick], rules=keeping(age=HOUR), door=door) as play:
        instance = await play.start(quick)
        await trio.sleep(1800)
        door.error = Unavailable("away")
        await trio.sleep(3600)
        door.error = None
        assert play.instance(instance).outcome == "succeeded"
        await trio.sleep(90)

        with pytest.raises(Unknown):
            play.instance(instance)


async def test_it_ends_with_the_service_and_goes_on_in_the_next(stage, autojump_clock):
    async with stage.play([quick], rules=keeping(age=HOUR)) as play:
        instance = await play.start(quick)
        await play.finish()
    await trio.sleep(7200)
    async with stage.play([quick], rules=keeping(age=HOUR)) as play:
        assert play.instance(instance).outcome == "succeeded"
        await trio.sleep(61)
        assert play.instances() == []


async def test_a_clock_that_is_wrong_for_a_while_deletes_nothing(stage, autojump_clock):
    async with stage.play([quick], rules=keeping(age=DAY)) as play:
        instance = await play.start(quick)
        await trio.sleep(120)
        play.clock.step(365 * DAY)
        await trio.sleep(1800)
        play.clock.step(-365 * DAY)
        await trio.sleep(2 * 3600)

        assert play.instance(instance).outcome == "succeeded"


async def test_a_clock_that_was_set_forward_is_believed_after_an_hour(stage, autojump_clock):
    async with stage.play([quick], rules=keeping(age=DAY)) as play:
        instance = await play.start(quick)
        await trio.sleep(120)
        play.clock.step(365 * DAY)
        await trio.sleep(3500)
        assert play.instance(instance).outcome == "succeeded"
        await trio.sleep(300)

        with pytest.raises(Unknown):
            play.instance(instance)
