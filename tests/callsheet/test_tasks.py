"""The definition: names, options, types in and out."""

import dataclasses
import enum
import os
import subprocess
import sys
from typing import Annotated, Any, TypedDict

import attrs
import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from callsheet import Out, Retry, SyncOut, Task, run_sync, task
from callsheet.errors import Invalid


class Step(Struct, forbid_unknown_fields=True):
    by: Annotated[int, Meta(ge=0)]
    times: int = 1
    note: str | None = None


class Reply(Struct):
    status: int
    seconds: float


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


@attrs.define
class Box:
    width: int = attrs.field(validator=attrs.validators.ge(0))


class Row(TypedDict):
    key: str


class Colour(enum.Enum):
    RED = "red"


@task
async def probe(_in: Step, out: Out[Reply]) -> None:
    """Look at one thing.

    And tell.
    """
    await out.send(Reply(200, 0.5))


def taking(type_: Any, sends: Any = None) -> Task[Any, Any]:
    async def body(_in: type_, out: Out[sends]) -> None: ...

    return task(body)


# --- what a task is ---


def test_a_task_tells_what_it_is():
    assert isinstance(probe, Task)
    assert probe.name == "probe"
    assert probe.doc == "Look at one thing.\n\nAnd tell."
    assert probe.origin == f"{__name__}:probe"
    assert (probe.input_type, probe.output_type) == (Step, Reply)
    assert "probe" in repr(probe)


def test_policies_that_are_left_out_bound_nothing():
    assert (probe.timeout, probe.retries, probe.max_running) == (None, None, None)
    assert (probe.idempotent, probe.threaded, probe.stateful) == (False, False, False)
    assert probe.state_scope is None
    assert (probe.max_outputs, probe.max_log_bytes) == (10_000, 2**20)


def test_policies_are_kept_in_microseconds():
    @task(name="x.y-1", timeout="1m30s", retries=2, idempotent=True, max_running=3, max_outputs=5)
    async def named(_in: None, out: Out[int]) -> None: ...

    assert named.name == "x.y-1"
    assert named.timeout == 90_000_000
    assert named.retries == Retry(2)
    assert (named.idempotent, named.max_running, named.max_outputs) == (True, 3, 5)


def test_the_body_can_be_called_as_if_it_were_not_decorated():
    @task
    def double(_in: int, out: SyncOut[int]) -> int:
        return 2 * _in

    @task
    class Twice:
        value: int = 0

        def __call__(self, _in: int, out: SyncOut[int]) -> int:
            return 2 * _in

    assert double(4, None) == 8
    assert Twice()(4, None) == 8
    assert isinstance(Twice(), Twice.body)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"timeout": "soon"}, "timeout must be a duration"),
        ({"timeout": 0}, "timeout must be above 0"),
        ({"retries": -1}, "retries must be a whole number from 0"),
        ({"retries": True}, "retries must be a whole number from 0"),
        ({"max_running": 0}, "max_running must be a whole number of at least 1"),
        ({"max_outputs": 0}, "max_outputs must be a whole number of at least 1"),
        ({"max_log_bytes": -1}, "max_log_bytes must be a whole number of at least 0"),
        ({"name": "a/b"}, "'a/b' is not a good name"),
        ({"name": ""}, "'' is not a good name"),
        ({"name": "a" * 101}, "is not a good name"),
        ({"state": "task"}, "state='task' is for a class"),
        ({"state": "node"}, 'state must be "schedule" or "task"'),
        ({"isolate": "thread"}, "isolate must be \"process\", got 'thread'"),
    ],
)
def test_a_wrong_option_fails_at_import_in_one_sentence(options, sentence):
    async def body(_in: None, out: Out[None]) -> None: ...

    with pytest.raises(ValueError, match=sentence) as caught:
        task(**options)(body)
    assert "\n" not in str(caught.value)


# --- input ---


def test_an_input_becomes_canonical_json_with_its_defaults():
    assert probe.check_input({"by": 2}) == b'{"by":2,"times":1,"note":null}'
    assert probe.decode_input(b'{"by":2}') == Step(2)


def test_the_same_input_is_the_same_json_whatever_its_order():
    free = taking(dict[str, Any])
    assert free.check_input({"b": 1, "a": 2}) == free.check_input({"a": 2, "b": 1})


def test_an_input_that_does_not_fit_is_refused_with_all_its_errors():
    with pytest.raises(Invalid) as caught:
        probe.check_input({"by": -1, "times": "x", "more": 1})
    assert {error.pointer for error in caught.value.errors} == {"/by", "/times", "/more"}


@pytest.mark.parametrize(
    ("document", "at"),
    [
        ({"a": [1, float("nan")]}, "/a/1"),
        ({"a": {"b": float("-inf")}}, "/a/b"),
        ({"a": "\ud800"}, "/a"),
        ({"\ud800": 1}, "/?"),
        pytest.param({"a": 10**5000}, "", id="too many digits"),
    ],
)
def test_an_input_that_is_not_json_is_refused_at_its_place(document, at):
    with pytest.raises(Invalid) as caught:
        taking(dict[str, Any]).check_input(document)
    assert [error.pointer for error in caught.value.errors] == [at]


def test_an_input_that_is_nested_without_end_is_refused():
    document: list[Any] = []
    for _ in range(100_000):
        document = [document]
    with pytest.raises(Invalid):
        taking(Any).check_input(document)
    with pytest.raises(Invalid, match="must be an object"):
        taking(Step).check_input(document)


@pytest.mark.parametrize("raw", [b"", b"{", b'"\xff"', b"[" * 100_000, b'{"by":"x"}', b"[]"])
def test_a_stored_input_that_cannot_be_read_is_invalid(raw):
    with pytest.raises(Invalid):
        probe.decode_input(raw)


def test_a_task_may_take_nothing():
    assert taking(None).check_input(None) == b"null"
    with pytest.raises(Invalid, match="must be null"):
        taking(None).check_input({})


@pytest.mark.parametrize(
    ("type_", "document", "value"),
    [
        (Point, {"x": 1}, Point(1)),
        (Box, {"width": 1}, Box(1)),
        (Row, {"key": "k"}, {"key": "k"}),
        (Colour, "red", Colour.RED),
        (dict[int, int], {"1": 2}, {1: 2}),
        (list[Step], [{"by": 1}], [Step(1)]),
        (tuple[int, str], [1, "a"], (1, "a")),
        (float, 1, 1.0),
    ],
)
def test_types_of_many_kinds_go_in_and_out(type_, document, value):
    both = taking(type_, type_)
    assert both.decode_input(both.check_input(document)) == value
    assert both.decode_output(both.encode_output(value)) == value


def test_an_attrs_validator_has_its_say():
    with pytest.raises(Invalid, match="'width' must be >= 0"):
        taking(Box).check_input({"width": -1})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(json_values)
def test_an_accepted_input_can_always_be_read_back(document):
    free = taking(Any, Any)
    try:
        raw = free.check_input(document)
    except Invalid:
        return
    assert free.check_input(free.decode_input(raw)) == raw
    assert free.encode_output(document) == raw


# --- output ---


def test_an_output_is_stored_as_json():
    assert probe.encode_output(Reply(200, 0.5)) == b'{"status":200,"seconds":0.5}'
    assert taking(None, int).encode_output(7) == b"7"
    assert taking(None, None).encode_output(None) == b"null"


@pytest.mark.parametrize(
    ("type_", "value", "sentence"),
    [
        (int, "x", r"body: sent 'x', which does not fit Out\[int\]: must be an integer"),
        (int, True, r"sent True, .* Out\[int\]"),
        (int, None, r"sent None, .* Out\[int\]"),
        (Reply, {"status": "x"}, r"Out\[Reply\]: /status must be an integer; /seconds is required"),
        (list[Reply], 5, r"Out\[list\[Reply\]\]"),
        (float, float("nan"), "NaN and infinities are not JSON"),
        (float | None, float("inf"), "NaN and infinities are not JSON"),
        (Any, {"a": [1.0, float("nan")]}, "NaN and infinities are not JSON"),
        (Any, {1: float("nan")}, "NaN and infinities are not JSON"),
        (str, "\ud800", "lone surrogate"),
        (Any, ["\udfff"], "lone surrogate"),
        (Any, object(), "object is not a type that JSON knows"),
        pytest.param(Any, 10**5000, "has no JSON form", id="too many digits"),
        (str, "x" * 10_000, None),
    ],
)
def test_an_output_that_does_not_fit_says_what_was_sent_and_what_is_wanted(type_, value, sentence):
    sender = taking(None, type_)
    if sentence is None:
        assert len(sender.encode_output(value)) == 10_002
        return
    with pytest.raises(TypeError, match=sentence) as caught:
        sender.encode_output(value)
    assert len(str(caught.value)) < 400


def test_an_output_whose_repr_fails_is_still_refused_in_words():
    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    with pytest.raises(TypeError, match="sent <Shy"):
        taking(None, int).encode_output(Shy())


def test_children_of_builtin_types_count_as_what_they_are():
    class Name(str):
        __slots__ = ()

    class Count(int):
        pass

    assert taking(None, Any).encode_output({Name("a"): [Count(1), Name("b")]}) == b'{"a":[1,"b"]}'


def test_an_endless_output_is_refused():
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(TypeError, match="has no JSON form"):
        taking(None, Any).encode_output(endless)


# --- schemas ---


def test_schemas_stand_alone_and_hold_what_check_input_holds():
    schema = probe.input_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"by": 1}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"by": -1}, schema)
    assert probe.output_schema()["$defs"]["Reply"]["required"] == ["status", "seconds"]


def test_changing_a_schema_that_was_handed_out_changes_nothing():
    probe.input_schema().clear()
    assert probe.input_schema()


def test_the_fingerprint_follows_the_input_type():
    assert taking(Step).fingerprint == probe.fingerprint
    assert taking(tuple[int, str]).fingerprint != taking(tuple[str, int]).fingerprint
    assert taking(int).fingerprint != taking(int | None).fingerprint


def test_the_fingerprint_is_the_same_in_every_process():
    code = (
        "from callsheet import task, Out\n"
        "from typing import Literal\n"
        "import msgspec\n"
        "class In(msgspec.Struct):\n"
        "    a: Literal['x', 'y', 'z'] = 'x'\n"
        "    b: frozenset[str] = frozenset({'p', 'q', 'r', 's'})\n"
        "@task\n"
        "async def f(_in: In, out: Out[int]) -> None: ...\n"
        "print(f.fingerprint)\n"
    )
    prints = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(prints) == 1


def test_the_face_does_not_load_the_service():
    code = (
        "import sys, callsheet; assert 'trio' not in sys.modules; callsheet.task; "
        "heavy = {'quart', 'pony', 'hypercorn', 'pytest', 'pydantic'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert found.stdout.strip() == "[]"


def test_a_result_of_a_struct_is_the_struct_again():
    assert run_sync(probe, Step(1)).outputs == [Reply(200, 0.5)]
    assert msgspec.json.decode(probe.check_input({"by": 1}))["times"] == 1
