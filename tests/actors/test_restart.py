"""One boot after another on the same database: nothing is forgotten, and nothing is done twice."""

import trio

from callsheet import Out, Retry, task
from callsheet.instants import DAY, HOUR, MINUTE, SECOND
from storage.journal.commands import PauseSchedule, TriggerSchedule


@task
async def quick(_in: None, out: Out[None]) -> None: ...


@task
async def nap(_in: float, out: Out[str]) -> None:
    await trio.sleep(_in)
    await out.send("awake")


@task(idempotent=True)
async def again(_in: float, out: Out[int]) -> None:
    await trio.sleep(_in)
    await out.send(out.attempt)


@task(retries=Retry(3, backoff="10m"))
async def stubborn(_in: None, out: Out[int]) -> None:
    await out.send(out.attempt)
    if out.attempt < 3:
        raise ConnectionError("not yet")


@task
class Counter:
    value: int = 0

    async def __call__(self, _in: float, out: Out[int]) -> None:
        self.value += 1
        await out.send(self.value)
        await trio.sleep(_in)


async def test_what_a_killed_boot_left_running_is_lost_and_says_so(autojump_clock, stage):
    async with stage.play([nap]) as play:
        instance = await play.start(nap, 600.0)
        await trio.sleep(10)
        play.kill()
    async with stage.play([nap]) as play:
        record = play.instance(instance)
        assert (record.outcome, play.seconds(record.finished_at)) == ("lost", 10)
        assert play.error(instance)["type"] == "Lost"
        assert play.engine.lost == 1
        assert await play.sighting(instance) is None
        await trio.sleep(600)
        assert play.outcomes() == ["lost"]
        assert await play.cancel(instance) is False


async def test_a_lost_run_of_an_idempotent_task_is_run_again(autojump_clock, stage):
    async with stage.play([again]) as play:
        await play.start(again, 60.0)
        await trio.sleep(10)
        play.kill()
    async with stage.play([again]) as play:
        await trio.sleep(61)
        lost, second = play.instances()
        assert (lost.state, second.state, second.attempt, second.retry_of) == ("lost", "succeeded", 2, lost.id)
        assert play.outputs(second.id) == [2]


async def test_a_lost_run_no_longer_blocks_its_schedule(autojump_clock, stage):
    async with stage.play([nap]) as play:
        await play.put("long", nap, {"every": "60s"}, input=600.0)
        await trio.sleep(61)
        play.kill()
    async with stage.play([nap]) as play:
        await trio.sleep(60)
        assert play.outcomes() == ["lost", "running"]


async def test_due_times_of_the_downtime_are_for_the_catch_up_policy(autojump_clock, stage):
    async with stage.play([quick]) as play:
        await play.put("latest", quick, {"every": "10m"})
        await play.put("none", quick, {"every": "10m"}, catch_up="none")
        await play.put("old", quick, {"cron": "0 * * * *"}, catch_up_window="5m")
        await play.put("once", quick, {"at": "2026-03-01T00:20:00Z"}, catch_up_window="1s")
        await trio.sleep(60)
    stage.clock.step(3 * HOUR + 10 * MINUTE)
    async with stage.play([quick]) as play:
        await trio.sleep(1)
        fates = {
            slug: [(one.fate, one.reason, one.count, play.seconds(one.last_due)) for one in play.ledger(slug)]
            for slug in ("latest", "none", "old", "once")
        }
    assert fates == {
        "latest": [("missed", "downtime", 18, 10_800), ("ran", None, 1, 11_400)],
        "none": [("missed", "downtime", 19, 11_400)],
        "old": [("missed", "downtime", 3, 10_800)],
        "once": [("ran", None, 1, 1200)],
    }


async def test_a_year_of_downtime_is_settled_at_once_and_moves_on(autojump_clock, stage):
    async with stage.play([quick]) as play:
        await play.put("eager", quick, {"every": "1s"})
        await trio.sleep(0.5)
    stage.clock.step(365 * DAY)
    async with stage.play([quick]) as play:
        await trio.sleep(0.1)
        missed, ran = play.ledger("eager")
        assert (missed.fate, missed.count, ran.fate) == ("missed", 365 * 86_400 - 1, "ran")
        await trio.sleep(1)
        assert len(play.ledger("eager")) == 3


async def test_a_clock_that_is_behind_at_the_next_boot_fires_nothing_again(autojump_clock, stage):
    async with stage.play([quick]) as play:
        await play.put("often", quick, {"every": "60s"})
        await trio.sleep(630)
    stage.clock.step(-5 * MINUTE)
    async with stage.play([quick]) as play:
        await trio.sleep(620)
        assert [play.seconds(one.due_at) for one in play.instances()] == [60 * n for n in range(1, 16)]


async def test_a_retry_that_is_due_survives_a_restart_and_keeps_its_time(autojump_clock, stage):
    async with stage.play([stubborn]) as play:
        await play.start(stubborn)
        await trio.sleep(60)
        play.kill()
    async with stage.play([stubborn]) as play:
        await trio.sleep(1800)
        runs = play.instances()
    assert [(one.state, one.attempt) for one in runs] == [("failed", 1), ("failed", 2), ("succeeded", 3)]
    assert [play.seconds(one.started_at) for one in runs] == [0, 600, 1200]


async def test_a_retry_whose_time_came_during_the_downtime_runs_at_once(autojump_clock, stage):
    async with stage.play([stubborn]) as play:
        await play.start(stubborn)
        await trio.sleep(1)
    stage.clock.step(HOUR)
    async with stage.play([stubborn]) as play:
        await trio.sleep(1)
        assert [one.state for one in play.instances()] == ["failed", "failed", "queued"]


async def test_a_retry_whose_task_is_gone_waits_for_its_return_and_costs_nothing(autojump_clock, stage, door):
    async with stage.play([stubborn]) as play:
        await play.start(stubborn)
        await trio.sleep(1)
    async with stage.play([quick], door=door) as play:
        await trio.sleep(3600)
        assert play.outcomes() == ["failed", "queued"]
        assert door.writes < 200
        assert (await play.ended(await play.start(quick))).outcome == "succeeded"
    async with stage.play([stubborn, quick]) as play:
        await trio.sleep(1)
        assert play.outcomes(task="stubborn") == ["failed", "queued", "failed"] or (
            play.outcomes(task="stubborn") == ["failed", "failed", "queued"]
        )
        await trio.sleep(601)
        assert play.outcomes(task="stubborn") == ["failed", "failed", "succeeded"]


async def test_the_state_of_a_task_survives_and_a_lost_run_leaves_it_untouched(autojump_clock, stage):
    async with stage.play([Counter]) as play:
        await play.put("count", Counter, {"every": "10s"}, input=1.0)
        await trio.sleep(40.5)
        assert play.outcomes() == ["succeeded"] * 3 + ["running"]
        play.kill()
    async with stage.play([Counter]) as play:
        await trio.sleep(21)
        runs = play.instances()
        assert [(one.state, play.outputs(one.id)) for one in runs] == [
            ("succeeded", [1]),
            ("succeeded", [2]),
            ("succeeded", [3]),
            ("lost", [4]),
            ("succeeded", [4]),
            ("succeeded", [5]),
        ]


async def test_what_was_queued_behind_a_lost_run_begins_at_the_next_boot(autojump_clock, stage):
    async with stage.play([Counter]) as play:
        for _ in range(3):
            await play.start(Counter, 5.0)
        await trio.sleep(1)
        play.kill()
    async with stage.play([Counter]) as play:
        await trio.sleep(11)
        assert play.outcomes() == ["lost", "succeeded", "succeeded"]
        assert [play.outputs(one.id) for one in play.instances()] == [[1], [1], [2]]


async def test_a_task_that_is_gone_blocks_its_schedules_alone_until_it_returns(autojump_clock, stage):
    async with stage.play([quick, nap]) as play:
        await play.put("gone", nap, {"every": "10s"}, input=1.0)
        await play.put("stays", quick, {"every": "10s"})
        await trio.sleep(15)
    async with stage.play([quick]) as play:
        schedule = play.schedule("gone")
        assert (schedule.state, schedule.state_reason) == ("blocked", "task_missing")
        await trio.sleep(30)
        assert [(one.fate, one.reason, one.count) for one in play.ledger("gone")] == [
            ("ran", None, 1),
            ("rejected", "task_missing", 3),
        ]
        assert len(play.outcomes(schedule="stays")) == 4
    async with stage.play([quick, nap]) as play:
        assert play.schedule("gone").state == "active"
        await trio.sleep(10)
        assert [one.fate for one in play.ledger("gone")] == ["ran", "rejected", "ran"]


async def test_an_input_that_is_no_longer_valid_blocks_its_schedule_alone(autojump_clock, stage):
    @task(name="nap")
    async def new_nap(_in: str, out: Out[None]) -> None: ...

    async with stage.play([nap, quick]) as play:
        await play.put("changed", nap, {"every": "10s"}, input=1.0)
        await play.put("stays", quick, {"every": "10s"})
        await trio.sleep(1)
    async with stage.play([new_nap, quick]) as play:
        await trio.sleep(30)
        assert play.schedule("changed").state == "blocked"
        assert "input_invalid" in play.schedule("changed").state_reason
        assert {one.fate for one in play.ledger("changed")} == {"rejected"}
        assert {one.fate for one in play.ledger("stays")} == {"ran"}


async def test_a_pause_outlasts_a_restart_and_ends_in_time(autojump_clock, stage):
    async with stage.play([quick]) as play:
        for slug in ("paused", "until"):
            await play.put(slug, quick, {"every": "10s"})
        await play.order(PauseSchedule("paused", "a holiday"))
        await play.order(PauseSchedule("until", None, stage.clock.now() + 100 * SECOND))
        await trio.sleep(50)
        play.kill()
    async with stage.play([quick]) as play:
        await trio.sleep(75)
        assert [play.seconds(one.due_at) for one in play.instances()] == [110, 120]
        assert (play.schedule("paused").state, play.schedule("until").state) == ("paused", "active")


async def test_a_killed_boot_in_the_middle_of_a_crowd_leaves_each_due_time_once(autojump_clock, stage):
    for boot in range(5):
        async with stage.play([quick, nap]) as play:
            if boot == 0:
                for number in range(20):
                    await play.put(f"s{number}", nap, {"every": f"{number % 5 + 1}s"}, input=0.5)
            await play.order(TriggerSchedule("s1", overlap="allow"))
            await trio.sleep(7.0 + boot / 10)
            play.kill()
    async with stage.play([quick, nap]) as play:
        await trio.sleep(0.25)
        for number in range(20):
            due = [one.due_at for one in play.instances(schedule=f"s{number}") if one.due_at is not None]
            assert len(due) == len(set(due))
            covered = sum(one.count for one in play.ledger(f"s{number}"))
            assert covered == int(play.seconds(stage.clock.now())) // (number % 5 + 1)
