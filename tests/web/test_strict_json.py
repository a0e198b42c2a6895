"""What is read is what every other parser would read; everything else is one kind of refusal."""

import json
import sys
import time

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from quart import request
from quart_trio import QuartTrio

from callsheet.errors import CallsheetError
from web.strict_json import BadJSON, decode, read_json

LIMIT = 1000
TRAILING_COMMA = (
    "Expecting property name enclosed in double quotes at line 1, column 9."
    if sys.version_info < (3, 13)
    else "Illegal trailing comma before end of object at line 1, column 8."
)
JSON = {"Content-Type": "application/json"}

characters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
texts = st.text(characters)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts
)
documents = st.recursive(scalars, lambda children: st.lists(children) | st.dictionaries(texts, children))


@given(documents, st.booleans(), st.sampled_from([None, 2]))
def test_it_reads_what_the_standard_library_reads(document, ascii_only, indent):
    body = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode()

    assert decode(body) == document


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_nothing_but_a_refusal_comes_of_any_bytes(body):
    try:
        decode(body)
    except BadJSON as error:
        str(error).encode()


@given(st.lists(st.sampled_from([*'[]{}",:\\ue0d8-.19 ', "\\u0000", "\\ud800", "NaN", '"a":'])).map("".join))
def test_nothing_but_a_refusal_comes_of_what_looks_like_json(text):
    try:
        decode(text.encode())
    except BadJSON as error:
        str(error).encode()


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "The body is empty."),
        (b" \n ", "Expecting value at line 2, column 2."),
        (b"\xef\xbb\xbf{}", "The body begins with a byte order mark."),
        (b'{"a": "\xff"}', "Not UTF-8 at byte 7."),
        (b'"\xed\xa0\x80"', "Not UTF-8 at byte 1."),
        ('{"a": 1}'.encode("utf-16"), "Not UTF-8 at byte 0."),
        (b'{"a": 1}\n{}', "Extra data at line 2, column 1."),
        (b'{"a": 1,}', TRAILING_COMMA),
        (b'{"a": 1 "b"}', "Expecting ',' delimiter at line 1, column 9."),
        (b"{'a': 1}", "Expecting property name enclosed in double quotes at line 1, column 2."),
        (b'"abc', "Unterminated string starting at line 1, column 1."),
        (b'"a\nb"', "Invalid control character at line 1, column 3."),
        (b"[1, NaN]", "NaN is not a number in JSON."),
        (b"-Infinity", "-Infinity is not a number in JSON."),
        (b"1e999", "The number 1e999 is too large."),
        (b"-1E+400", "The number -1E+400 is too large."),
        (b"9007199254740993", "The integer 9007199254740993 is beyond ±2^53; send it as a string."),
        (b"-9007199254740993", "The integer -9007199254740993 is beyond ±2^53; send it as a string."),
        (b"1" * 5000, "The integer " + "1" * 57 + "... is beyond ±2^53; send it as a string."),
        (b"[01]", "Expecting ',' delimiter at line 1, column 3."),
        (b'{"a": {"b": 1, "c": 2, "b": 3}}', "The key 'b' comes twice in one object."),
        (rb'{"a": 1, "\u0061": 2}', "The key 'a' comes twice in one object."),
        (rb'{"a/b": ["ok", "no \u0000 here"]}', "The string at '/a~1b/1' holds a NUL."),
        (rb'"\ud800"', "The string at '' holds half of a surrogate pair."),
        (rb'["\udc00\ud800"]', "The string at '/0' holds half of a surrogate pair."),
        (rb'{"\uDfFf": 1}', r"The key '\udfff' holds half of a surrogate pair."),
        (rb'{"\u0000": 1}', r"The key '\x00' holds a NUL."),
        (b"[" * 33 + b"]" * 33, "Nested deeper than 32 levels."),
        (b'{"a":[' * 17 + b"]}" * 17, "Nested deeper than 32 levels."),
        (b"[" * 100_000, "Nested deeper than 32 levels."),
        (b'{"a":' * 100_000, "Nested deeper than 32 levels."),
    ],
)
def test_a_refusal_says_what_is_wrong_and_where(body, sentence):
    with pytest.raises(BadJSON) as refusal:
        decode(body)

    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("body", "document"),
    [
        (b"9007199254740992", 2**53),
        (b"-9007199254740992", -(2**53)),
        (b"1e308", 1e308),
        (b"-0", 0),
        (b"1e-999", 0.0),
        (rb'"\ud83d\ude00"', "\N{GRINNING FACE}"),
        (rb'"\\u0000 \\ud800"', r"\u0000 \ud800"),
        (b'{"a": {"x": 1}, "b": {"x": 2}}', {"a": {"x": 1}, "b": {"x": 2}}),
        (b"\t[ ]\r\n", []),
        (b'"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["', "[" * 36),
    ],
)
def test_what_is_only_unusual_is_read(body, document):
    assert decode(body) == document


def test_thirty_two_levels_are_read_and_many_brackets_are_no_depth():
    nested = decode(b"[" * 32 + b"]" * 32)
    assert json.dumps(nested) == "[" * 32 + "]" * 32
    assert decode(b"[" + b"[]," * 1000 + b"{}]") == [[]] * 1000 + [{}]


def test_the_depth_can_be_chosen():
    assert decode(b"[[1]]", max_depth=2) == [[1]]
    with pytest.raises(BadJSON, match="Nested deeper than 2 levels"):
        decode(b"[[[1]]]", max_depth=2)


def test_a_large_batch_is_read_in_no_time():
    items = [{"task": "sleep", "input": {"seconds": n % 7, "name": f"item {n}"}} for n in range(10_000)]
    body = json.dumps({"items": items}).encode()
    begun = time.process_time()
    document = decode(body)

    assert time.process_time() - begun < 2.0  # about 0.01 when nobody else is at work; a walk of all its parts, 9
    assert document == {"items": items}


# Requests


@pytest.fixture
def client():
    """A client of an app that says what it read, or the status and the sentence of the refusal."""
    app = QuartTrio("tiny")
    app.config.update(BODY_TIMEOUT=3, MAX_CONTENT_LENGTH=10 * LIMIT)

    @app.post("/")
    async def read():
        return {"read": await read_json(request, limit=LIMIT)}

    @app.patch("/")
    async def patch():
        return {"read": await read_json(request, limit=LIMIT, merge_patch=True)}

    @app.post("/small")
    async def small():
        return {"read": await read_json(request, limit=100 * LIMIT)}

    @app.errorhandler(CallsheetError)
    async def refuse(error):
        return str(error), error.status

    return app.test_client()


async def test_a_json_body_is_read(client):
    answer = await client.post("/", data=b'{"a": [1]}', headers=JSON)

    assert await answer.get_json() == {"read": {"a": [1]}}


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "Application/JSON"},
        {"Content-Type": "application/json; charset=utf-8"},
        {"Content-Type": 'application/json;charset="UTF-8"'},
        {"Content-Type": "application/json", "Content-Encoding": "identity"},
    ],
)
async def test_json_may_be_announced_in_several_ways(client, headers):
    answer = await client.post("/", data=b"1", headers=headers)

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/jsonx"},
        {"Content-Type": "application/merge-patch+json"},
        {"Content-Type": "application/json, text/plain"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json; version=1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        [("Content-Type", "application/json"), ("Content-Type", "text/plain")],
        [("Content-Type", "application/json"), ("Content-Encoding", "identity"), ("Content-Encoding", "br")],
    ],
)
async def test_what_is_not_announced_as_plain_json_is_415(client, headers):
    answer = await client.post("/", data=b"1", headers=headers)

    assert answer.status_code == 415


async def test_a_merge_patch_is_read_where_one_is_expected(client):
    for kind in ("application/merge-patch+json", "application/json"):
        answer = await client.patch("/", data=b"1", headers={"Content-Type": kind})
        assert answer.status_code == 200


async def test_bad_json_is_400_and_says_why(client):
    answer = await client.post("/", data=b"{", headers=JSON)

    assert answer.status_code == 400
    assert await answer.get_data() == b"Expecting property name enclosed in double quotes at line 1, column 2."


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_over_the_limit_is_413(client, announced):
    length = {"Content-Length": str(LIMIT + 1)} if announced else {}
    async with client.request("/", method="POST", headers=JSON | length) as sending:
        with trio.fail_after(5):
            for _ in range(5):
                await sending.send(b" " * (LIMIT // 4))
            await sending.send(b" ")
            await sending.send_complete()
        answer = await sending.as_response()

    assert answer.status_code == 413
    assert await answer.get_data() == b"The body may be 1,000 bytes long, and no longer."


async def test_a_body_at_the_limit_is_read(client):
    answer = await client.post("/", data=b"1".ljust(LIMIT), headers=JSON)

    assert answer.status_code == 200


async def test_the_limit_of_the_app_is_413_too(client):
    answer = await client.post("/small", data=b"1".ljust(11 * LIMIT), headers=JSON)

    assert answer.status_code == 413
    assert await answer.get_data() == b"The body may be 10,000 bytes long, and no longer."


async def test_a_body_that_stalls_is_408(client, autojump_clock):
    async with client.request("/", method="POST", headers=JSON) as sending:
        await sending.send(b"{")
        answer = await sending.as_response()

    assert answer.status_code == 408
    assert await answer.get_data() == b"The whole body must come within 3 seconds."
