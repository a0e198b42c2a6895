"""The wall clock is set forward and back, and trembles: due times are accounted for once, durations are not touched."""

from random import Random
from typing import Annotated

import msgspec
import pytest
import trio

from actors.supervisor import Rules
from callsheet import Out, task
from callsheet.instants import HOUR, SECOND
from callsheet.timetable import upcoming

PATIENT = Rules(longest_wait=300.0)  # so that a day passes quickly


class Nap(msgspec.Struct):
    seconds: Annotated[float, msgspec.Meta(ge=0)] = 0


@task
async def nap(_in: Nap, out: Out[None]) -> None:
    await trio.sleep(_in.seconds)


def account(play, slug):
    """Return the fates in a ledger that holds each due time from the first to the last exactly once."""
    entries = play.ledger(slug)
    schedule = play.schedule(slug)
    due = upcoming(schedule.definition.trigger, schedule.created_at, 10**6, entries[-1].last_due)
    for entry in entries:
        assert (entry.first_due, entry.last_due) == (due[0], due[entry.count - 1])
        del due[: entry.count]
    assert due == []
    return [entry.fate for entry in entries]


@pytest.mark.parametrize("hours", [1, 4, 30])
async def test_however_far_the_clock_is_set_back_nothing_fires_again_and_the_ledger_goes_on(
    autojump_clock, stage, hours
):
    async with stage.play([nap], rules=PATIENT) as play:
        await play.put("often", nap, {"every": "10m"})
        await trio.sleep(2 * 3600 + 5)
        stage.clock.step(-hours * HOUR)
        await trio.sleep(hours * 3600 - 10)
        assert len(play.instances(schedule="often")) == 12
        await trio.sleep(1300)
        assert account(play, "often") == ["ran"] * 14
        (jump,) = play.events("clock.jumped")
    assert jump["seconds"] == pytest.approx(-3600 * hours, abs=0.01)


async def test_a_schedule_that_is_created_after_the_clock_was_set_back_waits_for_nothing(autojump_clock, stage):
    async with stage.play([nap], rules=PATIENT) as play:
        await play.put("old", nap, {"every": "10m"})
        await trio.sleep(1205)
        stage.clock.step(-30 * HOUR)
        await trio.sleep(5)
        await play.put("new", nap, {"every": "10m"})
        await trio.sleep(1205)
        assert len(play.instances(schedule="old")) == 2
        assert account(play, "new") == ["ran"] * 2


async def test_a_schedule_whose_last_due_time_lies_before_the_new_time_does_not_notice(autojump_clock, stage):
    async with stage.play([nap], rules=PATIENT) as play:
        await play.put("daily", nap, {"cron": "30 1 * * *"})
        await trio.sleep(20 * 3600)
        stage.clock.step(-10 * HOUR)
        await trio.sleep((4 + 10) * 3600 + 2 * 3600)
        assert play.due_times("daily") == ["2026-03-01T01:30:00Z", "2026-03-02T01:30:00Z"]


async def test_a_clock_that_trembles_by_nearly_a_second_is_no_jump_and_fires_nothing_twice(autojump_clock, stage):
    async with stage.play([nap]) as play:
        await play.put("often", nap, {"every": "1s"}, overlap="allow")
        for step in [1, -1, -1, 1] * 60:
            stage.clock.step(step * 9 * SECOND // 10)  # 1.8 s from end to end
            await trio.sleep(0.7)
        assert set(account(play, "often")) <= {"ran", "missed"}
        assert {entry.reason for entry in play.ledger("often")} <= {None, "late"}
        assert play.events("clock.jumped") == []


@pytest.mark.parametrize("hours", [1, -1, -4, 24])
async def test_durations_and_time_outs_do_not_follow_the_wall_clock(autojump_clock, stage, hours):
    async with stage.play([nap]) as play:
        whole = await play.start(nap, {"seconds": 100})
        cut = await play.start(nap, {"seconds": 100}, timeout=50 * SECOND)
        await trio.sleep(10)
        stage.clock.step(hours * HOUR)
        whole, cut = await play.ended(whole, 200), await play.ended(cut, 200)
    assert (whole.outcome, cut.outcome) == ("succeeded", "timed_out")
    assert whole.finished_at - whole.started_at == pytest.approx(100 * SECOND, abs=SECOND // 100)
    assert cut.finished_at - cut.started_at == pytest.approx(50 * SECOND, abs=SECOND // 100)


@pytest.mark.parametrize("seed", range(3))
async def test_a_clock_that_is_set_at_random_leaves_every_ledger_whole(autojump_clock, stage, seed):
    draw = Random(seed)
    async with stage.play([nap], rules=PATIENT) as play:
        await play.put("often", nap, {"every": "10m"}, input={"seconds": 30})
        await play.put("crowd", nap, {"every": "15m"}, input={"seconds": 2000}, overlap="allow")
        await play.put("skips", nap, {"every": "10m"}, input={"seconds": 900}, catch_up="none")
        await play.put("nightly", nap, {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}, jitter="5m")
        for _ in range(12):
            await trio.sleep(draw.uniform(0, 2000))
            stage.clock.step(int(draw.choice([-4, -1, -0.1, 0.1, 1, 3]) * draw.random() * HOUR))
        await trio.sleep(30 * 3600)
        for slug in ("often", "crowd", "skips", "nightly"):
            account(play, slug)
            due = [one.due_at for one in play.instances(schedule=slug)]
            assert len(due) == len(set(due))
