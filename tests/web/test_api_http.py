"""The manners of the API: methods, paths, bodies and problems, whatever a client may send."""

import json

import pytest

EVERY = {"task": "quick", "trigger": {"every": "10s"}}
A = "/v1/schedules/a"
RUN = "/v1/instances/0193a6e2-0000-7000-8000-000000000000"
METHODS = {
    "/v1/schedules": {"GET", "POST"},
    A: {"GET", "PUT", "PATCH", "DELETE"},
    f"{A}/pause": {"POST"},
    f"{A}/resume": {"POST"},
    f"{A}/trigger": {"POST"},
    f"{A}/ledger": {"GET"},
    f"{A}/upcoming": {"GET"},
    "/v1/upcoming": {"GET"},
    "/v1/instances": {"GET", "POST"},
    RUN: {"GET"},
    f"{RUN}/cancel": {"POST"},
    f"{RUN}/rerun": {"POST"},
    f"{RUN}/outputs": {"GET"},
    f"{RUN}/log": {"GET"},
    f"{RUN}/stack": {"GET"},
    "/v1/tasks": {"GET"},
    "/v1/tasks/quick": {"GET"},
    "/v1/nodes": {"GET"},
    "/v1/stats": {"GET"},
    "/livez": {"GET"},
    "/readyz": {"GET"},
}
BODIES = (
    ("PUT", A), ("PATCH", A), ("POST", "/v1/schedules"), ("POST", "/v1/schedules/preview"), ("POST", f"{A}/pause"),
    ("POST", f"{A}/resume"), ("POST", f"{A}/trigger"), ("POST", "/v1/instances"), ("POST", "/v1/instances/batch"),
    ("POST", "/v1/instances/cancel"), ("POST", f"{RUN}/cancel"), ("POST", f"{RUN}/rerun"),
)  # fmt: skip
JSON = {"Content-Type": "application/json"}
MIB = 1024 * 1024


def allowed(response):
    return set(response.headers["Allow"].split(", "))


# Methods


async def test_a_method_that_a_path_does_not_take_is_answered_with_those_it_takes(api):
    for path, methods in METHODS.items():
        takes = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
        for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"} - takes:
            response = await api.request(method, path)
            assert (response.status_code, allowed(response)) == (405, takes), path
        options = await api.options(path)
        assert (options.status_code, options.content, allowed(options)) == (200, b"", takes), path


async def test_head_tells_what_get_would_without_the_body(api):
    await api.put(A, json=EVERY)
    for path in (A, "/v1/schedules", "/v1/tasks", "/livez", RUN, "/nowhere"):
        get, head = await api.get(path), await api.head(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        for name in ("Content-Type", "ETag"):
            assert head.headers.get(name) == get.headers.get(name)


# Paths


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v2/schedules", "/v1/schedules/a/b/c", "/v1/instances/a%2Fb", "/v1/schedule", "/V1/schedules",
     "/v1/instances/%2e%2e/schedules", "/%00", "/%FF%FE", "/v1/\U0001f600", "/v1/x%2Fschedules", "/favicon.ico"],
)  # fmt: skip
async def test_where_there_is_nothing_a_problem_says_so(api, path):
    body = api.problem(await api.get(path), 404)
    assert body["detail"].startswith("There is nothing at this address; /v1/schedules")


async def test_a_slash_at_the_end_makes_no_difference(api):
    assert (await api.put(f"{A}/", json=EVERY)).status_code == 201
    for path in (A, "/v1/schedules", "/v1/tasks", f"{A}/ledger", "/livez"):
        assert (await api.get(f"{path}/")).json() == (await api.get(path)).json()


async def test_a_percent_sign_may_stand_for_any_character_of_a_path(api):
    assert (await api.put("/v1/schedules/%61%2Db", json=EVERY)).json()["id"] == "a-b"
    assert (await api.get("/v1/%73chedules/a-b")).status_code == 200


@pytest.mark.parametrize("path", ["/v1//schedules", "/v1/schedules//a", "//", "//evil.example/v1/schedules"])
async def test_doubled_slashes_lead_nowhere_else(api, path):
    answer = await api.send_raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 ")


# Problems


async def test_every_problem_has_the_shape_of_rfc_9457_and_an_id_of_its_own(api):
    await api.put(A, json=EVERY)
    requests = [
        (api.get(RUN), 404, "unknown"),
        (api.get("/nowhere"), 404, "no-such-page"),
        (api.delete("/v1/tasks"), 405, "method-not-allowed"),
        (api.post("/v1/schedules", json=EVERY | {"id": "a"}), 409, "conflict"),
        (api.delete(A, headers={"If-Match": '"9"'}), 412, "precondition-failed"),
        (api.put(A, json={}), 422, "validation"),
        (api.put(A, content=b"{", headers=JSON), 400, "bad-json"),
        (api.put(A, content=b"{}"), 415, "unsupported-media-type"),
        (api.put(A, content=b" " * (MIB + 1), headers=JSON), 413, "too-large"),
    ]
    ids = set()
    for request, status, kind in requests:
        response = await request
        body = api.problem(response, status)
        assert body["type"] == f"/problems/{kind}"
        assert body["instance"] == response.request.url.path
        assert all(isinstance(body[name], str) and body[name] for name in ("title", "detail"))
        ids.add(body["request_id"])
    assert len(ids) == len(requests)


async def test_a_fault_of_ours_is_a_problem_that_tells_nothing_of_the_inside(api, monkeypatch, caplog):
    def broken(*_, **__):
        raise RuntimeError("secret path /etc/x")

    monkeypatch.setattr("storage.queries.stats.stats", broken)
    response = await api.get("/v1/stats")
    body = api.problem(response, 500)
    assert "secret" not in response.text
    assert "secret" in caplog.text
    assert body["request_id"] in caplog.text
    assert (await api.get("/livez")).status_code == 200


# Bodies

NOT_JSON = {
    "empty": b"",
    "cut off": b'{"task": "quick"',
    "two documents": b"{} {}",
    "a comment": b"{} // x",
    "a trailing comma": b'{"task": "quick",}',
    "single quotes": b"{'task': 'quick'}",
    "NaN": b'{"task": NaN}',
    "Infinity": b'{"task": -Infinity}',
    "a number beyond double": b'{"task": 1e999}',
    "an integer beyond 2^53": b'{"task": 9007199254740993}',
    "a huge integer": b'{"task": ' + b"9" * 5000 + b"}",
    "the same key twice": b'{"task": "quick", "task": "sleeper"}',
    "the same key twice deep inside": b'{"task": "quick", "input": [{"a": 1, "\\u0061": 2}]}',
    "NUL": b'{"task": "qu\\u0000ick"}',
    "NUL in a key": b'{"ta\\u0000sk": "quick"}',
    "half a surrogate pair": b'{"task": "\\ud800"}',
    "the other half": b'{"task": "\\udc00x"}',
    "surrogates as bytes": b'{"task": "\xed\xa0\x80"}',
    "latin-1": b'{"task": "\xe9"}',
    "UTF-16": '{"task": "quick"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"task": "quick"}',
    "a control character": b'{"task": "a\nb"}',
    "33 levels": b'{"input": ' + b"[" * 32 + b"]" * 32 + b"}",
    "100,000 levels": b"[" * 100_000,
}


async def test_json_that_two_readers_could_read_differently_is_refused(api):
    for what, body in NOT_JSON.items():
        for method, path in (("POST", "/v1/instances"), ("PUT", A)):
            response = await api.request(method, path, content=body, headers=JSON)
            assert response.status_code == 400, what
            assert api.problem(response, 400)["detail"]
    assert (await api.get("/v1/instances")).json()["items"] == []


@pytest.mark.parametrize("document", [[], "text", 5, 1.5, True, None, [{"task": "quick"}]])
async def test_a_body_is_an_object(api, document):
    for method, path in BODIES:
        response = api.request(method, path, content=json.dumps(document), headers=JSON)
        assert await api.wrong(response) == ["#"], path


@pytest.mark.parametrize(
    "media_type",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json",
     "application/problem+json", "application/json; charset=latin-1", "application/json, text/plain", "*/*"],
)  # fmt: skip
async def test_only_json_is_taken(api, media_type):
    headers = {} if media_type is None else {"Content-Type": media_type}
    for method, path in BODIES:
        api.problem(await api.request(method, path, content=b"{}", headers=headers), 415)
    assert (await api.get("/v1/schedules")).json()["items"] == []


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
async def test_a_compressed_body_is_not_taken(api, encoding):
    api.problem(await api.put(A, content=b"{}", headers=JSON | {"Content-Encoding": encoding}), 415)


async def test_a_merge_patch_is_for_patching_only(api):
    headers = {"Content-Type": "application/merge-patch+json"}
    api.problem(await api.put(A, content=json.dumps(EVERY), headers=headers), 415)


@pytest.mark.parametrize("name", ["pause", "resume", "trigger"])
async def test_a_body_that_may_be_left_out_may_be_empty_in_any_way(api, name):
    await api.put(A, json=EVERY)
    start = f"POST {A}/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n".encode()
    plain = await api.send_raw(start + b"\r\n")
    zero = await api.send_raw(start + b"Content-Length: 0\r\n\r\n")
    for answer in (plain, zero):
        assert answer.split()[1] in (b"200", b"202", b"409"), answer


@pytest.mark.parametrize(
    ("path", "most", "start"),
    [
        ("/v1/instances", MIB, b'{"task": "quick"'),
        ("/v1/instances/batch", 16 * MIB, b'{"items": [{"task": "quick"}]'),
    ],
)
async def test_a_body_has_a_largest_size(api, path, most, start):
    largest = start + b" " * (most - len(start) - 1) + b"}"
    assert (await api.post(path, content=largest, headers=JSON)).status_code == 202
    api.problem(await api.post(path, content=largest + b" ", headers=JSON), 413)


SCRIPTS = (
    "ü", "日本語", "\U0001f469\u200d\U0001f4bb", "\u202eאב", "a" * 100, "\x7f", "\\", '"', "\u200b", "\t\n", "\uffff",
)  # fmt: skip


async def test_text_of_any_script_comes_back_as_it_was_sent(api_on_each):
    api = api_on_each
    for text in SCRIPTS:
        over = await api.over(await api.start("say", input={"text": text}))
        assert (over["input"]["text"], over["outputs"]) == (text, [text])


async def test_null_is_taken_where_it_is_shown_and_refused_elsewhere(api):
    fields = ("task", "input", "trigger", "overlap", "catch_up", "catch_up_window", "jitter", "timeout", "tags")
    wrong = await api.wrong(api.put(A, json=dict.fromkeys(fields)))
    assert set(wrong) == {f"#/{name}" for name in fields} - {"#/timeout", "#/input"}
    assert (await api.put(A, json=EVERY | {"timeout": None, "input": None})).status_code == 201
    trigger = dict.fromkeys(("cron", "timezone"))
    assert set(await api.wrong(api.put(A, json=EVERY | {"trigger": trigger}))) == {
        "#/trigger/cron",
        "#/trigger/timezone",
    }
    wrong = dict.fromkeys(("task", "input", "timeout", "tags"))
    assert set(await api.wrong(api.post("/v1/instances", json=wrong))) == {"#/task", "#/tags"}
