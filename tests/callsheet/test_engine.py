"""An engine inside another program: it runs beside it, stops with it in order, and hides nothing that went wrong."""

import logging
import math
import signal
import sys
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import trio
import trio.testing

import callsheet
from callsheet import AsyncClient, Out, SyncOut, definition, task
from callsheet.embedded import IN_MEMORY, RunFailed, ScheduleFields
from callsheet.errors import GaveUp, Invalid, Refused, RefusedToStart, Unavailable, Unknown

START, HOUR = "2026-11-23T12:00:00Z", 3600


class Pages(msgspec.Struct, forbid_unknown_fields=True):
    """How many."""

    count: int = 1


@task
async def write(_in: Pages, out: Out[Pages]) -> None:
    """Write pages, a second each, and send what was written."""
    print("writing", _in.count)
    await trio.sleep(_in.count)
    await out.send(_in)


@task
async def fail(_in: None, out: Out[None]) -> None:
    """Fail."""
    raise OSError("no paper")


@task
def plain(_in: None, out: SyncOut[str]) -> None:
    """Run in a thread."""
    logging.getLogger("printer").warning("hot")
    logging.getLogger("printer").info("still warm")
    out.send("done")


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'jobs.db'}"


async def test_a_day_of_a_schedule_takes_no_time_on_a_clock_that_jumps(autojump_clock):
    async with callsheet.engine(IN_MEMORY, [write], start=START) as engine:
        schedule = await engine.put("hourly", write, input=Pages(3), cron="0 * * * *", timezone="Europe/Berlin")
        assert (schedule.state, schedule.document["input"]) == ("active", {"count": 3})
        await trio.sleep(24 * HOUR + 10)

        ledger = await engine.ledger("hourly")
        assert [row.outcome for row in ledger] == ["succeeded"] * 24
        assert ledger[0].due_at == datetime(2026, 11, 23, 13, tzinfo=UTC)
        assert engine.now == datetime(2026, 11, 24, 12, 0, 10, tzinfo=UTC)


async def test_a_schedule_is_paused_resumed_changed_and_deleted(autojump_clock):
    async with callsheet.engine(IN_MEMORY, [write], start=START) as engine:
        await engine.put("often", "write", every=timedelta(minutes=1), tags=["x"])
        paused = await engine.pause("often", "out of paper", until=datetime(2026, 11, 24, tzinfo=UTC))
        assert (paused.state, paused.state_reason, paused.next_due) == ("paused", "out of paper", None)
        assert await engine.upcoming("often") == []

        await engine.resume("often")
        changed = await engine.patch("often", {"trigger": {"every": "1h"}})
        assert (changed.version, len(await engine.upcoming("often", 3))) == (4, 3)
        assert [one.id for one in await engine.schedules(tag="x")] == ["often"]

        await engine.delete("often")
        assert await engine.schedules() == []


async def test_a_run_gives_typed_outputs_or_says_why_there_are_none(autojump_clock):
    async with callsheet.engine(IN_MEMORY, [write, fail], start=START) as engine:
        done = await engine.run(write, Pages(2), tags=["x"])
        assert done.check().outputs == [Pages(2)]
        assert (done.instance.seconds, done.instance.tags) == (2.0, ("x",))

        failed = await engine.run(fail)
        assert not failed.succeeded
        with pytest.raises(RunFailed, match="fail failed: OSError: no paper"):
            failed.check()


async def test_waiting_ends_when_the_run_does_or_the_patience(autojump_clock):
    async with callsheet.engine(IN_MEMORY, [write], start=START) as engine:
        started = await engine.start(write, {"count": 60})
        with pytest.raises(TimeoutError, match="running"):
            await engine.wait(started, within="10s")
        assert trio.current_time() == 10
        assert (await engine.wait(started.id)).outcome == "succeeded"
        assert trio.current_time() == 60
        assert (await engine.wait(f"/v1/instances/{started.id}")).outcome == "succeeded"


async def test_what_is_refused_raises_the_errors_of_the_service(autojump_clock):
    async with callsheet.engine(IN_MEMORY, [write], start=START) as engine:
        with pytest.raises(Invalid, match="/input/pages: is not a known field"):
            await engine.put("odd", write, every="1m", input={"pages": 3})
        with pytest.raises(ValueError, match="either trigger, or one of"):
            await engine.put("odd", write)
        with pytest.raises(Unknown, match="no task 'nothing'"):
            await engine.start("nothing")
        await engine.put("long", write, input=Pages(60), every="1h")
        await engine.trigger("long")
        with pytest.raises(Refused, match="goes on"):
            await engine.trigger("long")


async def test_leaving_lets_what_runs_finish_for_as_long_as_the_drain_lasts(autojump_clock, url):
    async with callsheet.engine(url, [write], start=START, drain="20s") as engine:
        short, long = await engine.start(write, Pages(5)), await engine.start(write, Pages(600))
    assert 20 <= trio.current_time() < 22

    async with callsheet.engine(url, [write], start=START) as engine:
        assert engine.lost == 0
        assert (await engine.instance(short)).outcome == "succeeded"
        assert (await engine.instance(long)).outcome == "interrupted"


@pytest.mark.parametrize("how", ["in the body", "in a task of the body"])
def test_ctrl_c_in_a_task_reaches_the_program(url, how):
    runs, known = [], trio.Event()

    @task
    async def unlucky(_in: None, out: Out[None]) -> None:
        await known.wait()
        if how == "in the body":
            signal.raise_signal(signal.SIGINT)  # as Ctrl-C does while this is what runs
        else:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                nursery.start_soon(trio.to_thread.run_sync, int)
                nursery.start_soon(_strike)

    async def program():
        async with callsheet.engine(url, [unlucky, write]) as engine:
            runs.extend([await engine.start(write, Pages(600)), await engine.start(unlucky)])
            known.set()
            await trio.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        trio.run(program)

    async def look():
        async with callsheet.engine(url, [unlucky, write]) as engine:
            return engine.lost, [(await engine.instance(run)).outcome for run in runs]

    assert trio.run(look) == (0, ["interrupted", "interrupted"])


async def _strike():
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), ExceptionGroup("two", [OSError()])])
async def test_an_error_of_the_program_is_raised_as_it_is_and_cuts_short_what_runs(autojump_clock, url, error):
    with pytest.raises(type(error)) as caught:  # noqa: PT012 - how an `async with` ends is what this is about
        async with callsheet.engine(url, [write], start=START) as engine:
            run = await engine.start(write, Pages(600))
            raise error
    assert caught.value is error
    assert trio.current_time() < 2

    async with callsheet.engine(url, [write], start=START) as engine:
        assert (await engine.instance(run)).outcome == "interrupted"


@pytest.mark.parametrize("inside", [math.inf, 0])
async def test_a_cancelled_program_stops_its_engine_at_once_and_in_order_even_while_it_drains(
    autojump_clock, url, inside
):
    with trio.move_on_after(3) as scope:
        async with callsheet.engine(url, [write], start=START) as engine:
            run = await engine.start(write, Pages(600))
            await trio.sleep(inside)
    assert scope.cancelled_caught
    assert 3 <= trio.current_time() < 5

    async with callsheet.engine(url, [write], start=START) as engine:
        assert engine.lost == 0
        assert (await engine.instance(run)).outcome == "interrupted"


async def test_others_may_wait_until_the_very_end(autojump_clock):
    outcomes = []

    async def watch(engine, run):
        try:
            outcomes.append((await engine.wait(run)).outcome)
        except Unavailable as error:
            outcomes.append(str(error))

    async with trio.open_nursery() as nursery, callsheet.engine(IN_MEMORY, [write], start=START) as engine:
        short, long = await engine.start(write, Pages(5)), await engine.start(write, Pages(600))
        nursery.start_soon(watch, engine, short)
        nursery.start_soon(watch, engine, long)
        await trio.testing.wait_all_tasks_blocked()
    assert outcomes == ["succeeded", "interrupted"]

    for ask in (engine.schedules(), engine.start(write), engine.wait(short)):
        with pytest.raises(Unavailable, match="is over"):
            await ask


async def test_a_second_engine_on_the_same_database_is_refused_and_told_who_holds_it(url):
    async with callsheet.engine(url, [write]):
        with pytest.raises(RefusedToStart, match="is held by process"):
            async with callsheet.engine(url, [write]):
                raise AssertionError("it runs")
    async with callsheet.engine(url, [write]) as engine:
        assert (await engine.run(write, Pages(0))).succeeded


async def test_an_engine_that_fails_for_good_ends_the_program_with_the_reason(autojump_clock, tmp_path):
    database = tmp_path / "jobs.db"
    with pytest.raises(GaveUp, match="was removed or replaced"):  # noqa: PT012
        async with callsheet.engine(f"sqlite:///{database}", [write], start=START) as engine:
            await engine.put("often", write, every="1m")
            database.unlink()
            await trio.sleep_forever()

    with pytest.raises(GaveUp, match="was removed or replaced") as caught:  # noqa: PT012
        async with callsheet.engine(f"sqlite:///{database}", [write], start=START) as engine:
            database.unlink()
            await engine.put("often", write, every="1m")
    assert "Unavailable" in caught.value.__notes__[0]


async def test_what_cannot_be_is_said_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for wrong in (
        {"start": START},
        {"http": "8080"},
        {"http": "0.0.0.0:0"},
        {"http": "127.0.0.1:0", "api_key": "short"},
        {"http_allow": ["nowhere/33"]},
        {"drain": "soon"},
    ):
        with pytest.raises((RefusedToStart, ValueError)):
            async with callsheet.engine("sqlite:///made/jobs.db", [write], **wrong):
                raise AssertionError(wrong)
    with pytest.raises(TypeError, match="tasks takes tasks"):
        async with callsheet.engine("sqlite:///made/jobs.db", [print]):
            raise AssertionError
    with pytest.raises(RefusedToStart, match="must be sqlite"):
        async with callsheet.engine("mysql://x", [write]):
            raise AssertionError
    assert list(tmp_path.iterdir()) == []


async def test_what_tasks_print_and_log_goes_to_their_log_and_the_program_keeps_its_own(url, capsys):
    root, level, out = logging.getLogger(), logging.getLogger().level, sys.stdout
    async with callsheet.engine(url, [write, plain]) as one, callsheet.engine(IN_MEMORY, [plain]) as other:
        print("mine")
        first, second = await one.run(plain), await other.run(plain)
        assert [line.text for line in await one.log(first.instance)] == ["printer: hot"]
        assert [line.text for line in await other.log(second.instance)] == ["printer: hot"]
        written = await one.run(write, Pages(0))
        assert [line.text for line in await one.log(written.instance)] == ["writing 0"]
        assert root.level == level
    assert sys.stdout is out
    assert capsys.readouterr().out == "mine\n"


async def test_http_answers_for_as_long_as_the_engine_runs_if_it_was_asked_for(url):
    async with callsheet.engine(url, [write], http="127.0.0.1:0") as engine:
        async with AsyncClient(engine.url) as client:
            assert (await client.tasks.run(write, Pages(0))).succeeded
            await client.schedules.put("hourly", write, every="1h")
        assert [one.id for one in await engine.schedules()] == ["hourly"]
        run = await engine.start(write, Pages(1))
    async with callsheet.engine(url, [write], http="0.0.0.0:0", api_key="k" * 40) as engine:
        assert (await engine.instance(run)).outcome == "succeeded"
        async with AsyncClient(engine.url.replace("0.0.0.0", "127.0.0.1"), token="k" * 40) as client:
            entries = [entry async for entry in client.audit()]
    assert [entry.by for entry in entries] == ["program", "api", "api"]


def test_the_fields_of_a_schedule_are_those_that_the_service_takes():
    words = {"every", "anchor", "cron", "timezone", "at", "after", "on"}

    assert set(ScheduleFields.__annotations__) - words == set(definition.FIELDS) - {"task"}
