from typing import Annotated

import msgspec
import pytest

from callsheet import Out, task
from callsheet.definition import Definition, check_slug, check_tags, define, document_of, merge_patch
from callsheet.errors import Invalid
from callsheet.instants import DAY, HOUR, MINUTE, SECOND, parse_instant
from callsheet.tasks import Registry
from callsheet.timetable import At, Cron, Every

NOW = parse_instant("2026-03-01T00:00:00Z")


class Get(msgspec.Struct, forbid_unknown_fields=True):
    url: Annotated[str, msgspec.Meta(min_length=1)]
    tries: int = 1


class Options(msgspec.Struct):
    loud: bool = False


@task
async def get(_in: Get, out: Out[None]) -> None: ...


@task
async def greet(_in: Options, out: Out[None]) -> None: ...


@task
async def noop(_in: None, out: Out[None]) -> None: ...


TASKS = Registry([get, greet, noop])
LEAST = {"task": "noop", "trigger": {"every": "1m"}}


def wrong(document: object, **options: object) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        define(document, TASKS, now=NOW, **options)
    return {error.pointer: error.detail for error in caught.value.errors}


def test_a_task_that_has_to_be_allowed_first_says_how_in_one_sentence():
    (detail,) = wrong({"task": "command", "trigger": {"every": 1}}).values()

    assert detail == (
        "there is no task 'command'; it runs programs: start the service with --allow-commands "
        "(CALLSHEET_ALLOW_COMMANDS) to have it"
    )


def test_what_is_not_given_has_its_default():
    assert define(LEAST, TASKS, now=NOW) == Definition("noop", b"null", Every(MINUTE, NOW))


def test_everything_that_is_given_is_kept():
    document = {
        "task": "get",
        "input": {"url": "x"},
        "trigger": {"cron": "0 2 * * *", "timezone": "Europe/Berlin"},
        "overlap": "allow",
        "catch_up": "none",
        "catch_up_window": "2h",
        "jitter": 30,
        "timeout": "20s",
        "tags": ["b", "a", "b"],
        "starts_at": "2027-01-01T00:00:00Z",
        "ends_at": "2027-06-01T00:00:00Z",
        "max_runs": 5,
        "run_on_create": True,
        "keep_for": "90d",
        "keep_last": 10,
    }
    definition = define(document, TASKS, now=NOW)
    assert definition == Definition(
        "get", b'{"url":"x","tries":1}', Cron("0 2 * * *", "Europe/Berlin"), "allow", "none", 2 * HOUR,
        30 * SECOND, 20 * SECOND, ("b", "a"), parse_instant("2027-01-01T00:00:00Z"),
        parse_instant("2027-06-01T00:00:00Z"), 5, True, 90 * DAY, 10,
    )  # fmt: skip
    shown = document_of(definition)
    del document["input"]
    read_back = {"catch_up_window": 7200, "timeout": 20, "tags": ["b", "a"], "keep_for": 90 * 86_400}
    assert shown == document | read_back
    assert define(shown | {"input": {"url": "x"}}, TASKS, now=NOW) == definition


def test_all_wrong_fields_are_named_at_once():
    document = {
        "task": "get",
        "input": {"url": "", "colour": "red"},
        "trigger": {"cron": "61 * * * *", "timezone": "Mars/Base"},
        "overlap": "maybe",
        "catch_up": 1,
        "catch_up_window": -1,
        "jitter": "x",
        "timeout": 0,
        "tags": ["no spaces"],
        "colour": "red",
        "a/b~c": 1,
    }
    assert set(wrong(document)) == {
        "/input/url",
        "/input/colour",
        "/trigger/cron",
        "/trigger/timezone",
        "/overlap",
        "/catch_up",
        "/catch_up_window",
        "/jitter",
        "/timeout",
        "/tags",
        "/colour",
        "/a~1b~0c",
    }


@pytest.mark.parametrize("document", [None, [], "x", 1, True])
def test_a_document_must_be_an_object(document):
    assert wrong(document) == {"": "must be an object"}


def test_task_and_trigger_are_required():
    assert wrong({}) == {"/task": "is required", "/trigger": "is required"}


@pytest.mark.parametrize("name", ["nobody", None, 1, [], {}])
def test_a_task_that_does_not_exist_is_named(name):
    assert "there is no task" in wrong(LEAST | {"task": name})["/task"]


@pytest.mark.parametrize("trigger", [None, [], "1m", {}, {"every": "1m", "cron": "* * * * *"}, {"every": "0.5s"}])
def test_a_trigger_that_is_none_is_refused(trigger):
    assert any(pointer.startswith("/trigger") for pointer in wrong(LEAST | {"trigger": trigger}))


def test_an_input_that_is_not_given_is_an_empty_object_or_null_as_the_task_has_it():
    assert define(LEAST | {"task": "greet"}, TASKS, now=NOW).input == b'{"loud":false}'
    assert define(LEAST | {"input": None}, TASKS, now=NOW).input == b"null"
    assert set(wrong(LEAST | {"task": "get"})) == {"/input/url"}
    assert set(wrong(LEAST | {"task": "greet", "input": None})) == {"/input"}


def test_an_instant_that_has_passed_is_refused_unless_it_stood_before():
    document = LEAST | {"trigger": {"at": "2026-03-01T00:00:00Z"}}
    assert wrong(document)["/trigger/at"] == "has passed: it is 2026-03-01T00:00:00Z now"
    before = define(document, TASKS, now=NOW - 1)
    assert define(document | {"jitter": 1}, TASKS, now=NOW + HOUR, before=before).trigger == At(NOW)
    other = LEAST | {"trigger": {"at": "2026-02-28T00:00:00Z"}}
    assert "/trigger/at" in wrong(other, before=before)


def test_an_interval_keeps_its_anchor_until_it_changes_or_a_new_one_is_given():
    before = define(LEAST, TASKS, now=NOW)
    later = NOW + 90 * SECOND

    def trigger(**changed: str) -> object:
        return define(LEAST | {"trigger": changed}, TASKS, now=later, before=before).trigger

    assert trigger(every="60s") == Every(MINUTE, NOW)
    assert trigger(every="2m") == Every(2 * MINUTE, later)
    assert trigger(every="1m", anchor="2026-03-01T00:00:07Z") == Every(MINUTE, NOW + 7 * SECOND)


@pytest.mark.parametrize("slug", ["a", "nightly-probe", "A.b_c-9", "7", "x" * 128])
def test_a_slug_is_fit_for_a_path(slug):
    assert check_slug(slug) == slug


@pytest.mark.parametrize("slug", ["", ".", "-a", "a b", "a/b", "ä", "x" * 129, "a\n", "a%2F"])
def test_what_is_not_fit_for_a_path_is_no_slug(slug):
    with pytest.raises(Invalid) as caught:
        check_slug(slug)
    assert [error.pointer for error in caught.value.errors] == ["/id"]


@pytest.mark.parametrize("tags", [None, "a", {"a": 1}, [1], [""], ["-a"], ["a" * 65], ["a\n"], [None], ["a"] * 21])
def test_bad_tags_are_refused(tags):
    with pytest.raises(ValueError, match="tag"):
        check_tags(tags)


def test_tags_are_kept_in_order_and_each_once():
    assert check_tags(["b", "a", "b", "team:x/y"]) == ("b", "a", "team:x/y")
    assert check_tags([]) == ()


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [  # the cases of RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_follows_its_rfc_and_changes_neither_argument(target, patch, merged):
    before = msgspec.json.encode([target, patch])
    assert merge_patch(target, patch) == merged
    assert msgspec.json.encode([target, patch]) == before
