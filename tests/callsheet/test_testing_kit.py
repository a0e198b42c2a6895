"""The test kit, as the author of a task uses it: time passes only when it is told to, and all is accounted for."""

import json
import logging
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
import trio.lowlevel

from callsheet import Out, Retry, SyncOut, task
from callsheet.errors import GaveUp, Invalid, Refused, RefusedToStart, Unavailable, Unknown
from callsheet.testing import VirtualEngine


@task
async def report(_in: int, out: Out[int]) -> None:
    """Take a minute and send the input."""
    print("on it")
    await out.log("begun", pages=_in)
    await trio.sleep(60)
    await out.send(_in)


@task(retries=Retry(3, backoff="10s..1m"))
async def flaky(_in: None, out: Out[None]) -> None:
    """Fail but for the third attempt."""
    if out.attempt < 3:
        raise ValueError("not yet")


@task
class Tally:
    """Count the runs."""

    value: int = 0

    async def __call__(self, _in: None, out: Out[int]) -> None:
        self.value += 1
        await out.send(self.value)


@task(timeout="5s")
def blocking(_in: float, out: SyncOut[float]) -> None:
    """Block a thread for real seconds."""
    time.sleep(_in)
    out.send(_in)


NIGHTLY = {"task": "report", "input": 7, "trigger": {"cron": "0 2 * * *", "timezone": "Europe/Berlin"}}


@pytest.fixture
def engine(callsheet_engine):
    return callsheet_engine([report, flaky, Tally, blocking])


def test_a_year_of_a_schedule_is_in_its_ledger(engine):
    engine.put("nightly", NIGHTLY)

    engine.run_for("365d")

    ledger = engine.ledger("nightly")
    assert len(ledger) == 365
    assert {row.outcome for row in ledger} == {"succeeded"}
    assert ledger[0].due_at == datetime(2026, 1, 1, 1, tzinfo=UTC)
    assert ledger[-1].due_at == datetime(2026, 12, 31, 1, tzinfo=UTC)
    assert engine.now == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("sends", [0, 1, 2, 5])
def test_a_run_that_ends_in_the_moment_of_the_next_due_time_is_not_in_its_way(callsheet_engine, sends):
    @task
    async def long(_in: None, out: Out[int]) -> None:
        await trio.sleep(300)
        for number in range(sends):
            await out.send(number)

    engine = callsheet_engine([long])
    engine.put("a", {"task": "long", "trigger": {"cron": "*/5 * * * *"}})
    engine.run_for("10h")

    assert {entry.fate for entry in engine.ledger("a")} == {"ran"}


def test_nothing_happens_between_two_calls(engine):
    engine.put("nightly", NIGHTLY)
    engine.run_until("2026-01-01T01:00:30Z")

    before = engine.now
    time.sleep(0.05)

    assert engine.now == before
    assert [run.state for run in engine.instances()] == ["running"]


def test_what_is_due_at_the_end_of_a_run_has_begun(engine):
    engine.put("nightly", NIGHTLY)

    engine.run_until(datetime(2026, 1, 1, 1, tzinfo=UTC))

    (run,) = engine.instances(schedule="nightly")
    assert run.started_at == engine.now
    assert run.late_by == timedelta(0)


def test_an_instance_shows_what_it_said(engine):
    run = engine.wait(engine.start("report", 3, tags=["x"]))

    assert (run.outcome, run.seconds, run.input, run.tags) == ("succeeded", 60.0, 3, ("x",))
    assert engine.outputs(run) == [3]
    assert [(line.level, line.text, line.fields) for line in engine.log(run)] == [
        ("print", "on it", {}),
        ("info", "begun", {"pages": 3}),
    ]


def test_waiting_takes_no_longer_than_the_run(engine):
    engine.wait(engine.start("report", 1), within="1h")

    assert engine.now == datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


def test_waiting_has_an_end(engine):
    with pytest.raises(TimeoutError, match="After 10s it was not over"):
        engine.wait(engine.start("report", 1), within="10s")


def test_retries_come_when_they_are_due(engine):
    first = engine.wait(engine.start("flaky"))
    engine.run_for("5m")

    assert [run.outcome for run in engine.instances(task="flaky")] == ["failed", "failed", "succeeded"]
    assert first.error.type == "ValueError"
    assert first.error.message == "not yet"


def test_a_body_in_a_thread_takes_no_virtual_time(engine):
    run = engine.wait(engine.start("blocking", 0.05))

    assert (run.outcome, run.seconds) == ("succeeded", 0.0)
    assert engine.outputs(run) == [0.05]


def test_a_run_that_is_cancelled_says_so(engine):
    run = engine.start("report", 1)

    assert engine.cancel(run, "enough").outcome == "cancelled"


def test_a_paused_schedule_runs_on_from_where_it_is_resumed(engine):
    engine.put("tick", {"task": "tally", "trigger": {"every": "1h"}})
    engine.pause("tick", "holidays", until="2026-01-02T00:30:00Z")
    assert engine.schedule("tick").state_reason == "holidays"

    engine.run_for("2d")

    assert engine.ledger("tick")[0].due_at == datetime(2026, 1, 2, 1, tzinfo=UTC)
    engine.pause("tick")
    assert engine.schedule("tick").next_due is None
    assert engine.resume("tick").next_due > engine.now


def test_schedules_are_changed_triggered_and_deleted(engine):
    engine.put("nightly", NIGHTLY)
    assert engine.patch("nightly", {"input": 8}).document["input"] == 8

    run = engine.trigger("nightly", input=9)
    assert run.input == 9
    with pytest.raises(Refused, match="still goes on"):
        engine.trigger("nightly")
    assert len(engine.upcoming("nightly", limit=3)) == 3

    engine.delete("nightly", running="cancel")
    assert engine.instance(run).outcome == "cancelled"
    with pytest.raises(Unknown):
        engine.schedule("nightly")


def test_state_survives_a_crash_and_what_ran_is_lost(engine):
    engine.put("tick", {"task": "tally", "trigger": {"every": "1h"}})
    engine.run_for("3h")
    run = engine.start("report", 1)

    engine.crash()
    engine.run_for("2h")
    with pytest.raises(Unavailable, match="not running"):
        engine.start("tally")
    engine.restart()
    engine.run_for("1h")

    assert engine.instance(run).outcome == "lost"
    fates = [(row.fate, row.reason, row.count) for row in engine.ledger("tick")]
    assert fates[3:] == [("missed", "downtime", 1), ("ran", None, 1), ("ran", None, 1)]
    last = engine.instances(schedule="tick")[-1]
    assert engine.outputs(last) == [5]


def test_an_orderly_stop_interrupts_what_takes_too_long(engine):
    run = engine.start("report", 1)

    engine.stop()

    assert engine.instance(run).outcome == "interrupted"
    assert engine.now - engine.instance(run).started_at == timedelta(seconds=20)
    engine.restart()
    with pytest.raises(Unavailable, match="is running"):
        engine.restart()


def test_a_clock_that_is_set_back_fires_nothing_twice(engine):
    engine.put("tick", {"task": "tally", "trigger": {"every": "1h", "anchor": "2026-01-01T00:00:00Z"}})
    engine.run_for("5h")

    engine.step_clock("-2h")
    engine.run_for("4h")

    due = [row.due_at.hour for row in engine.ledger("tick")]
    assert due == [1, 2, 3, 4, 5, 6, 7]
    assert [event.data for event in engine.events("clock.jumped")] == [{"seconds": -7200.0}]


def test_a_clock_that_is_set_forward_misses_what_it_jumped_over(engine):
    engine.put("tick", {"task": "tally", "trigger": {"every": "1h"}})

    engine.step_clock("5h30m")
    engine.run_for("1h")

    assert [(row.fate, row.count) for row in engine.ledger("tick")] == [("missed", 4), ("ran", 1), ("ran", 1)]


def test_an_outage_of_the_database_delays_and_loses_nothing(engine):
    run = engine.start("report", 1)
    with engine.outage():
        engine.run_for("2m")
        with pytest.raises(Unavailable):
            engine.start("tally")
        assert engine.instance(run).state == "running"
    engine.run_for("5s")

    assert (engine.instance(run).outcome, engine.instance(run).seconds) == ("succeeded", 60.0)


def test_what_is_wrong_is_told_as_the_api_would(engine):
    with pytest.raises(Invalid) as caught:
        engine.put("nightly", {"task": "nope", "trigger": {"cron": "61 * * * *"}})
    assert [error.pointer for error in caught.value.errors] == ["/task", "/trigger/cron"]

    with pytest.raises(Invalid):
        engine.start("report", "seven")
    with pytest.raises(Unknown):
        engine.start("nope")
    with pytest.raises(ValueError, match="has passed"):
        engine.run_until("2025-01-01T00:00:00Z")
    with pytest.raises(ValueError, match="no time zone"):
        engine.run_until(datetime(2027, 1, 1))  # noqa: DTZ001 - that is the point


def test_the_same_seed_gives_the_same_trace():
    def trace(seed):
        with VirtualEngine([report, flaky, Tally], seed=seed) as engine:
            engine.put("a", {"task": "flaky", "trigger": {"every": "10m"}, "jitter": "1m"})
            engine.put("b", {"task": "tally", "trigger": {"every": "10m"}})
            engine.put("c", {"task": "report", "input": 1, "trigger": {"every": "45s"}})
            engine.run_for("2h")
            engine.crash()
            engine.restart()
            engine.run_for("1h")
            return engine.events(), engine.instances()

    assert trace(1) == trace(1)
    assert trace(1) != trace(2)


def test_two_engines_do_not_disturb_each_other(callsheet_engine):
    def act(engine, others):
        engine.put("a", {"task": "flaky", "trigger": {"every": "1m"}})
        for _ in range(20):
            engine.run_for("3m")
            for other in others:
                other.run_for("1h")
        return engine.events()

    alone = act(callsheet_engine([flaky], seed=5), [])
    other = callsheet_engine([Tally], seed=9, start="2030-06-01T00:00:00Z")
    other.put("b", {"task": "tally", "trigger": {"every": "7m"}})
    assert act(callsheet_engine([flaky], seed=5), [other]) == alone


async def test_it_can_be_used_inside_of_trio(callsheet_engine):
    before = trio._core._run._r
    with VirtualEngine([Tally]) as engine:
        assert engine.wait(engine.start("tally")).outcome == "succeeded"
        await trio.lowlevel.checkpoint()
    assert trio._core._run._r is before


def test_tasks_come_as_objects_modules_or_names(callsheet_engine):
    import callsheet.builtin.sleep

    for source in (callsheet.builtin.sleep, "callsheet.builtin.sleep"):
        run = callsheet_engine([source]).start("sleep", {"seconds": 5})
        assert run.state == "running"
    with pytest.raises(RefusedToStart):
        callsheet_engine(["no.such.module"])
    with pytest.raises(TypeError, match="tasks takes tasks"):
        callsheet_engine([print])


def test_a_closed_engine_says_so():
    with VirtualEngine([report]) as engine:
        pass
    with pytest.raises(GaveUp, match="closed"):
        engine.run_for("1s")


def test_what_a_test_prints_itself_stays_its_own(engine, capsys):
    engine.wait(engine.start("report", 1))
    print("mine")
    logging.getLogger("mine").warning("hello")

    assert capsys.readouterr().out == "mine\n"


def test_values_show_themselves_in_one_line(engine):
    engine.put("nightly", NIGHTLY)
    engine.run_for("1d")

    (row,) = engine.ledger("nightly")
    assert repr(row).startswith("LedgerRow(fate='ran', first_due=2026-01-01T01:00:00Z, ")
    assert repr(engine.schedule("nightly")).startswith("Schedule(id='nightly', state='active', version=1, next_due=")
    assert repr(engine) == "<VirtualEngine at 2026-01-02T00:00:00+00:00, blocking, flaky, report, tally>"


def test_pytest_finds_the_fixture_and_loads_nothing_else(tmp_path):
    """The plugin is loaded into every pytest of the environment: it must be cheap."""
    (tmp_path / "test_it.py").write_text(
        "import sys\n"
        "def test_plugin(pytestconfig):\n"
        "    assert pytestconfig.pluginmanager.has_plugin('callsheet')\n"
        "    assert 'callsheet.testing' not in sys.modules and 'storage' not in sys.modules\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:trio", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stdout


def test_users_code_passes_mypy_strict(tmp_path):
    pytest.importorskip("mypy")
    code = tmp_path / "user.py"
    code.write_text(
        "from callsheet import Out, task\n"
        "from callsheet.pytest_plugin import EngineMaker\n"
        "from callsheet.testing import LedgerRow, VirtualEngine\n\n\n"
        "@task\nasync def one(_in: int, out: Out[int]) -> None: ...\n\n\n"
        "@task\nclass Two:\n    value: int = 0\n\n"
        "    async def __call__(self, _in: int, out: Out[int]) -> None: ...\n\n\n"
        "def test_it(callsheet_engine: EngineMaker) -> None:\n"
        "    engine: VirtualEngine = callsheet_engine([one, Two], start='2026-01-01T00:00:00Z')\n"
        "    rows: list[LedgerRow] = engine.ledger('x')\n"
        "    assert rows[0].due_at.hour == 2\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(root / "pyproject.toml"), str(code)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=100, check=False)

    assert done.returncode == 0, done.stdout


def test_events_are_the_trace(engine):
    engine.put("nightly", NIGHTLY)
    engine.run_for("1d")

    kinds = [event.type for event in engine.events()]
    assert kinds == ["node.started", "schedule.changed", "instance.started", "instance.ended"]
    assert json.loads(json.dumps(engine.events("instance.ended")[0].data))["outcome"] == "succeeded"
