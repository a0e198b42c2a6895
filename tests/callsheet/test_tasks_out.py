from datetime import UTC, datetime
from math import inf
from typing import Any
from uuid import UUID

import msgspec
import pytest
import trio
from attrs import Factory, define
from hypothesis import given
from hypothesis import strategies as st

from callsheet import Out, SyncOut, Task, task
from callsheet.tasks import OutputLimit
from callsheet.tasks.text import safe_text, shown

ID = UUID("0193a6e2-0000-7000-8000-000000000001")
DUE = datetime(2026, 11, 24, tzinfo=UTC)


@define
class Recorder:
    """A sink that remembers, and holds a sender up until it may go on."""

    outputs: list[tuple[int, bytes]] = Factory(list)
    steps: list[tuple[float, float | None, str]] = Factory(list)
    logs: list[tuple[str, str, dict[str, object]]] = Factory(list)

    async def output(self, seq: int, raw: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.outputs.append((seq, raw))

    async def progress(self, done: float, total: float | None, note: str) -> None:
        await trio.lowlevel.checkpoint()
        self.steps.append((done, total, note))

    async def log(self, level: str, text: str, fields: dict[str, object]) -> None:
        await trio.lowlevel.checkpoint()
        self.logs.append((level, text, fields))


@pytest.fixture
def sink() -> Recorder:
    return Recorder()


async def perform(made: Task[Any, Any], sink: Recorder, _in: Any = None) -> None:
    await made.perform(_in, made.out(sink, ID), None)


async def test_outputs_are_numbered_in_the_order_they_were_sent(sink):
    @task
    async def many(_in: None, out: Out[int]) -> None:
        async with trio.open_nursery() as nursery:
            for value in range(5):
                nursery.start_soon(out.send, value)

    await perform(many, sink)
    assert [seq for seq, _ in sink.outputs] != []
    assert sorted(seq for seq, _ in sink.outputs) == [0, 1, 2, 3, 4]
    assert sorted(raw for _, raw in sink.outputs) == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("threaded", [False, True])
async def test_one_output_too_many_fails_the_run(sink, threaded):
    @task(max_outputs=2)
    async def chatty(_in: None, out: Out[int]) -> None:
        for value in range(5):
            await out.send(value)

    @task(name="chatty", max_outputs=2)
    def chatty_thread(_in: None, out: SyncOut[int]) -> None:
        for value in range(5):
            out.send(value)

    with pytest.raises(OutputLimit, match="chatty sent more than its 2 outputs"):
        await perform(chatty_thread if threaded else chatty, sink)
    assert len(sink.outputs) == 2


async def test_an_output_that_is_refused_takes_no_number(sink):
    @task
    async def clumsy(_in: None, out: Out[int]) -> None:
        with pytest.raises(TypeError):
            await out.send("x")  # type: ignore[arg-type]
        await out.send(1)

    await perform(clumsy, sink)
    assert sink.outputs == [(0, b"1")]


async def test_a_returned_value_is_one_more_output(sink):
    @task
    async def returning(_in: int, out: Out[int]) -> int:
        await out.send(1)
        return _in

    @task
    def threaded(_in: int, out: SyncOut[int]) -> int:
        return _in

    await perform(returning, sink, 2)
    await perform(threaded, sink, 3)
    assert sink.outputs == [(0, b"1"), (1, b"2"), (0, b"3")]
    with pytest.raises(TypeError, match="sent 'x', which does not fit"):
        await perform(returning, sink, "x")


async def test_a_task_may_read_its_own_attempt_and_not_change_it(sink):
    seen: list[tuple[object, ...]] = []

    @task
    async def curious(_in: None, out: Out[int]) -> None:
        seen.append((out.id, out.attempt, out.due_at, out.deadline, out.task))
        with pytest.raises(AttributeError):
            out.attempt = 5  # type: ignore[misc]

    @task(name="thread")
    def curious_thread(_in: None, out: SyncOut[int]) -> None:
        seen.append((out.id, out.attempt, out.due_at, out.deadline, out.task))

    await curious.perform(None, curious.out(sink, ID, 2, DUE, 5.0), None)
    await curious_thread.perform(None, curious_thread.out(sink, ID), None)
    assert seen == [(ID, 2, DUE, 5.0, "curious"), (ID, 1, None, inf, "thread")]


async def test_progress_and_log_reach_the_sink(sink):
    @task
    async def talkative(_in: None, out: Out[int]) -> None:
        await out.progress(1)
        await out.progress(0.5, 2, "half")
        await out.log("hello", size=3, text="own field")

    @task
    def in_a_thread(_in: None, out: SyncOut[int]) -> None:
        out.progress(1, note="x")
        out.log("hello", size=4)

    await perform(talkative, sink)
    await perform(in_a_thread, sink)
    assert sink.steps == [(1, None, ""), (0.5, 2, "half"), (1, None, "x")]
    assert sink.logs == [
        ("info", "hello", {"size": 3, "text": "own field"}),
        ("info", "hello", {"size": 4}),
    ]


@pytest.mark.parametrize("wrong", [float("nan"), inf, "1", None, True])
async def test_progress_is_a_finite_number(sink, wrong):
    @task
    async def lost(_in: None, out: Out[int]) -> None:
        await out.progress(wrong)

    with pytest.raises(ValueError, match="progress: done must be a finite number"):
        await perform(lost, sink)


class Shy:
    def __repr__(self) -> str:
        raise RuntimeError("no")


async def test_a_log_line_is_always_text_and_json(sink):
    endless: list[Any] = []
    endless.append(endless)

    @task
    async def odd(_in: None, out: Out[int]) -> None:
        await out.log(
            "a\ud800b\0c",
            thing=object,
            shy=Shy(),
            nan=float("nan"),
            nested=[{"x": float("inf"), "y\0": "\udfff", 1: {2}}],
            huge=10**5000,
            endless=endless,
            raw=b"abc",
            when=DUE,
        )

    await perform(odd, sink)
    ((_, text, fields),) = sink.logs
    assert text == "a\ufffdb\ufffdc"
    assert fields["thing"] == "<class 'object'>"
    assert fields["nan"] == "nan"
    assert fields["nested"] == [{"x": "inf", "y\ufffd": "\ufffd", "1": [2]}]
    assert fields["when"] == "2026-11-24T00:00:00Z"
    assert b"null" not in msgspec.json.encode(fields)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.integers() | st.text(), inner),
    max_leaves=8,
)


@given(st.text(st.characters(exclude_categories=[])), json_like)
def test_whatever_is_logged_can_be_stored(text, value):
    sink = Recorder()

    @task
    async def noisy(_in: None, out: Out[int]) -> None:
        await out.log(text, value=value, **{text: 1} if text != "value" else {})

    trio.run(perform, noisy, sink)
    ((_, line, fields),) = sink.logs
    stored = msgspec.json.encode(fields) + line.encode()
    assert b"\0" not in stored
    assert b"\\u0000" not in stored.replace(b"\\\\", b"")


def test_good_text_stays_as_it_is():
    assert safe_text("Grüße 😀\n") == "Grüße 😀\n"
    assert safe_text("\ud83d\ude00") == "😀"
    assert shown("x" * 1000) < "y"
    assert len(shown("x" * 1000)) < 100


# --- threads ---


async def test_a_def_task_may_hold_more_threads_than_trio_gives_by_default(sink):
    running, most = 0, 0
    go = trio.Event()

    @task
    def waits(_in: None, out: SyncOut[int]) -> None:
        trio.from_thread.run(arrive)

    async def arrive() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 60:
            go.set()
        await go.wait()
        running -= 1

    async with trio.open_nursery() as nursery:
        for _ in range(60):
            nursery.start_soon(perform, waits, sink)
    assert most == 60


async def test_a_cancelled_def_task_ends_at_its_next_word(sink):
    reached: list[str] = []

    @task
    def stubborn(_in: None, out: SyncOut[int]) -> None:
        trio.from_thread.run_sync(scope.cancel)
        try:
            out.send(1)
        finally:
            reached.append("clean-up")

    with trio.CancelScope() as scope:
        await perform(stubborn, sink)
    assert scope.cancelled_caught
    assert reached == ["clean-up"]
    assert sink.outputs == []


class Odd(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError("x"), Odd(), SystemExit(3), ExceptionGroup("g", [OSError()])])
async def test_what_a_body_raises_passes_out_unchanged(sink, error):
    @task
    async def failing(_in: None, out: Out[int]) -> None:
        raise error

    @task
    def failing_thread(_in: None, out: SyncOut[int]) -> None:
        raise error

    for made in (failing, failing_thread):
        with pytest.raises(type(error)) as caught:
            await perform(made, sink)
        assert caught.value is error
