"""/v1/tasks, /v1/nodes, /v1/stats and the probes: what there is, how it does, and what still works while it stops."""

from actors.supervisor import Rules
from callsheet.errors import StorageFull
from callsheet.instants import parse_instant

A = "/v1/schedules/a"


async def test_a_task_tells_its_schemas_and_its_policies(api):
    task = (await api.get("/v1/tasks/say")).json()

    assert task["doc"] == "Send a word some times."
    assert task["origin"].endswith(":say")
    schema = task["input_schema"]
    word = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    assert word["properties"]["text"] == {"type": "string", "minLength": 1, "maxLength": 100}
    assert (word["required"], word["additionalProperties"]) == (["text"], False)
    assert task["output_schema"] == {"type": "string"}
    defaults = {"timeout": None, "retries": 0, "idempotent": False, "max_running": None, "state": None}
    assert task | defaults == task
    assert (await api.get("/v1/tasks/tally")).json()["state"] == "schedule"
    assert (await api.get("/v1/tasks/http_get")).json()["timeout"] == 30


async def test_a_task_in_the_list_is_the_task_itself(api):
    for task in (await api.get("/v1/tasks")).json()["items"]:
        assert (await api.get(f"/v1/tasks/{task['name']}")).json() == task


async def test_a_task_that_is_not_in_the_code_is_not_found(api):
    for name in ("nope", "%00", "%E2%82%AC", "x" * 2000, "say%20"):
        api.problem(await api.get(f"/v1/tasks/{name}"), 404)


async def test_a_node_tells_who_it_is(api):
    [node] = (await api.get("/v1/nodes")).json()["items"]

    assert node.keys() == {"name", "boot", "host", "pid", "started_at", "seen_at", "stopped_at"}
    assert (node["name"], node["stopped_at"]) == ("n1", None)
    assert parse_instant(node["started_at"]) <= parse_instant(node["seen_at"])


async def test_figures_add_up_over_the_history(api):
    await api.put(A, json={"task": "held", "trigger": {"every": "10s"}})
    await api.pass_time(10)
    await api.pass_time(10)
    for name in ("quick", "failing", "sleeper", "held"):
        await api.start(name)
    by_hand = {"succeeded": 1, "failed": 1}
    stats = await api.until("/v1/stats", lambda stats: stats["outcomes"] | by_hand == stats["outcomes"])

    assert stats["outcomes"] == dict.fromkeys(("timed_out", "cancelled", "interrupted", "lost"), 0) | by_hand
    assert (stats["running"], stats["queued"]) == (3, 0)
    assert stats["omissions"] == {"skipped": 1, "missed": 0, "dropped": 0, "rejected": 0}
    assert stats["durations"].keys() == {"p50", "p95", "p99", "max"}


async def test_figures_can_be_of_one_task_one_schedule_or_one_time(api):
    await api.put(A, json={"task": "quick", "trigger": {"every": "10s"}})
    await api.pass_time(10)
    await api.over(await api.start("quick"))
    await api.over(await api.start("failing"))

    async def ended(**query):
        stats = (await api.get("/v1/stats", params=query)).json()
        return stats["outcomes"]["succeeded"], stats["outcomes"]["failed"]

    await api.until("/v1/stats", lambda stats: stats["outcomes"]["succeeded"] == 2)
    assert await ended() == (2, 1)
    assert await ended(task="quick") == (2, 0)
    assert await ended(schedule="a") == (1, 0)
    assert await ended(since="2100-01-01T00:00:00Z") == await ended(task="none") == (0, 0)
    assert (await api.get("/v1/stats", params={"schedule": "a"})).json()["lateness"].keys() == {
        "p50",
        "p95",
        "p99",
        "max",
    }
    assert await api.wrong(api.get("/v1/stats?since=x&limit=1")) == ["#/since", "#/limit"]


# The probes


async def test_it_is_alive_and_ready(api):
    for path, word in (("/livez", "ok"), ("/readyz", "ready")):
        response = await api.get(path)
        assert (response.status_code, response.json()) == (200, {"status": word})
        assert (await api.head(path)).status_code == 200


async def test_it_is_not_alive_while_the_event_loop_is_blocked(api):
    api.lag = 11.0
    api.problem(await api.get("/livez"), 503)
    api.lag = 1.5
    assert (await api.get("/livez")).status_code == 200


async def test_it_is_not_ready_while_the_database_takes_nothing(api):
    await api.get("/livez")
    await api.pass_time(0)  # the scheduler's first look is over, and with it the good news it would bring
    api.engine.health.storage = StorageFull("The disk is full.")
    assert api.problem(await api.get("/readyz"), 503)["detail"] == "The disk is full."
    assert (await api.get("/livez")).status_code == 200
    await api.put(A, json={"task": "quick", "trigger": {"every": "10s"}})
    assert (await api.get("/readyz")).status_code == 200


async def test_while_it_stops_it_starts_nothing_new_but_answers_everything_else(serving, tmp_path):
    patient = Rules(drain=30, last_cleanup=0.5)
    async with serving(f"sqlite:///{tmp_path}/stop.db", rules=patient) as api:
        await api.put(A, json={"task": "sleeper", "trigger": {"every": "10s"}})
        runs, over = await api.start("sleeper"), await api.over(await api.start("quick"))
        api.engine.stop.set()
        await api.until("/readyz", lambda body: body.get("status") == 503)

        batch = {"items": [{"task": "quick"}]}
        starts = [("/v1/instances", {"task": "quick"}), ("/v1/instances/batch", batch)]
        for path, body in [*starts, (f"{A}/trigger", {}), (f"{over['uri']}/rerun", {})]:
            response = await api.post(path, json=body)
            assert "stopping" in api.problem(response, 503)["detail"]
            assert int(response.headers["Retry-After"]) >= 1
        assert (await api.get("/livez")).status_code == 200
        assert (await api.get(runs)).json()["running"] is True
        assert (await api.patch(A, json={"tags": ["late"]})).status_code == 200
        assert (await api.post(f"{runs}/cancel")).status_code == 202


async def test_what_is_cut_off_by_the_stop_is_interrupted(serving, tmp_path):
    url = f"sqlite:///{tmp_path}/stop.db"
    async with serving(url) as api:
        uri = await api.start("sleeper")
    async with serving(url) as api:
        assert (await api.get(uri)).json()["outcome"] == "interrupted"
