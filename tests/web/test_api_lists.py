"""Lists: every item once, in order, however the list grows meanwhile; and queries that are understood or refused."""

import base64

import pytest
import trio

EVERY = {"task": "quick", "trigger": {"every": "10s"}}
A = "/v1/schedules/a"
LISTS = ("/v1/instances", "/v1/schedules", f"{A}/ledger", "/v1/tasks", "/v1/nodes", "RUN/outputs", "RUN/log")
LIMITED = (*LISTS, f"{A}/upcoming", "/v1/upcoming")
PLAIN = (A, "RUN", "RUN/stack", "/v1/tasks/quick")
READS = (*LIMITED, *PLAIN, "/v1/stats")
CHANGES = (
    ("POST", "/v1/schedules"), ("PUT", A), ("PATCH", A), ("DELETE", A), ("POST", "/v1/schedules/preview"),
    ("POST", f"{A}/pause"), ("POST", f"{A}/resume"), ("POST", f"{A}/trigger"), ("POST", "/v1/instances"),
    ("POST", "/v1/instances/batch"), ("POST", "/v1/instances/cancel"), ("POST", "RUN/cancel"), ("POST", "RUN/rerun"),
)  # fmt: skip


@pytest.fixture
async def run(api):
    """The URI of an instance, next to a schedule `a`."""
    await api.put(A, json=EVERY)
    run = await api.start("say", input={"text": "x", "times": 3})
    await api.over(run)
    return run


# Pages


async def test_instances_are_walked_newest_first_while_new_ones_arrive(api_on_each):
    api = api_on_each
    old = [await api.start("quick") for _ in range(20)]
    stop = trio.Event()

    async def keep_starting():
        while not stop.is_set():
            await api.start("quick")

    async with trio.open_nursery() as nursery:
        first = (await api.get("/v1/instances", params={"limit": 3})).json()
        nursery.start_soon(keep_starting)
        rest = await api.walk("/v1/instances", limit=3, cursor=first["next"])
        stop.set()
    assert [item["uri"] for item in [*first["items"], *rest]] == old[::-1]


async def test_instances_of_several_states_are_merged_in_one_order(api):
    kinds = ["quick", "failing", "sleeper", "held"]
    uris = [await api.start(kinds[number % 4], tags=["x"]) for number in range(24)]
    counts = {"succeeded": 6, "failed": 6, "running": 7, "queued": 5}
    for state, count in counts.items():
        await api.until(f"/v1/instances?state={state}", lambda page, count=count: len(page["items"]) == count)

    newest_first = uris[::-1]
    for query in ({}, {"tag": "x"}):
        assert [item["uri"] for item in await api.walk("/v1/instances", limit=7, **query)] == newest_first
    of_task = await api.walk("/v1/instances", limit=4, task="held")
    assert [item["uri"] for item in of_task] == uris[3::4][::-1]


async def test_schedules_are_walked_by_id_while_others_come_and_go(api):
    for number in range(10):
        await api.put(f"/v1/schedules/s{number}", json=EVERY | {"tags": ["x"] if number % 2 else []})
    first = (await api.get("/v1/schedules", params={"limit": 4})).json()
    await api.put("/v1/schedules/s00", json=EVERY)  # before the cursor
    await api.put("/v1/schedules/s55", json=EVERY)
    await api.delete("/v1/schedules/s7")
    rest = await api.walk("/v1/schedules", limit=4, cursor=first["next"])

    ids = [item["id"] for item in [*first["items"], *rest]]
    assert ids == ["s0", "s1", "s2", "s3", "s4", "s5", "s55", "s6", "s8", "s9"]
    tagged = await api.walk("/v1/schedules", limit=2, tag="x", state="active", task="quick")
    assert [item["id"] for item in tagged] == ["s1", "s3", "s5", "s9"]


async def test_tasks_are_walked_by_name(api):
    names = [item["name"] for item in await api.walk("/v1/tasks", limit=3)]
    assert names == sorted(names)
    assert {"counter", "http_get", "sleep", "quick", "tally"} < set(names)


async def test_every_boot_is_a_node_newest_first(serving, tmp_path):
    for _ in range(3):
        async with serving(f"sqlite:///{tmp_path}/nodes.db") as api:
            nodes = await api.walk("/v1/nodes", limit=2)

    assert [node["name"] for node in nodes] == ["n1"] * 3
    assert len({node["boot"] for node in nodes}) == 3
    assert [node["stopped_at"] is None for node in nodes] == [True, False, False]
    assert [node["started_at"] for node in nodes] == sorted((node["started_at"] for node in nodes), reverse=True)


async def test_every_list_can_be_walked_one_by_one(api, run):
    await api.pass_time(10.5)  # between two due times, and nothing runs: what is listed stands still
    await api.until("/v1/stats", lambda body: body["running"] == 0)
    for path in (path.replace("RUN", run) for path in LISTS):
        whole = (await api.get(path)).json()
        assert whole.keys() == {"items", "next"}
        assert whole["next"] is None
        assert await api.walk(path, limit=1) == whole["items"]


# Limits and cursors


async def test_a_limit_is_a_number_from_1_to_200(api, run):
    for path in (path.replace("RUN", run) for path in LIMITED):
        for limit in ("1", "50", "200", "007"):
            response = await api.get(path, params={"limit": limit})
            assert response.status_code == 200, path
            assert len(response.json()["items"]) <= int(limit)
        for limit in ("0", "201", "-1", "1.0", "1e1", "x", "", " 1", "١", "0x10", "9" * 50, "None"):
            assert await api.wrong(api.get(path, params={"limit": limit})) == ["#/limit"], path


def forged(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


async def test_a_cursor_that_no_list_gave_is_refused(api, run):
    keys = ("[99999999999999999999]", '["a\\u0000b"]', "[-9223372036854775808]", "[]", "[null]", "{}", "1", "[[1]]")
    cursors = ("x", "é", "%", "=", "a" * 512, "\U0001f600", *(forged(key) for key in keys))
    for path in (path.replace("RUN", run) for path in LISTS):
        for cursor in cursors:
            assert await api.wrong(api.get(path, params={"cursor": cursor})) == ["#/cursor"], (path, cursor)


# Filters


async def test_instances_are_found_by_what_they_are(api):
    await api.put(A, json=EVERY)
    good = await api.over(await api.start("quick", tags=["x", "y"]))
    bad = await api.over(await api.start("failing", tags=["x"]))
    runs = await api.start("sleeper")
    mine = await api.over((await api.post(f"{A}/trigger")).headers["Location"])

    async def found(**query):
        return [item["uri"] for item in (await api.get("/v1/instances", params=query)).json()["items"]]

    assert await found() == [mine["uri"], runs, bad["uri"], good["uri"]]
    assert await found(state="running") == [runs]
    assert await found(state="failed") == await found(outcome="failed") == [bad["uri"]]
    assert await found(state="failed", outcome="failed") == [bad["uri"]]
    assert await found(state="running", outcome="failed") == []
    assert await found(task="quick") == [mine["uri"], good["uri"]]
    assert await found(schedule="a") == [mine["uri"]]
    assert await found(tag="x") == [bad["uri"], good["uri"]]
    assert await found(tag="x", task="quick", outcome="succeeded") == [good["uri"]]
    assert await found(tag="none") == await found(task="none") == await found(schedule="none") == []
    assert await found(since="2100-01-01T00:00:00Z") == await found(until="2000-01-01T00:00:00+01:00") == []
    assert len(await found(since="2000-01-01T00:00:00Z", until="2100-01-01T00:00:00Z")) == 4


async def test_schedules_are_found_by_what_they_are(api):
    await api.put(A, json=EVERY | {"tags": ["x"]})
    await api.put("/v1/schedules/b", json=EVERY | {"task": "counter"})
    await api.post("/v1/schedules/b/pause")

    async def found(**query):
        return [item["id"] for item in (await api.get("/v1/schedules", params=query)).json()["items"]]

    assert await found(task="quick") == await found(tag="x") == await found(state="active") == ["a"]
    assert await found(state="paused") == await found(state="paused", task="counter") == ["b"]
    assert await found(state="paused", tag="x") == await found(tag="none") == []


async def test_all_that_is_wrong_in_a_query_is_told_at_once(api):
    query = "state=x&outcome=running&since=now&until=2027-01-01&limit=0&tag=a&tag=b&a~b/c=1&task=%00"
    pointers = {"state", "outcome", "since", "until", "limit", "tag", "a~0b~1c", "task"}
    assert set(await api.wrong(api.get(f"/v1/instances?{query}"))) == {f"#/{name}" for name in pointers}
    assert await api.wrong(api.get("/v1/schedules?state=deleted")) == ["#/state"]


async def test_an_unknown_name_in_a_query_is_refused(api, run):
    for path in (path.replace("RUN", run) for path in READS):
        assert await api.wrong(api.get(f"{path}?filter=x")) == ["#/filter"], path
        assert (await api.head(f"{path}?filter=x")).status_code == 422


async def test_a_name_that_comes_twice_in_a_query_is_refused(api, run):
    for path in (path.replace("RUN", run) for path in LIMITED):
        assert await api.wrong(api.get(f"{path}?limit=1&limit=1")) == ["#/limit"], path


async def test_a_change_takes_no_query(api, run):
    for method, path in CHANGES:
        path = path.replace("RUN", run)
        assert await api.wrong(api.request(method, f"{path}?dry_run=1", json={})) == ["#/dry_run"], path
    assert (await api.get(A)).json()["version"] == 1
