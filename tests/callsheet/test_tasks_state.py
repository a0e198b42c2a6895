import dataclasses
from typing import Any, ClassVar

import attrs
import pytest
from msgspec import Struct

from callsheet import Out, SyncOut, run, run_sync, task


class Step(Struct):
    by: int = 1


@task
class Basket:
    limit: ClassVar[int] = 3
    _secret: int = 0
    plain = 0
    items: list[str] = []  # noqa: RUF012
    last: str | None
    seen: dict[int, int] = {}  # noqa: RUF012

    async def __call__(self, _in: str, out: Out[int]) -> None:
        self.items.append(_in)
        self.last = _in
        self.seen[len(self.items)] = 1
        self._secret += 1
        self.plain += 1
        await out.send(self._secret + self.plain)


def test_annotated_attributes_persist_and_others_do_not():
    first = run_sync(Basket, "a")
    assert first.state == {"items": ["a"], "last": "a", "seen": {"1": 1}}
    second = run_sync(Basket, "b", state=first.state)
    assert second.state == {"items": ["a", "b"], "last": "b", "seen": {"1": 1, "2": 1}}
    assert second.outputs == [2]


def test_a_default_is_never_shared_between_runs():
    assert run_sync(Basket, "a").state == run_sync(Basket, "a").state
    assert Basket.body.items == []


def test_a_first_run_starts_from_the_defaults():
    assert Basket.stateful
    assert Basket.state_scope == "schedule"
    state = run_sync(Basket, "a", state={}).state
    assert state is not None
    assert state["items"] == ["a"]


async def test_state_is_canonical_json():
    async def performed(state: bytes) -> bytes | None:
        return await Basket.perform("x", Basket.out(Nowhere(), id=None), state)

    one = await performed(b'{"seen": {"5": 1, "3": 1}, "last": null, "items": []}')
    two = await performed(b'{"items": [], "seen": {"3": 1, "5": 1}}')
    assert one == two


class Nowhere:
    async def output(self, seq: int, raw: bytes) -> None: ...
    async def progress(self, done: float, total: float | None, note: str) -> None: ...
    async def log(self, level: str, text: str, fields: dict[str, object]) -> None: ...


def test_names_that_the_code_no_longer_knows_are_dropped():
    state = run_sync(Basket, "a", state={"old": 1, "last": "z"}).state
    assert state == {"items": ["a"], "last": "a", "seen": {"1": 1}}


@task(state="task")
class Fragile:
    value: int = 0
    extra: float | None = None

    async def __call__(self, _in: Any, out: Out[int]) -> None:
        self.value = 99
        if _in == "fail":
            raise ZeroDivisionError
        if _in == "delete":
            del self.value
            del type(self).value
        self.value, self.extra = (_in, None) if _in != "nan" else (1, float("nan"))


def test_a_shared_state_says_so():
    assert Fragile.state_scope == "task"


def test_a_run_that_fails_leaves_the_state_as_it_was():
    result = run_sync(Fragile, "fail", state={"value": 3})
    assert result.outcome == "failed"
    assert result.state == {"value": 3}
    assert run_sync(Fragile, "fail").state is None


@pytest.mark.parametrize(
    ("value", "sentence"),
    [("x", "/value must be an integer"), (1.5, "/value must"), ("nan", "NaN"), ([], "/value must")],
)
def test_a_state_of_a_wrong_type_fails_the_run(value, sentence):
    result = run_sync(Fragile, value, state={"value": 3})
    assert result.outcome == "failed"
    assert isinstance(result.error, TypeError)
    assert "Fragile: its state does not fit: " in str(result.error)
    assert sentence in str(result.error)
    assert result.state == {"value": 3}


async def test_a_saved_state_that_no_longer_fits_fails_the_run_and_stays():
    result = await run(Fragile, 1, state={"value": "many"})
    assert result.outcome == "failed"
    assert str(result.error) == ("Fragile: its saved state does not fit the code: /value must be an integer")
    assert result.state == {"value": "many"}


def test_a_class_without_annotated_attributes_keeps_nothing():
    @task
    class Plain:
        def __call__(self, _in: int, out: SyncOut[int]) -> int:
            return _in

    assert not Plain.stateful
    assert Plain.state_scope is None
    result = run_sync(Plain, 3)
    assert (result.outputs, result.state) == ([3], None)


def test_dataclasses_and_attrs_classes_can_be_tasks():
    @task
    @dataclasses.dataclass
    class Data:
        names: list[str] = dataclasses.field(default_factory=list)

        async def __call__(self, _in: str, out: Out[int]) -> None:
            self.names.append(_in)

    @task
    @attrs.define
    class Attrs:
        names: list[str] = attrs.Factory(list)

        async def __call__(self, _in: str, out: Out[int]) -> None:
            self.names.append(_in)

    for kind in (Data, Attrs):
        assert run_sync(kind, "b", state={"names": ["a"]}).state == {"names": ["a", "b"]}
        assert run_sync(kind, "b").state == {"names": ["b"]}


def test_state_is_inherited():
    class Base:
        value: int = 0

        async def __call__(self, _in: Step, out: Out[int]) -> None:
            self.value += _in.by

    @task
    class Child(Base):
        calls: int = 0

    assert run_sync(Child, Step(2)).state == {"value": 2, "calls": 0}


class NoDefault:
    value: int

    async def __call__(self, _in: int, out: Out[int]) -> None: ...


class WrongDefault:
    value: int = "x"

    async def __call__(self, _in: int, out: Out[int]) -> None: ...


class NoJson:
    value: object = None

    async def __call__(self, _in: int, out: Out[int]) -> None: ...


class Arguments:
    def __init__(self, value: int) -> None:
        self.value = value

    async def __call__(self, _in: int, out: Out[int]) -> None: ...


class WrongCall:
    async def __call__(self, x: int) -> None: ...


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (NoDefault, "NoDefault: its attribute value needs a default, as `value: int = …`"),
        (WrongDefault, "WrongDefault: its state does not fit: /value must be an integer"),
        (NoJson, "NoJson: its state has no JSON form: .*object"),
        (Arguments, r"Arguments: is made anew for each run, as `Arguments\(\)`, but that fails"),
        (WrongCall, r"WrongCall: a class task has .*got \(self, x: int\)"),
    ],
)
def test_a_class_that_cannot_keep_state_is_refused_at_import(cls, sentence):
    with pytest.raises(TypeError, match=sentence) as caught:
        task(cls)
    assert "\n" not in str(caught.value)
