"""POST /v1/simulate tells what would happen and changes nothing."""

import trio

from callsheet.instants import parse_instant
from storage.queries.instances import Filter, list_instances

DAY = {"from": "2030-03-01T00:00:00Z", "to": "2030-03-02T00:00:00Z"}
HOURLY = {"task": "quick", "trigger": {"cron": "0 * * * *"}}


async def test_what_stands_is_simulated_and_nothing_is_changed(api_on_each):
    api = api_on_each
    await api.put("/v1/schedules/hourly", json=HOURLY)
    before = (await api.get("/v1/schedules/hourly")).json()

    response = await api.post("/v1/simulate", json=DAY)

    assert response.status_code == 200, response.text
    answer = response.json()
    assert (answer["from"], answer["to"], answer["firings"]) == (DAY["from"], DAY["to"], 24)
    assert answer["schedules"][0]["assumed"]["source"] == "default"
    assert (await api.get("/v1/schedules/hourly")).json() == before
    assert list_instances(api.database, Filter(), 10, None).items == []


async def test_history_says_how_long_runs_take(api):
    await api.put("/v1/schedules/hourly", json=HOURLY)
    response = await api.post("/v1/schedules/hourly/trigger")
    await api.over(response.headers["Location"])

    answer = (await api.post("/v1/simulate", json=DAY)).json()
    assert answer["schedules"][0]["assumed"] | {"median_seconds": 0, "longest_seconds": 0} == {
        "source": "schedule",
        "text": "drawn from the latest runs of this schedule",
        "runs": 1,
        "median_seconds": 0,
        "longest_seconds": 0,
        "unlucky": 0.0,
    }


async def test_a_schedule_can_be_tried_and_one_that_stands_replaced(api):
    await api.put("/v1/schedules/hourly", json=HOURLY)
    tried = {
        "hourly": {**HOURLY, "trigger": {"cron": "0 */2 * * *"}},
        "other": {"task": "sleep", "input": {"seconds": 1}, "trigger": {"every": "10m"}},
    }

    body = DAY | {"schedules": tried, "durations": {"sleep": "15m"}}
    answer = (await api.post("/v1/simulate", json=body)).json()

    assert [(one["schedule"], one["firings"]) for one in answer["schedules"]] == [("hourly", 12), ("other", 72)]
    assert answer["omissions"] == [{"fate": "skipped", "reason": "overlap", "count": 72}]
    assert (await api.get("/v1/schedules/other")).status_code == 404


async def test_the_same_seed_gives_the_same_bytes(api):
    await api.put("/v1/schedules/hourly", json=HOURLY)
    body = DAY | {"seed": 7, "durations": {"quick": ["1m", "20m", "90m"]}}

    one, two = [(await api.post("/v1/simulate", json=body)).content for _ in range(2)]
    assert one == two
    assert (await api.post("/v1/simulate", json=body | {"seed": 8})).content != one


async def test_the_end_can_be_a_duration_and_the_start_is_now(api):
    answer = (await api.post("/v1/simulate", json={"to": "2d"})).json()

    span = parse_instant(answer["to"]) - parse_instant(answer["from"])
    assert span == 2 * 86_400 * 1_000_000


async def test_all_that_is_wrong_is_told_at_once(api):
    body = {
        "from": "yesterday",
        "seed": -1,
        "durations": {"quick": "soon"},
        "schedules": {"x y": HOURLY, "b": {"task": "nope", "trigger": {"every": "1h"}}},
        "speed": 2,
    }
    pointers = await api.wrong(api.post("/v1/simulate", json=body))
    assert set(pointers) == {
        "#/from", "#/to", "#/seed", "#/durations/quick", "#/schedules/x y", "#/schedules/b/task", "#/speed",
    }  # fmt: skip


async def test_durations_of_what_is_not_there_are_refused(api):
    await api.put("/v1/schedules/hourly", json=HOURLY)
    body = DAY | {"durations": {"quick": "1m", "sleep": "1m", "hourly": "1m", "hourlie": "1m", "a/b": "1m"}}

    pointers = await api.wrong(api.post("/v1/simulate", json=body))
    assert pointers == ["#/durations/hourlie", "#/durations/a~1b"]


async def test_what_is_tried_after_itself_or_after_nothing_is_refused(api):
    await api.put("/v1/schedules/first", json=HOURLY)
    await api.put("/v1/schedules/then", json={"task": "quick", "trigger": {"after": "first"}})
    ring = {
        "first": {"task": "quick", "trigger": {"after": "then"}},
        "lost": {"task": "quick", "trigger": {"after": "no"}},
    }

    pointers = await api.wrong(api.post("/v1/simulate", json=DAY | {"schedules": ring}))
    assert set(pointers) == {"#/schedules/first/trigger/after", "#/schedules/lost/trigger/after"}


async def test_a_span_that_is_none_or_too_long_is_refused(api):
    await api.put("/v1/schedules/often", json={"task": "quick", "trigger": {"every": 1}})

    assert await api.wrong(api.post("/v1/simulate", json={"from": DAY["to"], "to": DAY["from"]})) == ["#/to"]
    problem = api.problem(await api.post("/v1/simulate", json={"to": "365d"}), 422)
    assert "more than 1,000,000 due times" in problem["detail"]


async def test_one_that_takes_too_long_is_ended_and_further_ones_wait(api):
    await api.put("/v1/schedules/often", json={"task": "quick", "trigger": {"every": 1}})
    api.simulator.budget = 1.0
    statuses = []

    async def ask():
        response = await api.post("/v1/simulate", json={"to": "10d"})
        statuses.append((response.status_code, response.json()["detail"]))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)
    assert sorted(statuses) == [
        (422, "/to: means more than can be simulated in 1 s: choose a shorter span"),
        (422, "/to: means more than can be simulated in 1 s: choose a shorter span"),
        (503, "2 simulations are running already."),
    ]
