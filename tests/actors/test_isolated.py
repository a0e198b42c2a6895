"""Tasks in worker processes: they say all that others say, and die when they are told to end. Real time throughout."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from callsheet import Out, run_sync, task
from callsheet.tasks import Registry

FILE = Path(__file__).parent / "isolated_jobs.py"


@pytest.fixture(scope="module")
def jobs() -> Registry:
    """Return the tasks of isolated_jobs.py, loaded as `--tasks` loads them."""
    registry = Registry()
    registry.load(str(FILE))
    return registry


@pytest.fixture
def play(real_stage: Any, thread_door: Any, jobs: Registry) -> Callable[..., Any]:
    """Return a function that starts an engine with these tasks."""
    return lambda **options: real_stage.play(jobs.values(), door=thread_door, **options)


async def until(found: Callable[[], Any], within: float = 10.0) -> Any:
    """Look again and again until something true is found, and return it."""
    with trio.fail_after(within):
        while not (value := found()):
            await trio.sleep(0.01)
    return value


async def noted(folder: Path, name: str) -> int:
    """Return the number of a process that a body has noted."""
    await until((folder / name).exists)
    return int((folder / name).read_text())


def alive(pid: int) -> bool:
    """Tell whether a process is there and not a mere entry in the table."""
    with suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


async def gone(*pids: int) -> None:
    """Wait until none of these processes is there."""
    await until(lambda: not any(map(alive, pids)), within=5)


async def test_an_isolated_body_says_all_that_others_say(play, jobs):
    async with play() as stage:
        instance = await stage.start(jobs["talks"], "hello", timeout=60_000_000)
        record = await stage.ended(instance)

        assert record.outcome == "succeeded", stage.error(instance)
        assert stage.outputs(instance) == ["hello", "talks 1 None True"]
        lines = {(line.level, line.text) for line in stage.log_records(instance)}
        assert lines >= {
            ("info", "logged"), ("print", "printed in pieces"), ("stderr", "to stderr"), ("warning", "jobs: warned"),
            ("stdout", "raw"), ("stdout", "from a program"), ("print", "begun"),
        }  # fmt: skip
        assert [line.fields for line in stage.log_records(instance) if line.text == "logged"] == ['{"number":7}']


async def test_a_plain_function_can_be_isolated_too(play, jobs):
    async with play() as stage:
        instance = await stage.start(jobs["plain"], 1)

        assert (await stage.ended(instance)).outcome == "succeeded"
        assert stage.outputs(instance) == [1, 2]
        assert sorted(stage.log(instance)) == ["from a thread", "printed in a thread"]


async def test_the_state_of_an_isolated_class_is_carried_in_and_out(play, jobs):
    async with play() as stage:
        outputs = []
        for by in (1, 13, 2):
            instance = await stage.start(jobs["total"], by)
            outcome = (await stage.ended(instance)).outcome
            outputs.append((outcome, *stage.outputs(instance)))

    assert outputs == [("succeeded", 1), ("failed", 14), ("succeeded", 3)]


@pytest.mark.parametrize(
    ("how", "type_", "message"),
    [
        ("odd", "Odd", "as� told"),
        ("exit", "SystemExit", "3"),
        ("stop", "KeyboardInterrupt", ""),
        ("os", "OSError", "try"),
    ],
)
async def test_its_error_is_told_like_any_other(play, jobs, how, type_, message):
    async with play() as stage:
        instance = await stage.start(jobs["fails"], how)
        assert (await stage.ended(instance)).outcome == "failed"

        error = stage.error(instance)
        assert error["type"] == type_
        assert message in error["message"]
        assert 'isolated_jobs.py", line' in error["traceback"]
        retries = [record for record in stage.instances() if record.attempt == 2]
        assert len(retries) == (how == "os")  # what `on` names was raised in the other process


@pytest.mark.parametrize(
    ("how", "type_", "sent"), [("type", "TypeError", 0), ("large", "OutputLimit", 0), ("many", "OutputLimit", 3)]
)
async def test_its_outputs_are_checked_like_any_others(play, jobs, how, type_, sent):
    async with play() as stage:
        instance = await stage.start(jobs["sends"], how)

        assert (await stage.ended(instance)).outcome == "failed"
        assert stage.error(instance)["type"] == type_
        assert len(stage.outputs(instance)) == sent


@pytest.mark.parametrize("how", ["python", "lock", "c"])
async def test_a_busy_body_is_killed_at_its_cancellation_with_all_that_it_started(play, jobs, tmp_path, how):
    async with play() as stage:
        instance = await stage.start(jobs["busy"], {"folder": str(tmp_path), "how": how})
        pids = [await noted(tmp_path, name) for name in ("body", "child", "stray")]
        await stage.cancel(instance, "enough")

        record = await stage.ended(instance, within=3)
        assert (record.outcome, record.stuck) == ("cancelled", None)
        await gone(*pids)


@pytest.mark.parametrize(("name", "how"), [("busy", "python"), ("busy", "lock"), ("busy_thread", "")])
async def test_a_busy_body_is_killed_at_its_time_out(play, jobs, tmp_path, name, how):
    async with play() as stage:
        instance = await stage.start(jobs[name], {"folder": str(tmp_path), "how": how}, timeout=2_000_000)
        pid = await noted(tmp_path, "body")

        assert (await stage.ended(instance, within=5)).outcome == "timed_out"
        assert stage.error(instance)["type"] == "TimedOut"
        await gone(pid)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("segfault", "was killed by SIGSEGV"), ("abort", "was killed by SIGABRT"), ("exit", "exited with code 3"),
        ("kill", "was killed by SIGKILL, as the kernel does when memory runs out"), ("hang up", "exited with code 1"),
    ],
)  # fmt: skip
async def test_a_worker_that_dies_fails_its_instance_and_no_other(play, jobs, how, message):
    async with play() as stage:
        instance = await stage.start(jobs["dies"], how)
        assert (await stage.ended(instance)).outcome == "failed"

        assert stage.error(instance)["type"] == "WorkerDied"
        assert message in stage.error(instance)["message"]
        assert stage.outputs(instance) == [1]
        assert "last words" in stage.log(instance)
        assert how != "segfault" or any("isolated_jobs.py" in line for line in stage.log(instance))  # where it was
        assert (await stage.ended(await stage.start(jobs["plain"], 1))).outcome == "succeeded"


async def test_a_thousand_quick_runs_share_a_few_workers(play, jobs):
    async with play() as stage:
        for _ in range(50):
            wave = [await stage.start(jobs["whose"]) for _ in range(20)]
            for instance in wave:
                assert (await stage.ended(instance)).outcome == "succeeded"
        pids = {pid for record in stage.instances() for pid in stage.outputs(record.id)}

    assert len(pids) <= 20
    await gone(*pids)


@pytest.mark.parametrize("how", ["thread", "program", "nursery"])
async def test_a_worker_that_a_body_left_something_in_is_not_used_again(play, jobs, tmp_path, how):
    async with play() as stage:
        instance = await stage.start(jobs["leaves"], {"folder": str(tmp_path), "how": how})
        expected = "failed" if how == "nursery" else "succeeded"
        assert (await stage.ended(instance)).outcome == expected
        (pid,) = stage.outputs(instance)

        await gone(pid, *([await noted(tmp_path, "child")] if how == "program" else []))


async def test_what_a_body_forks_cannot_speak_in_its_name(play, jobs, tmp_path):
    async with play() as stage:
        instance = await stage.start(jobs["leaves"], {"folder": str(tmp_path), "how": "fork"})

        assert (await stage.ended(instance)).outcome == "succeeded"
        assert stage.log(instance) == []


async def test_a_flood_of_outputs_waits_and_arrives_whole(play, jobs):
    async with play() as stage:
        instance = await stage.start(jobs["floods"], 3000)

        assert (await stage.ended(instance)).outcome == "succeeded", stage.error(instance)
        assert len(stage.outputs(instance)) == 3000


async def test_a_log_that_is_full_is_cut_as_in_the_service(play, jobs):
    async with play() as stage:
        instance = await stage.start(jobs["chatters"])

        assert (await stage.ended(instance)).outcome == "succeeded"
        *lines, last = stage.log(instance)
        assert lines == [f"line {number}" for number in range(len(lines))]
        assert 200 < len(lines) < 300
        assert last == "The log is cut here: it reached its size limit."


@pytest.mark.parametrize(
    ("name", "how", "where"),
    [
        ("waits", "", "in waits"),
        ("busy", "python", "in bursts_in_python"),
        ("busy_thread", "", "in bursts_in_python"),
    ],
)
async def test_its_stack_is_that_of_the_body(play, jobs, tmp_path, name, how, where):
    async with play() as stage:
        instance = await stage.start(jobs[name], {"folder": str(tmp_path), "how": how})
        await noted(tmp_path, "body")
        await trio.sleep(0.1)

        lines = await stage.stack(instance)
        assert any("isolated_jobs.py" in line and line.endswith(where) for line in lines), lines
        assert "isolated_jobs.py" in lines[0]


async def test_a_body_that_holds_on_to_the_lock_does_not_answer_and_holds_up_nobody(play, jobs, tmp_path):
    async with play() as stage:
        instance = await stage.start(jobs["busy"], {"folder": str(tmp_path), "how": "lock"})
        await noted(tmp_path, "body")
        await trio.sleep(0.1)

        (line,) = await stage.stack(instance)
        assert "does not answer: it is in C code that holds on to Python's lock" in line


async def test_shutdown_interrupts_it_and_leaves_no_process(play, jobs, tmp_path):
    async with play() as stage:
        idle = await stage.start(jobs["whose"])
        await stage.ended(idle)
        instance = await stage.start(jobs["busy"], {"folder": str(tmp_path), "how": "lock"})
        pids = [await noted(tmp_path, name) for name in ("body", "child", "stray")]
        stage.engine.hurry.set()
        with trio.fail_after(5):
            await stage.finish()

        assert stage.instance(instance).outcome == "interrupted"
        pids += stage.outputs(idle)
    await gone(*pids)


async def test_a_crash_of_the_engine_leaves_no_process(play, jobs, tmp_path):
    async with play() as stage:
        idle = [await stage.start(jobs["whose"]) for _ in range(3)]
        for one in idle:
            await stage.ended(one)
        await stage.start(jobs["waits"], {"folder": str(tmp_path)})
        pids = [await noted(tmp_path, "body"), *(pid for one in idle for pid in stage.outputs(one))]
        stage.kill()
    await gone(*pids)


async def test_a_task_that_a_worker_cannot_find_is_told_so(real_stage, thread_door, jobs):
    @task(isolate="process")
    async def local(_in: None, out: Out[int]) -> None:
        """Have no place that another process could look at."""

    async with real_stage.play([local, jobs["made"]], door=thread_door) as stage:
        instance = await stage.start(local)
        assert (await stage.ended(instance)).outcome == "failed"
        assert stage.error(instance)["type"] == "NotFound"
        assert "not at the top level of an importable module" in stage.error(instance)["message"]
        made = await stage.start(jobs["made"])  # by a function, yet at the top level of its module
        assert (await stage.ended(made)).outcome == "succeeded"


async def test_in_virtual_time_the_body_runs_in_this_process(stage, jobs, autojump_clock):
    async with stage.play(jobs.values()) as play:
        instance = await play.start(jobs["whose"])

        assert (await play.ended(instance)).outcome == "succeeded"
        assert play.outputs(instance) == [os.getpid()]


def test_run_sync_performs_it_here(jobs):
    assert run_sync(jobs["whose"], None).outputs == [os.getpid()]
