"""What a task says by print, logging and out.log, from wherever it says it."""

import logging
import sys
import threading
from contextvars import copy_context

import pytest
import trio
import trio.lowlevel

from callsheet import Out, SyncOut, task

log = logging.getLogger("somebody.else")


async def test_print_logging_and_out_log_land_in_the_log_in_order(autojump_clock, stage):
    @task
    async def talks(_in: None, out: Out[None]) -> None:
        print("plain", 1, "line")
        print("two\nlines")
        await out.log("by out", size=3)
        log.info("by %s", "logging")
        print("to stderr", file=sys.stderr)

    async with stage.play([talks]) as play:
        instance = await play.start(talks)
        await play.ended(instance)
        lines = play.log_records(instance)
    assert [(line.seq, line.level, line.text, line.fields) for line in lines] == [
        (0, "print", "plain 1 line", None),
        (1, "print", "two", None),
        (2, "print", "lines", None),
        (3, "info", "by out", '{"size":3}'),
        (4, "info", "somebody.else: by logging", None),
        (5, "stderr", "to stderr", None),
    ]


async def test_a_line_that_is_printed_in_pieces_is_one_line_even_without_an_end(autojump_clock, stage):
    @task
    async def stammers(_in: None, out: Out[None]) -> None:
        for piece in ("one", " and ", "two\nthr"):
            print(piece, end="", flush=True)
            await trio.sleep(1)
        print("ee", end="")

    async with stage.play([stammers]) as play:
        instance = await play.start(stammers)
        await play.ended(instance)
        assert play.log(instance) == ["one and two", "three"]


async def test_an_exception_that_is_logged_keeps_its_traceback(autojump_clock, stage):
    @task
    async def complains(_in: None, out: Out[None]) -> None:
        try:
            raise ValueError("odd")
        except ValueError:
            log.exception("it failed")

    async with stage.play([complains]) as play:
        instance = await play.start(complains)
        await play.ended(instance)
        (line,) = play.log(instance)
    assert line.startswith("somebody.else: it failed\nTraceback")
    assert line.endswith("ValueError: odd")


async def test_each_instance_has_its_own_log_and_its_children_write_to_it(autojump_clock, stage):
    async def child(name: str) -> None:
        await trio.sleep(1)
        print("child of", name)

    @task
    async def talks(_in: str, out: Out[None]) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(child, _in)

    async with stage.play([talks]) as play:
        ids = [await play.start(talks, name) for name in ("ada", "bob")]
        await trio.sleep(2)
        assert [play.log(one) for one in ids] == [["child of ada"] * 2, ["child of bob"] * 2]


async def test_what_is_printed_outside_of_tasks_goes_where_it_always_went(autojump_clock, stage, capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own
    async with stage.play([]):
        print("for people")
        log.info("for nobody")
        log.warning("for people, too")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("for people\n", "for people, too\n")


@pytest.mark.parametrize("how", ["print", "log", "out"])
async def test_a_flood_is_cut_with_one_line_that_says_so(autojump_clock, stage, how):
    @task(max_log_bytes=10_000)
    async def floods(_in: None, out: Out[str]) -> None:
        for number in range(20_000):
            if how == "print":
                print("line", number)
            elif how == "log":
                log.warning("line %d", number)
            elif number < 1000:
                await out.log(f"line {number}")
        await out.send("done")

    async with stage.play([floods]) as play:
        instance = await play.start(floods)
        assert (await play.ended(instance)).outcome == "succeeded"
        *lines, last = play.log(instance)
    assert last == "The log is cut here: it reached its size limit."
    assert len(lines) > 100
    assert last not in lines
    assert sum(len(line) + 32 for line in lines) <= 10_000


async def test_a_line_longer_than_the_whole_log_is_cut_and_not_kept(autojump_clock, stage):
    @task(max_log_bytes=1000)
    async def shouts(_in: None, out: Out[None]) -> None:
        await out.log("x" * 10_000_000)
        print("y" * 10_000_000)

    async with stage.play([shouts]) as play:
        instance = await play.start(shouts)
        assert (await play.ended(instance)).outcome == "succeeded"
        assert play.log(instance) == ["The log is cut here: it reached its size limit."]


async def test_lone_surrogates_and_nul_are_made_safe(autojump_clock, stage):
    @task
    async def odd(_in: None, out: Out[None]) -> None:
        print("a\ud800b\0c")
        log.warning("d%s", "\udfff\0")
        await out.log("e\ud800\0", **{"f\udfff": "\ud800\0"})

    async with stage.play([odd]) as play:
        instance = await play.start(odd)
        assert (await play.ended(instance)).outcome == "succeeded"
        assert play.log(instance) == ["a\ufffdb\ufffdc", "somebody.else: d\ufffd\ufffd", "e\ufffd\ufffd"]


async def test_a_record_that_cannot_be_formatted_does_not_fail_the_task(autojump_clock, stage, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own raises

    @task
    async def clumsy(_in: None, out: Out[None]) -> None:
        log.warning("%d and %d", "one")  # noqa: PLE1206
        print("goes on")

    async with stage.play([clumsy]) as play:
        instance = await play.start(clumsy)
        assert (await play.ended(instance)).outcome == "succeeded"
        lines = play.log(instance)
    assert lines[0] == "--- Logging error ---"
    assert lines[-1] == "goes on"


async def test_a_worker_thread_prints_and_logs_into_its_instance(real_stage, thread_door):
    @task
    def works(_in: None, out: SyncOut[None]) -> None:
        print("from", "a thread")
        log.info("logged")
        out.log("and out")

    @task
    async def sends_work(_in: None, out: Out[None]) -> None:
        await trio.to_thread.run_sync(print, "handed to a thread")

    async with real_stage.play([works, sends_work], door=thread_door) as play:
        instances = [await play.start(works), await play.start(sends_work)]
        for one in instances:
            assert (await play.ended(one)).outcome == "succeeded"
        logs = [play.log(one) for one in instances]
    assert logs == [["from a thread", "somebody.else: logged", "and out"], ["handed to a thread"]]


async def test_a_flood_from_a_thread_holds_nobody_up(real_stage, thread_door):
    @task(max_log_bytes=20_000)
    def floods(_in: None, out: SyncOut[None]) -> None:
        for number in range(100_000):
            print("line", number)

    async with real_stage.play([floods], door=thread_door) as play:
        instance = await play.start(floods)
        assert (await play.ended(instance)).outcome == "succeeded"
        lines = play.log(instance)
    assert lines[-1] == "The log is cut here: it reached its size limit."


async def test_a_thread_with_a_loop_of_its_own_prints_into_its_instance(real_stage, thread_door):
    async def inner() -> None:
        await trio.lowlevel.checkpoint()
        print("from another loop")

    @task
    def nests(_in: None, out: SyncOut[None]) -> None:
        trio.run(inner)

    async with real_stage.play([nests], door=thread_door) as play:
        instance = await play.start(nests)
        assert (await play.ended(instance)).outcome == "succeeded"
        assert play.log(instance) == ["from another loop"]


async def test_a_thread_that_prints_after_the_engine_has_stopped_hurts_nobody(real_stage, thread_door):
    stopped = threading.Event()

    def straggle() -> None:
        stopped.wait(10)
        print("too late")

    @task
    async def leaves_a_thread(_in: None, out: Out[None]) -> None:
        threads.append(threading.Thread(target=copy_context().run, args=(straggle,)))
        threads[0].start()

    threads: list[threading.Thread] = []
    async with real_stage.play([leaves_a_thread], door=thread_door) as play:
        await play.ended(await play.start(leaves_a_thread))
        await play.finish()
    stopped.set()
    await trio.to_thread.run_sync(threads[0].join)
    await trio.sleep(0.01)


async def test_a_log_that_finds_no_room_is_held_back_and_nothing_of_it_is_lost(autojump_clock, stage, door):
    @task
    async def talks(_in: None, out: Out[None]) -> None:
        await trio.sleep(1)
        for number in range(15_000):
            print(number)

    async with stage.play([talks], door=door) as play:
        instance = await play.start(talks)
        await trio.sleep(0.5)
        door.closed = True
        await trio.sleep(1)
        door.closed = False
        assert (await play.ended(instance)).outcome == "succeeded"
        assert play.log(instance) == [str(number) for number in range(15_000)]
