"""POST /v1/schedules/batch: up to ten thousand schedules, all or none."""

EVERY = {"task": "quick", "trigger": {"every": "1h"}}
BATCH = "/v1/schedules/batch"


async def test_a_batch_is_created_and_each_is_to_be_found(api_on_each):
    api = api_on_each
    items = [{"id": f"s{n}"} | EVERY for n in range(300)] + [EVERY]
    made = await api.post(BATCH, json={"items": items})

    assert made.status_code == 201, made.text
    created = made.json()["items"]
    assert [one["id"] for one in created[:300]] == [f"s{n}" for n in range(300)]
    assert (await api.get(created[300]["uri"])).json()["state"] == "active"
    assert len(await api.walk("/v1/schedules", 200)) == 301
    [entry] = (await api.get("/v1/audit")).json()["items"]
    assert (entry["action"], entry["data"]["count"]) == ("schedule.create_many", 301)


async def test_all_that_is_wrong_is_told_at_once_and_nothing_is_created(api):
    items = [
        EVERY, {"id": "a b"} | EVERY, 7, {"id": "twice"} | EVERY, {"id": "twice", "task": "nobody"}, {"id": 3} | EVERY,
    ]  # fmt: skip
    pointers = await api.wrong(api.post(BATCH, json={"items": items}))

    assert pointers == [
        "#/items/1/id", "#/items/2", "#/items/4/id", "#/items/4/task", "#/items/4/trigger", "#/items/5/id"
    ]  # fmt: skip
    assert (await api.get("/v1/schedules")).json()["items"] == []


async def test_a_batch_must_be_a_list_of_one_to_ten_thousand(api):
    for body in ({}, {"items": []}, {"items": {}}, {"items": [EVERY] * 10_001}, {"items": [EVERY], "more": 1}):
        assert await api.wrong(api.post(BATCH, json=body))


async def test_one_that_exists_refuses_all_and_is_named(api):
    await api.put("/v1/schedules/there", json=EVERY)
    answer = await api.post(BATCH, json={"items": [{"id": "new"} | EVERY, {"id": "there"} | EVERY]})

    assert api.problem(answer, 409)["blocked_by"] == "/v1/schedules/there"
    assert (await api.get("/v1/schedules/new")).status_code == 404


async def test_a_batch_that_is_sent_again_with_its_key_is_created_once(api):
    headers = {"Idempotency-Key": "k1"}
    body = {"items": [EVERY, EVERY]}
    first = await api.post(BATCH, json=body, headers=headers)
    again = await api.post(BATCH, json=body, headers=headers)

    assert (again.status_code, again.json(), again.headers["Idempotency-Replayed"]) == (201, first.json(), "true")
    assert len((await api.get("/v1/schedules")).json()["items"]) == 2
