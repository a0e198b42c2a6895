import functools
from typing import Any

import pytest

from callsheet import Out, SyncOut, task


class Strange:
    pass


async def no_types(_in, out): ...
async def one(x: int): ...
async def bare_out(_in: int, out: Out): ...
async def no_input(_in, out: Out[int]): ...
async def three(_in: int, out: Out[int], more: int = 1): ...
async def starred(*_in: int, out: Out[int]): ...
async def keywords(_in: int, *, out: Out[int]): ...
async def swapped(out: Out[int], _in: int): ...
async def sync_out(_in: int, out: SyncOut[int]): ...
async def unknown(_in: int, out: "Out[Missing]"): ...  # noqa: F821
async def strange_input(_in: Strange, out: Out[int]): ...
async def strange_output(_in: int, out: Out[list[Strange]]): ...
async def yields(_in: int, out: Out[int]):
    yield 1


def yields_too(_in: int, out: Out[int]):
    yield 1


WANTED = "a task is `async def {0}(_in: TInput, out: Out[TOutput])`, got "


@pytest.mark.parametrize(
    ("body", "got"),
    [
        (no_types, "(_in, out)"),
        (one, "(x: int)"),
        (bare_out, "(_in: int, out: Out)"),
        (no_input, "(_in, out: Out[int])"),
        (three, "(_in: int, out: Out[int], more: int = 1)"),
        (starred, "(*_in: int, out: Out[int])"),
        (keywords, "(_in: int, *, out: Out[int])"),
        (swapped, "(out: Out[int], _in: int)"),
        (sync_out, "(_in: int, out: SyncOut[int])"),
    ],
)
def test_a_wrong_signature_says_what_is_wanted_and_what_came(body, got):
    with pytest.raises(TypeError) as caught:
        task(body)
    name = body.__name__
    assert str(caught.value) == f"{name}: {WANTED.format(name)}{got}"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (unknown, "unknown: its annotations cannot be read: name 'Missing' is not defined"),
        (strange_input, "strange_input: its input type Strange has no JSON form"),
        (strange_output, r"strange_output: its output type list\[Strange\] has no JSON form"),
        (yields, "yields: a task sends by `out.send\\(value\\)`, it does not yield"),
        (yields_too, "yields_too: a task sends by"),
        (5, "a task is a function or a class, got 5"),
        (functools.partial(one, 1), "a task is a function or a class, got functools.partial"),
        (print, "a task is a function or a class"),
        (Strange, "Strange: a class task has .*got no __call"),
    ],
)
def test_what_cannot_be_a_task_is_refused_in_one_line(body, sentence):
    with pytest.raises(TypeError, match=sentence) as caught:
        task(body)
    assert "\n" not in str(caught.value)


def test_a_task_is_not_decorated_twice():
    @task
    async def once(_in: int, out: Out[int]) -> None: ...

    with pytest.raises(TypeError, match="got <Task once"):
        task(once)


def test_a_lambda_has_no_name_for_a_task():
    body = lambda _in, out: None  # noqa: E731
    body.__annotations__ = {"_in": int, "out": SyncOut[int]}
    with pytest.raises(ValueError, match="'<lambda>' is not a good name"):
        task(body)
    assert task(name="fine")(body).name == "fine"


def test_a_plain_def_is_threaded_with_either_face():
    @task
    def one(_in: int, out: Out[int]) -> None: ...

    @task
    def two(_in: int, out: SyncOut[int]) -> None: ...

    assert one.threaded
    assert two.threaded


def test_another_decorator_may_lie_between():
    def logged(body: Any) -> Any:
        @functools.wraps(body)
        def wrapper(*args: Any) -> Any:
            return body(*args)

        return wrapper

    @task
    @logged
    async def wrapped(_in: int, out: Out[str]) -> None: ...

    assert not wrapped.threaded
    assert (wrapped.input_type, wrapped.output_type) == (int, str)


@pytest.mark.parametrize(
    ("class_name", "name"),
    [
        ("Counter", "counter"),
        ("HTTPProbe", "http_probe"),
        ("NightlyReport2", "nightly_report2"),
        ("a_class", "a_class"),
    ],
)
def test_a_class_name_becomes_snake_case(class_name, name):
    async def call(self, _in: int, out: Out[int]) -> None: ...

    assert task(type(class_name, (), {"__call__": call})).name == name
