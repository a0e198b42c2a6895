"""Years of schedules, told by the test kit: what its users can promise themselves about the hard edges."""

from itertools import pairwise

import pytest
import trio

from callsheet import Out, task
from callsheet.errors import Refused


@task
async def nap(_in: float, out: Out[float]) -> None:
    """Take so many seconds."""
    await trio.sleep(_in)
    await out.send(_in)


@task
class Count:
    """Count runs of 40 minutes."""

    value: int = 0

    async def __call__(self, _in: None, out: Out[int]) -> None:
        await trio.sleep(2400)
        self.value += 1
        await out.send(self.value)


def fates(engine, slug):
    return [row.fate for row in engine.ledger(slug)]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"])
def test_a_daily_run_is_daily_in_every_year_whatever_the_clocks_do(callsheet_engine, zone):
    engine = callsheet_engine([nap], start="2026-01-01T00:00:00Z")
    engine.put("daily", {"task": "nap", "input": 60, "trigger": {"cron": "30 2 * * *", "timezone": zone}})
    engine.run_for("730d")

    ledger = engine.ledger("daily")
    assert len(ledger) == 730
    assert all(22 <= (later.due_at - row.due_at).total_seconds() / 3600 <= 26 for row, later in pairwise(ledger))


def test_a_quarter_of_an_hourly_counter_counts_every_hour(callsheet_engine):
    engine = callsheet_engine([Count])
    engine.put("hourly", {"task": "count", "trigger": {"every": "1h"}})
    engine.run_for("90d50m")

    runs = engine.instances(schedule="hourly")
    assert {run.outcome for run in runs} == {"succeeded"}
    assert [engine.outputs(run) for run in runs] == [[number] for number in range(1, 90 * 24 + 1)]


def test_a_month_of_crashes_leaves_no_due_time_out(callsheet_engine):
    engine = callsheet_engine([nap])
    engine.put("often", {"task": "nap", "input": 1000, "trigger": {"every": "30m"}, "catch_up_window": "1d"})
    for hours in range(1, 30):
        engine.run_for(f"{hours}h7m")
        engine.crash()
        engine.run_for("3h")
        engine.restart()
    engine.run_for("1h")

    ledger = engine.ledger("often")
    assert sum(row.count for row in ledger) == (ledger[-1].last_due - ledger[0].first_due).total_seconds() / 1800 + 1
    assert {row.fate for row in ledger} == {"ran", "missed", "skipped"}
    assert {row.outcome for row in ledger if row.fate == "ran"} == {"succeeded", "lost"}


def test_each_overlap_policy_does_what_it_says_for_a_week(callsheet_engine):
    engine = callsheet_engine([nap])
    for policy in ("skip", "queue", "replace", "allow"):
        engine.put(policy, {"task": "nap", "input": 5400, "trigger": {"every": "1h"}, "overlap": policy})
    engine.run_for("7d")

    outcomes = {policy: [run.outcome for run in engine.instances(schedule=policy)] for policy in engine_policies()}
    assert fates(engine, "skip")[:4] == ["ran", "skipped", "ran", "skipped"]
    assert set(fates(engine, "queue")) == {"ran", "skipped"}
    assert fates(engine, "queue").count("ran") > fates(engine, "skip").count("ran")
    assert set(outcomes["replace"][:-2]) == {"cancelled"}
    assert set(outcomes["allow"][:-2]) == {"succeeded"}
    assert len(outcomes["allow"]) == 7 * 24


def engine_policies():
    return ("skip", "queue", "replace", "allow")


def test_a_chain_of_three_runs_in_order_every_night(callsheet_engine):
    engine = callsheet_engine([nap])
    engine.put("extract", {"task": "nap", "input": 600, "trigger": {"cron": "0 2 * * *"}})
    engine.put("transform", {"task": "nap", "input": 60, "trigger": {"after": "extract"}})
    engine.put("load", {"task": "nap", "input": 6, "trigger": {"after": "transform"}})
    engine.run_for("365d")

    nights = [engine.instances(schedule=slug) for slug in ("extract", "transform", "load")]
    assert [len(night) for night in nights] == [365] * 3
    assert all(
        extract.finished_at <= transform.started_at and transform.finished_at <= load.started_at
        for extract, transform, load in zip(*nights, strict=True)
    )


def test_a_release_night_is_skipped_and_made_up_for_in_the_morning(callsheet_engine):
    engine = callsheet_engine([nap], start="2026-03-01T00:00:00Z")
    engine.put("hourly", {"task": "nap", "input": 60, "trigger": {"cron": "0 * * * *"}})
    engine.run_for("30m")
    engine.skip("hourly", 6)
    engine.run_for("8h")
    assert fates(engine, "hourly") == ["skipped", "ran", "ran"]
    made_up = engine.backfill("hourly", "2026-03-01T01:00:00Z", "2026-03-01T06:00:00Z")
    engine.run_for("10m")

    assert len(made_up) == 6
    assert fates(engine, "hourly") == ["ran"] * 8
    assert [run.cause for run in engine.instances(schedule="hourly")].count("backfill") == 6


def test_a_room_for_two_holds_ten_schedules_back_and_loses_none(callsheet_engine):
    engine = callsheet_engine([nap], max_running=2)
    for number in range(10):
        engine.put(f"s{number}", {"task": "nap", "input": 900, "trigger": {"cron": "0 */6 * * *"}})
    engine.run_for("10d2h")

    starts = sorted(run.started_at for run in engine.instances(task="nap"))
    assert len(starts) == 10 * 40
    assert all((third - first).total_seconds() >= 900 for first, third in zip(starts, starts[2:], strict=False))


def test_ten_runs_and_no_more(callsheet_engine):
    engine = callsheet_engine([nap], start="2026-01-01T00:00:00Z")
    document = {"task": "nap", "input": 1, "trigger": {"every": "1d"}, "max_runs": 10, "run_on_create": True}
    engine.put("ten", document)
    engine.run_for("60d")

    assert (len(engine.instances(schedule="ten")), engine.schedule("ten").state) == (10, "finished")
    with pytest.raises(Refused):
        engine.skip("ten")
