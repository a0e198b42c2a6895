"""/v1/instances: what is started is accounted for by one URI, from its first moment to its outcome and after."""

import pytest
import trio

from callsheet.instants import parse_instant

NEVER = "/v1/instances/0193a6e2-0000-7000-8000-000000000000"


# Starting


async def test_a_start_is_answered_with_the_uri_of_the_instance(api):
    body = {"task": "say", "input": {"text": "hello", "times": 2}, "timeout": "1m", "tags": ["b", "a", "b"]}
    response = await api.post("/v1/instances", json=body)

    assert response.status_code == 202
    uri = response.headers["Location"]
    assert response.json() == {"id": uri.rpartition("/")[2], "uri": uri, "task": "say"}
    run = await api.over(uri)
    wanted = {
        **response.json(),
        "schedule": None,
        "cause": "manual",
        "running": False,
        "state": "succeeded",
        "outcome": "succeeded",
        "attempt": 1,
        "node": "n1",
        "input": {"text": "hello", "times": 2},
        "tags": ["b", "a"],
        "timeout": 60,
        "due_at": None,
        "outputs": ["hello", "hello"],
        "error": None,
        "cancel": None,
        "stuck": False,
    }
    assert run | wanted == run
    times = [parse_instant(run[name]) for name in ("queued_at", "started_at", "finished_at")]
    assert times == sorted(times)


async def test_an_input_may_be_left_out_where_its_defaults_will_do(api):
    assert (await api.over(await api.start("counter")))["input"] == {"by": 1}
    assert (await api.over(await api.start("quick")))["input"] is None
    assert (await api.over(await api.start("quick", input=None, timeout=None)))["input"] is None
    assert await api.wrong(api.post("/v1/instances", json={"task": "say"})) == ["#/input/text"]
    assert await api.wrong(api.post("/v1/instances", json={"task": "say", "input": None})) == ["#/input"]


async def test_a_task_that_is_not_there_is_not_found(api):
    body = api.problem(await api.post("/v1/instances", json={"task": "nope", "more": 1}), 404)
    assert "'nope'" in body["detail"]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, {"#/task"}),
        ({"task": None}, {"#/task"}),
        ({"task": ["quick"]}, {"#/task"}),
        ({"task": 5, "timeout": -1, "tags": "x", "more": 1}, {"#/task", "#/timeout", "#/tags", "#/more"}),
        ({"task": "quick", "input": {}}, {"#/input"}),
        ({"task": "quick", "tags": [""] * 2}, {"#/tags"}),
        ({"task": "quick", "tags": [f"t{n}" for n in range(21)]}, {"#/tags"}),
        ({"task": "quick", "timeout": 0}, {"#/timeout"}),
        ({"task": "say", "input": {"text": 1, "times": 0}}, {"#/input/text", "#/input/times"}),
        ({"task": "say", "input": {"text": "x", "a~b/c": 1}}, {"#/input/a~0b~1c"}),
        ({"task": "say", "input": []}, {"#/input"}),
    ],
)  # fmt: skip
async def test_a_start_that_is_wrong_starts_nothing(api, body, pointers):
    assert set(await api.wrong(api.post("/v1/instances", json=body))) == pointers
    assert (await api.get("/v1/instances")).json()["items"] == []


async def test_a_class_task_keeps_its_state_from_run_to_run(api):
    runs = [await api.start("tally") for _ in range(5)]
    assert [(await api.over(run))["outputs"] for run in runs] == [[1], [2], [3], [4], [5]]


# The three answers


async def test_an_instance_runs_or_is_over_or_never_was(api_on_each):
    api = api_on_each
    uri = await api.start("sleeper")
    running = await api.until(uri, lambda found: found["progress"])
    assert (running["running"], running["state"], running["outcome"]) == (True, "running", None)
    assert running["progress"] == {"done": 1, "total": 4, "note": "asleep"}
    assert running["finished_at"] is None

    await api.post(f"{uri}/cancel")
    over = await api.over(uri)
    assert (over["running"], over["state"], over["outcome"]) == (False, "cancelled", "cancelled")
    api.problem(await api.get(NEVER), 404)


async def test_the_letters_of_an_id_may_be_of_either_case(api):
    uri = await api.start("quick")
    assert (await api.get(f"/v1/instances/{uri.rpartition('/')[2].upper()}")).json()["uri"] == uri


@pytest.mark.parametrize("name", ["x", "0193a6e2", "0193a6e2000070008000000000000000", "%00", "%F0%9F%98%80", "cancel"])
async def test_what_is_no_id_never_existed(api, name):
    path = f"/v1/instances/{name}"
    reads = [api.get(path), api.get(f"{path}/outputs"), api.get(f"{path}/log"), api.get(f"{path}/stack")]
    for request in [*reads, api.post(f"{path}/cancel"), api.post(f"{path}/rerun")]:
        api.problem(await request, 404)


async def test_a_failure_is_told_with_its_message_and_where_it_arose(api):
    over = await api.over(await api.start("failing"))

    assert over["outcome"] == "failed"
    assert (over["error"]["type"], over["error"]["message"]) == ("ValueError", "on purpose")
    assert over["error"]["traceback"].endswith("ValueError: on purpose\n")


async def test_a_run_that_outlasts_its_timeout_has_timed_out(api):
    over = await api.over(await api.start("sleeper", timeout="20ms"))
    assert (over["outcome"], over["timeout"], over["error"]["type"]) == ("timed_out", 0.02, "TimedOut")


# Cancelling


async def test_a_cancelled_instance_tells_who_and_why(api):
    uri = await api.start("sleeper")
    response = await api.post(f"{uri}/cancel", json={"reason": "enough"})

    assert response.status_code == 202
    assert response.json()["uri"] == uri
    cancel = (await api.over(uri))["cancel"]
    assert cancel == {"requested_at": cancel["requested_at"], "by": "api", "reason": "enough"}
    assert parse_instant(cancel["requested_at"])


async def test_cancelling_what_is_over_changes_nothing(api):
    uri = await api.start("quick")
    before = await api.over(uri)
    response = await api.post(f"{uri}/cancel", json={"reason": "too late"})

    assert response.status_code == 200
    assert response.json() == before


async def test_what_waits_is_cancelled_without_ever_running(api):
    held = [await api.start("held") for _ in range(2)]
    waiting = (await api.get(held[1])).json()
    assert (waiting["state"], waiting["running"], waiting["started_at"]) == ("queued", False, None)

    response = await api.post(f"{held[1]}/cancel", json={})
    assert (response.status_code, response.json()["outcome"]) == (202, "cancelled")
    assert response.json()["started_at"] is None
    assert (await api.get(held[0])).json()["running"] is True


async def test_a_reason_is_a_short_text_or_null(api):
    uri = await api.start("sleeper")
    for reason in (5, [], "x" * 501):
        assert await api.wrong(api.post(f"{uri}/cancel", json={"reason": reason, "more": 1})) == ["#/reason", "#/more"]
    assert (await api.get(uri)).json()["running"] is True
    assert (await api.post(f"{uri}/cancel", json={"reason": None})).status_code == 202
    api.problem(await api.post(f"{NEVER}/cancel"), 404)


async def test_all_that_match_are_cancelled_at_once(api):
    tagged = [await api.start("sleeper", tags=["x"]) for _ in range(3)]
    other = await api.start("sleeper")
    response = await api.post("/v1/instances/cancel", json={"tag": "x", "task": "sleeper", "reason": "cleared"})

    assert (response.status_code, response.json()) == (202, {"count": 3})
    assert [(await api.over(uri))["cancel"]["reason"] for uri in tagged] == ["cleared"] * 3
    assert (await api.get(other)).json()["running"] is True
    assert (await api.post("/v1/instances/cancel", json={"schedule": "none"})).json() == {"count": 0}
    assert await api.wrong(api.post("/v1/instances/cancel", json={"reason": "all"})) == ["#"]
    wrong = {"task": None, "tag": 5, "more": 1}
    assert await api.wrong(api.post("/v1/instances/cancel", json=wrong)) == ["#/task", "#/tag", "#/more"]


# Running again


async def test_a_rerun_has_the_same_task_and_input_and_an_id_of_its_own(api):
    first = await api.over(await api.start("say", input={"text": "again"}, tags=["t"], timeout=9))
    response = await api.post(f"{first['uri']}/rerun")

    assert response.status_code == 202
    second = await api.over(response.headers["Location"])
    assert second["id"] != first["id"]
    same = ("task", "input", "tags", "timeout", "outputs", "outcome")
    assert [second[name] for name in same] == [first[name] for name in same]
    assert second["cause"] == "rerun"
    api.problem(await api.post(f"{NEVER}/rerun"), 404)
    assert await api.wrong(api.post(f"{first['uri']}/rerun", json={"input": 1})) == ["#/input"]


# What it says


async def test_outputs_come_in_order_and_in_pages(api):
    over = await api.over(await api.start("say", input={"text": "x", "times": 120}))
    items = await api.walk(f"{over['uri']}/outputs", limit=50)

    assert [(item["seq"], item["value"]) for item in items] == [(seq, "x") for seq in range(120)]
    assert all(parse_instant(item["at"]) for item in items)
    assert over["outputs"] == ["x"] * 50  # the first ones; the others have their own pages
    api.problem(await api.get(f"{NEVER}/outputs"), 404)


async def test_print_logging_and_the_log_of_out_come_together(api):
    over = await api.over(await api.start("chatty"))
    page = (await api.get(f"{over['uri']}/log")).json()

    said = [(item["level"], item["text"], item["fields"]) for item in page["items"]]
    assert said == [
        ("info", "first", {"colour": "red"}),
        ("print", "second", {}),
        ("warning", "chatty: third", {}),
    ]
    assert page["next"] is None
    api.problem(await api.get(f"{NEVER}/log"), 404)


async def test_what_runs_tells_where_it_stands(api):
    uri = await api.start("sleeper")
    stack = await api.until(f"{uri}/stack", lambda stack: len(stack["frames"]) > 1)

    assert stack["running"] is True
    assert stack["frames"][0].endswith("in sleeper")
    assert "sleep_forever" in stack["frames"][1]
    await api.post(f"{uri}/cancel")
    await api.over(uri)
    assert (await api.get(f"{uri}/stack")).json() == {"running": False, "frames": []}
    api.problem(await api.get(f"{NEVER}/stack"), 404)


# Many at once


async def test_ten_thousand_start_in_one_request(api):
    items = [{"task": "say", "input": {"text": str(number)}} for number in range(10_000)]
    response = await api.post("/v1/instances/batch", json={"items": items})

    assert response.status_code == 202
    started = response.json()["items"]
    assert started == [{"id": item["id"], "uri": f"/v1/instances/{item['id']}"} for item in started]
    ids = [item["id"] for item in started]
    assert ids == sorted(set(ids))
    assert len(ids) == 10_000
    with trio.fail_after(30):
        while (await api.get("/v1/stats")).json()["outcomes"]["succeeded"] < 10_000:
            await trio.sleep(0.05)
    assert (await api.get(started[9_999]["uri"])).json()["outputs"] == ["9999"]


async def test_one_wrong_item_in_ten_thousand_starts_none(api_on_each):
    api = api_on_each
    items = [{"task": "quick"}] * 9_997 + [{"task": "nope"}, {"task": "say", "input": {"text": 5}}, 7]
    response = api.post("/v1/instances/batch", json={"items": items})

    assert await api.wrong(response) == ["#/items/9997/task", "#/items/9998/input/text", "#/items/9999"]
    assert (await api.get("/v1/instances")).json()["items"] == []


async def test_an_item_of_a_batch_may_have_all_that_a_start_may_have(api):
    items = [{"task": "quick", "tags": ["x"], "timeout": "3s"}, {"task": "counter"}]
    started = (await api.post("/v1/instances/batch", json={"items": items})).json()["items"]
    first, second = [await api.over(item["uri"]) for item in started]
    assert (first["tags"], first["timeout"], second["outputs"]) == (["x"], 3, [1])


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["#/items"]),
        ({"items": []}, ["#/items"]),
        ({"items": None}, ["#/items"]),
        ({"items": {}}, ["#/items"]),
        ({"items": [{"task": "quick"}] * 10_001}, ["#/items"]),
        ({"items": [{}], "more": 1}, ["#/items/0/task", "#/more"]),
        ({"items": [{"task": "quick", "a/b": 1}, None]}, ["#/items/0/a~1b", "#/items/1"]),
        ({"items": [[]] * 10_000}, [f"#/items/{index}" for index in range(100)]),
    ],
)
async def test_a_batch_that_is_wrong_starts_nothing(api, body, pointers):
    assert await api.wrong(api.post("/v1/instances/batch", json=body)) == pointers
    assert (await api.get("/v1/instances")).json()["items"] == []
