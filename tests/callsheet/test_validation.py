from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from callsheet.errors import FieldError, Invalid
from callsheet.validation import MOST_ERRORS, check, pointer


class Every(Struct, tag="every", forbid_unknown_fields=True):
    seconds: Annotated[int, Meta(ge=1)]


class Cron(Struct, tag="cron", forbid_unknown_fields=True):
    expression: str


class Order(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, pattern="^[a-z]*$")]
    amounts: Annotated[list[int], Meta(max_length=2)]
    trigger: Every | Cron | None = None
    size: Literal["s", "m"] = "s"
    place: tuple[int, str] = (0, "")
    choice: int | list[str] | None = None
    at: Annotated[datetime, Meta(tz=True)] | None = None
    naive: datetime | None = None
    key: UUID | None = None
    labels: dict[Annotated[str, Meta(pattern="^a")], int] = {}
    numbers: dict[int, int] = {}
    unique: set[int] = set()
    share: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    even: Annotated[int, Meta(multiple_of=2, le=10)] = 0


class Picky(Struct):
    x: int

    def __post_init__(self) -> None:
        if self.x == 1:
            raise ValueError("one is too few")
        if self.x == 2:
            raise KeyError("two")


class Chain(Struct):
    next: "Chain | None" = None


GOOD = {"name": "a", "amounts": []}


def wrong(document: object, type_: Any = Order) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        check(document, type_)
    return {error.pointer: error.detail for error in caught.value.errors}


def test_a_good_document_becomes_the_typed_value():
    assert check({**GOOD, "trigger": {"type": "every", "seconds": 5}}, Order) == Order("a", [], Every(5))


def test_all_wrong_fields_are_told_at_once():
    document = {"name": "", "amounts": [1, "x", 3], "size": 1, "even": 12, "more": 1, "share": 1}
    assert wrong(document) == {
        "/name": "must have at least 1 character",
        "/amounts": "must have at most 2 items",
        "/amounts/1": "must be an integer",
        "/size": 'must be one of "m", "s"',
        "/even": "must be at most 10",
        "/more": "is not a known field",
        "/share": "must be below 1",
    }


def test_each_missing_field_is_told_with_its_own_pointer():
    assert wrong({}) == {"/name": "is required", "/amounts": "is required"}


@pytest.mark.parametrize(
    ("field", "value", "at", "detail"),
    [
        ("amounts", {}, "/amounts", "must be an array"),
        ("amounts", [1.0], "/amounts/0", "must be an integer"),
        ("amounts", [True], "/amounts/0", "must be an integer"),
        ("name", "A", "/name", "must match the pattern ^[a-z]*$"),
        ("share", 0, "/share", "must be above 0"),
        ("even", 3, "/even", "must be a multiple of 2"),
        ("place", [1, "a", 2], "/place", "must have at most 2 items"),
        ("place", [1], "/place", "must have at least 2 items"),
        ("choice", "x", "/choice", "must be an integer or an array or null"),
        ("choice", ["x", 1], "/choice/1", "must be a string"),
        ("at", "noon", "/at", "must be an RFC 3339 time, like 2027-08-08T17:35:00Z"),
        ("naive", "noon", "/naive", "must be an RFC 3339 time, like 2027-08-08T17:35:00Z"),
        ("key", "1", "/key", "must be a UUID"),
        ("labels", {"b": 1}, "/labels/b", "as a name must match the pattern ^a"),
        ("labels", {"a/~": "x"}, "/labels/a~1~0", "must be an integer"),
        ("numbers", {"x": 1}, "/numbers", "a name in it must be an integer, not a string"),
        ("unique", [1, 1, "x"], "/unique/2", "must be an integer"),
        ("trigger", 5, "/trigger", "must be an object (Every) or an object (Cron) or null"),
        ("trigger", {}, "/trigger/type", "is required"),
        ("trigger", {"type": "at"}, "/trigger/type", 'must be one of "every", "cron"'),
        ("trigger", {"type": []}, "/trigger/type", 'must be one of "every", "cron"'),
        ("trigger", {"type": "cron"}, "/trigger/expression", "is required"),
        (
            "trigger",
            {"type": "every", "seconds": 0},
            "/trigger/seconds",
            "must be at least 1",
        ),
    ],
)
def test_each_kind_of_mistake_has_its_place_and_its_sentence(field, value, at, detail):
    assert wrong({**GOOD, field: value})[at] == detail


def test_a_rule_that_json_schema_cannot_say_is_told_beside_the_others():
    assert wrong({**GOOD, "naive": "noon", "size": "x"}).keys() == {"/size", "/naive"}


def test_a_types_own_check_is_told_at_its_place():
    assert wrong([{"x": 0}, {"x": 1}], list[Picky]) == {"/1": "one is too few"}


def test_a_types_own_check_that_breaks_is_still_a_refusal():
    assert wrong({"x": 2}, Picky) == {"": "is not accepted: KeyError: 'two'"}


def test_a_document_that_is_wrong_as_a_whole_is_told_at_the_root():
    assert wrong(5) == {"": "must be an object"}
    assert wrong(1, None) == {"": "must be null"}
    assert wrong(10**400, float) == {"": "must be a number that fits 64 bits"}


def test_nesting_without_end_is_refused():
    document: dict[str, Any] = {}
    for _ in range(100_000):
        document = {"next": document}
    assert wrong(document, Chain) == {"": "is nested too deeply"}


def test_no_more_errors_are_listed_than_anyone_reads():
    assert len(wrong(["x"] * 1000, list[int])) == MOST_ERRORS


def test_many_missing_fields_do_not_hide_the_others():
    fields = [(f"f{number}", int) for number in range(60)]
    many = msgspec.defstruct("Many", [*fields, ("last", int)])
    assert len(wrong({"last": "x"}, many)) == 61


def test_of_a_very_large_document_the_first_error_is_told():
    assert wrong([1] * 30_000 + ["x"], list[int]) == {"/30000": "must be an integer, not a string"}


def test_a_property_may_be_called_like_a_keyword():
    odd = msgspec.defstruct("Odd", [("propertyNames", int), ("anyOf", str)])
    assert wrong({"propertyNames": "x", "anyOf": 1}, odd) == {
        "/propertyNames": "must be an integer",
        "/anyOf": "must be a string",
    }


def test_a_pointer_is_escaped_and_always_valid_unicode():
    assert pointer("a/b", 0, "~", "\ud800") == "/a~1b/0/~0/?"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=[]), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*Order.__struct_fields__, "type", "x", "seconds", "\ud800"]) | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)
near_orders = st.fixed_dictionaries(
    {"name": st.just("a"), "amounts": st.just([])},
    optional=dict.fromkeys(Order.__struct_fields__[2:], json_values),
)
types = st.sampled_from([Order, list[Order], dict[int, Every | Cron], Picky, int, float, None, set[int], bytes, UUID])


@given(json_values | near_orders, types)
def test_whatever_the_document_it_is_taken_or_refused_in_words(document, type_):
    try:
        check(document, type_)
    except Invalid as refusal:
        told = [(error.pointer, error.detail) for error in refusal.errors]
        msgspec.json.encode(told)
        assert told
        assert all(detail for _, detail in told)
        assert len(set(told)) == len(told)


def test_errors_can_be_seen_from_an_outer_document():
    with pytest.raises(Invalid) as caught:
        check("x", int)
    assert caught.value.under("/input").errors == (FieldError("/input", "must be an integer"),)
