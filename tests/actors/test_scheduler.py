from typing import Annotated

import msgspec
import pytest
import trio

from actors.messages import Order
from actors.supervisor import BUS_ROOM, Rules
from callsheet import Out, task
from callsheet.instants import HOUR, MINUTE, SECOND, format_instant
from storage.journal.commands import KeepEvent, PauseSchedule, TriggerSchedule

PATIENT = Rules(longest_wait=2 * 86_400)  # so that years pass quickly; the clock steps of these tests are none


class Nap(msgspec.Struct):
    seconds: Annotated[float, msgspec.Meta(ge=0)] = 0


@task
async def nap(_in: Nap, out: Out[None]) -> None:
    await trio.sleep(_in.seconds)


async def test_an_interval_fires_at_its_due_times_exactly(autojump_clock, stage):
    async with stage.play([nap]) as play:
        await play.put("often", nap, {"every": "7s"})
        await trio.sleep(60)
        starts = [play.seconds(one.started_at) for one in play.instances(schedule="often")]
        dues = [play.seconds(one.due_at) for one in play.instances(schedule="often")]
    assert starts == dues == [7, 14, 21, 28, 35, 42, 49, 56]


async def test_a_cron_schedule_fires_at_its_due_times_exactly(autojump_clock, stage):
    async with stage.play([nap]) as play:
        await play.put("nightly", nap, {"cron": "30 2 * * *", "timezone": "Europe/Berlin"})
        await trio.sleep(3 * 86_400)
        assert play.due_times("nightly") == ["2026-03-01T01:30:00Z", "2026-03-02T01:30:00Z", "2026-03-03T01:30:00Z"]
        assert all(one.started_at == one.due_at for one in play.instances())


async def test_an_instant_fires_once_and_its_schedule_is_finished(autojump_clock, stage):
    async with stage.play([nap]) as play:
        await play.put("once", nap, {"at": "2026-03-01T05:00:00.25Z"})
        await trio.sleep(86_400)
        (run,) = play.instances()
        assert format_instant(run.started_at) == "2026-03-01T05:00:00.250000Z"
        assert (play.schedule("once").state, play.schedule("once").next_due) == ("finished", None)


async def test_a_year_of_a_daily_cron_takes_a_second(autojump_clock, stage):
    async with stage.play([nap], rules=PATIENT) as play:
        await play.put("daily", nap, {"cron": "0 6 * * *", "timezone": "America/New_York"})
        await trio.sleep(365 * 86_400)
        due = play.due_times("daily")
    assert len(due) == 365
    assert (due[0], due[-1]) == ("2026-03-01T11:00:00Z", "2027-02-28T11:00:00Z")
    assert due[7] == "2026-03-08T10:00:00Z"  # daylight saving time has begun


async def test_jitter_delays_by_the_same_each_time_and_never_past_the_next_due_time(autojump_clock, stage):
    async with stage.play([nap]) as play:
        for slug in ("one", "two"):
            await play.put(slug, nap, {"every": "10s", "anchor": "2026-03-01T00:00:00Z"}, jitter="1h")
        await trio.sleep(600)
        late = {slug: [one.started_at - one.due_at for one in play.instances(schedule=slug)] for slug in ("one", "two")}
        assert [len(lags) for lags in late.values()] == [59, 59]
        assert all(0 <= lag < 10 * SECOND for lags in late.values() for lag in lags)
        assert late["one"] != late["two"]


async def test_a_1_s_schedule_behind_a_1_h_run_is_one_row_of_omissions(autojump_clock, stage):
    async with stage.play([nap]) as play:
        await play.put("eager", nap, {"every": "1s"}, input={"seconds": 3599.5})
        await trio.sleep(3601.5)
        ran, skipped, again = play.ledger("eager")
    assert (ran.fate, skipped.fate, again.fate) == ("ran", "skipped", "ran")
    assert (skipped.reason, skipped.count, skipped.blocked_by) == ("overlap", 3599, ran.instance)
    assert (play.seconds(skipped.first_due), play.seconds(skipped.last_due)) == (2, 3600)


async def test_overlap_allow_lets_runs_of_one_schedule_go_on_together(autojump_clock, stage):
    async with stage.play([nap]) as play:
        await play.put("crowd", nap, {"every": "1s"}, input={"seconds": 5}, overlap="allow")
        await trio.sleep(4.5)
        assert play.outcomes() == ["running"] * 4
        await trio.sleep(4)
        assert play.outcomes() == ["succeeded"] * 3 + ["running"] * 5


async def test_a_schedule_put_while_the_scheduler_sleeps_fires_in_time(autojump_clock, stage):
    async with stage.play([nap]) as play:
        await play.put("rare", nap, {"every": "1h"})
        await trio.sleep(0.5)
        await play.put("often", nap, {"every": "1s"})
        await trio.sleep(2.1)
        assert [play.seconds(one.started_at) for one in play.instances()] == [1.5, 2.5]


async def test_a_pause_until_an_instant_ends_by_itself_and_fires_only_later_due_times(autojump_clock, stage):
    async with stage.play([nap]) as play:
        await play.put("often", nap, {"every": "60s"})
        await trio.sleep(90)
        await play.order(PauseSchedule("often", until=stage.clock.now() + 5 * MINUTE))
        await trio.sleep(11 * 60)
        assert [play.seconds(due) for due in [one.due_at for one in play.instances()]] == [60, *range(420, 780, 60)]


async def test_a_clock_set_back_by_an_hour_fires_nothing_again(autojump_clock, stage):
    async with stage.play([nap]) as play:
        await play.put("often", nap, {"every": "60s"})
        await trio.sleep(630)
        stage.clock.step(-HOUR)
        await trio.sleep(3600)
        before = [one.due_at for one in play.instances()]
        await trio.sleep(130)
        after = [one.due_at for one in play.instances()]
        (jump,) = play.events("clock.jumped")
    assert [play.seconds(due) for due in before] == [60 * n for n in range(1, 11)]
    assert [play.seconds(due) for due in after] == [60 * n for n in range(1, 13)]
    assert jump["seconds"] == pytest.approx(-3600, abs=0.001)


async def test_a_pause_that_runs_out_after_the_clock_went_back_fires_nothing_again(autojump_clock, stage):
    async with stage.play([nap]) as play:
        await play.put("often", nap, {"every": "60s"})
        await trio.sleep(1230)
        stage.clock.step(-HOUR // 4)
        await play.order(PauseSchedule("often", until=stage.clock.now() + MINUTE))
        await trio.sleep(1240)
        dues = [play.seconds(one.due_at) for one in play.instances()]
    assert dues == [60 * n for n in range(1, 27)]


async def test_a_clock_set_forward_lets_the_catch_up_policy_decide(autojump_clock, stage):
    async with stage.play([nap]) as play:
        await play.put("latest", nap, {"every": "10m"})
        await play.put("none", nap, {"every": "10m"}, catch_up="none")
        await play.put("once", nap, {"at": "2026-03-01T00:20:00Z"}, catch_up="latest", catch_up_window="1s")
        await trio.sleep(60)
        stage.clock.step(HOUR)
        await trio.sleep(60)
        ledgers = {slug: play.ledger(slug) for slug in ("latest", "none", "once")}
        (jump,) = play.events("clock.jumped")
    assert jump["seconds"] == pytest.approx(3600, abs=0.001)
    missed, ran = ledgers["latest"]
    assert (missed.fate, missed.reason, missed.count, ran.fate) == ("missed", "downtime", 5, "ran")
    assert (play.seconds(missed.last_due), play.seconds(ran.last_due)) == (3000, 3600)
    (missed,) = ledgers["none"]
    assert (missed.fate, missed.count, play.seconds(missed.last_due)) == ("missed", 6, 3600)
    (late,) = ledgers["once"]
    assert (late.fate, play.seconds(late.last_due)) == ("ran", 1200)


async def test_a_day_asleep_runs_nothing_that_lies_outside_of_the_catch_up_window(autojump_clock, stage):
    async with stage.play([nap]) as play:
        await play.put("daily", nap, {"cron": "0 6 * * *"}, catch_up_window="1h")
        await trio.sleep(60)
        stage.clock.step(12 * HOUR)
        await trio.sleep(60)
        (missed,) = play.ledger("daily")
    assert (missed.fate, missed.reason, missed.count) == ("missed", "downtime", 1)


async def test_a_queue_that_is_full_for_a_while_drops_no_due_time(autojump_clock, stage, door):
    async with stage.play([nap], door=door) as play:
        await play.put("often", nap, {"every": "1s"}, catch_up="none", overlap="allow")
        await trio.sleep(0.5)
        door.closed = True
        for _ in range(BUS_ROOM + 100):
            with trio.move_on_after(0.001):
                await play.engine.bus.send(Order(KeepEvent("test.flood", b"{}")))
        await trio.sleep(10.3 - stage.clock.now() % MINUTE / SECOND)
        door.closed = False
        await trio.sleep(0.5)
        ledger = play.ledger("often")
    assert [(one.fate, one.reason, one.count, play.seconds(one.last_due)) for one in ledger] == [
        ("ran", None, 1, 1),
        ("missed", "late", 8, 9),
        ("ran", None, 1, 10),
    ]


async def test_slow_drift_of_the_clock_is_no_jump(autojump_clock, stage):
    async with stage.play([nap]) as play:
        await play.put("often", nap, {"every": "10s"}, catch_up="none")
        for _ in range(60):
            await trio.sleep(10)
            stage.clock.step(SECOND // 10)
        assert play.events("clock.jumped") == []
        assert {entry.fate for entry in play.ledger("often")} == {"ran"}


async def test_a_schedule_whose_trigger_fails_is_blocked_alone(autojump_clock, stage):
    async with stage.play([nap]) as play:
        for slug in ("broken", "sound"):
            await play.put(slug, nap, {"every": "10s"})
        play.sql("UPDATE schedule SET trigger = '{\"every\": \"x\"}' WHERE id = 'broken'")
        await trio.sleep(25)
        assert [one.schedule for one in play.instances()] == ["sound", "sound"]


async def test_a_clock_set_back_costs_no_run_its_state(autojump_clock, stage):
    @task
    class Tally:
        value: int = 0

        async def __call__(self, _in: None, out: Out[int]) -> None:
            self.value += 1
            await out.send(self.value)

    async with stage.play([Tally]) as play:
        await play.put("counts", Tally, {"every": "1h"})
        await trio.sleep(60)
        stage.clock.step(-HOUR)
        for expected in (1, 2, 3):
            instance = await play.order(TriggerSchedule("counts"))
            await play.ended(instance)
            assert play.outputs(instance) == [expected]
