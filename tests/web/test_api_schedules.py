"""/v1/schedules: what is put is what is shown, changes are whole, and nobody's change is lost unseen."""

from uuid import UUID

import pytest

PROBE = {
    "task": "http_get",
    "input": {"url": "https://example.org"},
    "trigger": {"cron": "0 2 * * *", "timezone": "Europe/Berlin"},
    "overlap": "skip",
    "catch_up": "latest",
    "catch_up_window": "1h",
    "jitter": "30s",
    "timeout": "20s",
    "tags": ["probe"],
}
EVERY = {"task": "quick", "trigger": {"every": "10s"}}
WRONG = {
    "task": "nope",
    "trigger": {"cron": "61 2 * * *", "timezone": "Europe/Atlantis", "every": None},
    "overlap": "sometimes",
    "catch_up": 1,
    "catch_up_window": "1 hour",
    "jitter": -1,
    "timeout": 0,
    "tags": ["a b"],
    "a/b~c": 1,
}
WRONG_POINTERS = {
    *("#/task", "#/trigger", "#/overlap", "#/catch_up", "#/catch_up_window", "#/jitter", "#/timeout", "#/tags"),
    "#/a~1b~0c",
}
A = "/v1/schedules/a"


# Creating and replacing


async def test_the_example_of_the_design_works_as_written(api):
    response = await api.put("/v1/schedules/nightly-probe", json=PROBE)

    assert response.status_code == 201
    assert response.headers["ETag"] == '"1"'
    assert response.headers["Location"] == "/v1/schedules/nightly-probe"
    body = response.json()
    wanted = PROBE | {
        "id": "nightly-probe",
        "state": "active",
        "version": 1,
        "catch_up_window": 3600,
        "jitter": 30,
        "timeout": 20,
        "description": "At 02:00 every day (Europe/Berlin)",
    }
    assert body | wanted == body
    assert body["next_due"].endswith(":00:00Z")
    assert (await api.get("/v1/schedules/nightly-probe")).json() == body


async def test_what_is_not_given_is_shown_with_its_default(api):
    body = (await api.put(A, json=EVERY)).json()

    assert body["trigger"] == {"every": 10, "anchor": body["created_at"]}
    defaults = {"overlap": "skip", "catch_up": "latest", "catch_up_window": 3600, "jitter": 0, "timeout": None}
    assert body | defaults | {"tags": [], "input": None} == body


async def test_putting_the_same_again_changes_nothing(api):
    first = await api.put(A, json=EVERY)
    again = await api.put(A, json=EVERY)

    assert again.status_code == 200
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.json() == first.json()


async def test_putting_something_else_replaces_it_whole(api):
    await api.put(A, json=EVERY | {"tags": ["x"], "overlap": "allow"})
    other = await api.put(A, json=EVERY | {"jitter": 2})

    assert other.status_code == 200
    assert other.headers["ETag"] == '"2"'
    assert (other.json()["tags"], other.json()["overlap"], other.json()["jitter"]) == ([], "skip", 2)


async def test_posting_makes_up_an_id_unless_one_is_given(api):
    named = await api.post("/v1/schedules", json=EVERY | {"id": "mine"})
    unnamed = await api.post("/v1/schedules", json=EVERY)

    assert named.status_code == unnamed.status_code == 201
    assert named.headers["Location"] == "/v1/schedules/mine"
    assert UUID(unnamed.json()["id"])
    assert (await api.get(unnamed.headers["Location"])).json() == unnamed.json()


async def test_posting_an_id_that_is_taken_is_a_conflict_that_names_the_holder(api):
    await api.put(A, json=EVERY)
    response = await api.post("/v1/schedules", json=EVERY | {"id": "a", "overlap": "allow"})

    assert api.problem(response, 409)["blocked_by"] == A
    assert (await api.get(A)).json()["version"] == 1


async def test_all_wrong_fields_are_told_at_once(api):
    assert set(await api.wrong(api.put(A, json=WRONG))) == WRONG_POINTERS
    assert set(await api.wrong(api.post("/v1/schedules", json=WRONG))) == WRONG_POINTERS
    assert set(await api.wrong(api.post("/v1/schedules", json=WRONG | {"id": "-"}))) == WRONG_POINTERS | {"#/id"}
    assert set(await api.wrong(api.put("/v1/schedules/-", json=WRONG))) == WRONG_POINTERS | {"#/id"}
    assert set(await api.wrong(api.put(A, json=WRONG | {"id": "b"}))) == WRONG_POINTERS | {"#/id"}
    assert await api.wrong(api.put(A, json={})) == ["#/task", "#/trigger"]
    assert (await api.get("/v1/schedules")).json()["items"] == []


async def test_the_errors_of_input_and_trigger_point_into_them(api):
    wrong_input = {"text": "", "times": "x", "more": 1}
    document = {"task": "say", "input": wrong_input, "trigger": {"every": "0s", "at": 1, "b": 2}}
    assert set(await api.wrong(api.put(A, json=document))) == {
        "#/input/text", "#/input/times", "#/input/more", "#/trigger", "#/trigger/b",
    }  # fmt: skip
    document["trigger"] = {"every": "0s", "anchor": "yesterday"}
    assert {"#/trigger/every", "#/trigger/anchor"} < set(await api.wrong(api.put(A, json=document)))


async def test_what_only_the_service_sets_is_named_as_read_only(api):
    whole = (await api.put(A, json=EVERY)).json()
    body = api.problem(await api.put(A, json=whole), 422)

    assert {error["detail"] for error in body["errors"]} == {"is read-only: leave it out"}
    assert "#/state" in {error["pointer"] for error in body["errors"]}
    assert (await api.put(A, json=EVERY | {"id": "a"})).status_code == 200


async def test_a_hundred_thousand_wrong_fields_get_an_answer_of_reasonable_size(api):
    response = await api.put(A, json={f"x{number}": 0 for number in range(70_000)})

    assert len(api.problem(response, 422)["errors"]) == 100
    assert len(response.content) < 20_000


@pytest.mark.parametrize("slug", ["-a", ".a", "a" * 129, "a%20b", "%C3%A9", "a%00", "a%0A", "%2e%2e%2e", "a:b", "*"])
async def test_an_id_that_cannot_be_is_refused_at_creation_and_unknown_elsewhere(api, slug):
    path = f"/v1/schedules/{slug}"
    assert await api.wrong(api.put(path, json=EVERY)) == ["#/id"]
    for request in (api.get(path), api.patch(path, json={}), api.delete(path), api.post(f"{path}/trigger")):
        api.problem(await request, 404)


@pytest.mark.parametrize("slug", ["a", "A.b-c_9", "9", "preview", "a" * 128])
async def test_an_id_may_be_any_slug(api, slug):
    assert (await api.put(f"/v1/schedules/{slug}", json=EVERY)).status_code == 201
    assert (await api.get(f"/v1/schedules/{slug}")).json()["id"] == slug


# Preconditions


MATCHING = ('"1"', "*", '"7", "1"', 'W/"1"')
OTHERS = ('"2"', '"0"', "1", "", '"x"', '"' + "9" * 40 + '"')


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", A, EVERY | {"jitter": 1}),
        ("PATCH", A, {"jitter": 1}),
        ("POST", f"{A}/pause", {}),
        ("POST", f"{A}/resume", {}),
        ("DELETE", A, {}),
    ],
)
async def test_a_change_is_made_only_if_the_version_is_the_one_named(api, method, path, body):
    before = (await api.put(A, json=EVERY)).json()
    for header in OTHERS:
        api.problem(await api.request(method, path, json=body, headers={"If-Match": header}), 412)
    assert (await api.get(A)).json() == before

    for number, header in enumerate(MATCHING):
        again = path.replace("/a", f"/again{number}")
        await api.put(again.removesuffix("/pause").removesuffix("/resume"), json=EVERY)
        response = await api.request(method, again, json=body, headers={"If-Match": header})
        assert response.status_code in (200, 204), header


async def test_of_two_who_read_the_same_version_only_the_first_changes_it(api):
    etag = (await api.put(A, json=EVERY)).headers["ETag"]

    assert (await api.patch(A, json={"jitter": 1}, headers={"If-Match": etag})).headers["ETag"] == '"2"'
    api.problem(await api.patch(A, json={"jitter": 2}, headers={"If-Match": etag}), 412)
    assert (await api.get(A)).json()["jitter"] == 1


async def test_a_match_is_asked_for_in_vain_where_there_is_nothing(api):
    api.problem(await api.put(A, json=EVERY, headers={"If-Match": "*"}), 412)
    api.problem(await api.put(A, json=EVERY, headers={"If-Match": '"1"'}), 412)
    api.problem(await api.patch(A, json={}, headers={"If-Match": "*"}), 404)
    api.problem(await api.get(A), 404)


async def test_if_none_match_creates_but_never_replaces(api):
    only_new = {"If-None-Match": "*"}
    assert (await api.put(A, json=EVERY, headers=only_new)).status_code == 201
    api.problem(await api.put(A, json=EVERY | {"jitter": 9}, headers=only_new), 412)
    assert (await api.get(A)).json()["version"] == 1

    await api.delete(A)
    assert (await api.put(A, json=EVERY, headers=only_new)).status_code == 201
    api.problem(await api.put(A, json=EVERY, headers={"If-None-Match": '"1"'}), 422)


# Patching


@pytest.mark.parametrize("media_type", ["application/merge-patch+json", "application/json"])
async def test_a_patch_changes_what_it_names_and_nothing_else(api, media_type):
    before = (await api.put(A, json=PROBE)).json()
    patch = b'{"jitter": "1m", "tags": ["x", "y", "x"], "id": "a"}'
    response = await api.patch(A, content=patch, headers={"Content-Type": media_type})

    after = response.json()
    assert response.headers["ETag"] == '"2"'
    assert after | {"updated_at": before["updated_at"]} == before | {"jitter": 60, "tags": ["x", "y"], "version": 2}


async def test_null_in_a_patch_brings_the_default_back(api):
    await api.put(A, json=PROBE)
    body = (await api.patch(A, json={"timeout": None, "jitter": None, "tags": None, "catch_up_window": None})).json()

    assert (body["timeout"], body["jitter"], body["tags"], body["catch_up_window"]) == (None, 0, [], 3600)
    assert await api.wrong(api.patch(A, json={"task": None, "trigger": None})) == ["#/task", "#/trigger"]


async def test_a_patch_reaches_into_input_and_trigger(api):
    await api.put(A, json={"task": "say", "input": {"text": "a", "times": 3}, "trigger": {"cron": "0 2 * * *"}})
    body = (await api.patch(A, json={"input": {"text": "b"}, "trigger": {"timezone": "Asia/Tokyo"}})).json()
    assert body["input"] == {"text": "b", "times": 3}
    assert body["trigger"] == {"cron": "0 2 * * *", "timezone": "Asia/Tokyo"}

    body = (await api.patch(A, json={"input": {"times": None}, "trigger": {"every": "1m"}})).json()
    assert body["input"] == {"text": "b", "times": 1}
    assert body["trigger"].keys() == {"every", "anchor"}


async def test_a_patch_that_does_not_fit_changes_nothing(api):
    before = (await api.put(A, json=PROBE)).json()
    wrong = api.patch(A, json={"jitter": "x", "input": {"url": "ftp://x"}, "state": "paused", "id": "b"})

    assert set(await api.wrong(wrong)) == {"#/jitter", "#/input/url", "#/state", "#/id"}
    assert (await api.get(A)).json() == before


async def test_an_empty_patch_is_no_new_version(api):
    before = (await api.put(A, json=PROBE)).json()
    assert (await api.patch(A, json={})).json() == before


# Deleting


async def test_what_is_deleted_is_gone_but_its_history_stays(api):
    await api.put(A, json=EVERY)
    run = (await api.post(f"{A}/trigger")).headers["Location"]
    await api.over(run)
    await api.pass_time(10)
    response = await api.delete(A)

    assert (response.status_code, response.content) == (204, b"")
    gone = [api.get(A), api.delete(A), api.patch(A, json={}), api.get(f"{A}/upcoming"), api.post(f"{A}/pause")]
    for request in [*gone, api.post(f"{A}/trigger"), api.post(f"{A}/resume")]:
        api.problem(await request, 404)
    assert (await api.get("/v1/schedules")).json()["items"] == []
    assert (await api.get(run)).json()["schedule"] == "a"
    assert len((await api.get(f"{A}/ledger")).json()["items"]) == 1


@pytest.mark.parametrize("query", ["?running=cancel", "?running=finish", ""])
async def test_deleting_cancels_what_runs_only_when_asked(api, query):
    await api.put(A, json=EVERY | {"task": "sleeper"})
    run = (await api.post(f"{A}/trigger")).headers["Location"]
    assert (await api.delete(A + query)).status_code == 204

    if "cancel" in query:
        over = await api.over(run)
        assert (over["outcome"], over["cancel"]["reason"]) == ("cancelled", "schedule deleted")
    else:
        assert (await api.get(run)).json()["running"] is True


async def test_a_deletion_asked_for_wrongly_deletes_nothing(api):
    await api.put(A, json=EVERY)
    assert await api.wrong(api.delete(f"{A}?running=maybe&force=1")) == ["#/running", "#/force"]
    assert (await api.get(A)).status_code == 200


async def test_a_version_never_comes_back_when_an_id_is_used_again(api):
    await api.put(A, json=EVERY)
    await api.delete(A)
    again = await api.put(A, json=EVERY)

    assert again.status_code == 201
    api.problem(await api.delete(A, headers={"If-Match": '"1"'}), 412)


# Pausing


async def test_a_paused_schedule_plans_nothing_until_it_is_resumed(api):
    before = (await api.put(A, json=EVERY)).json()
    paused = (await api.post(f"{A}/pause", json={"reason": "holidays"})).json()

    assert (paused["state"], paused["state_reason"], paused["next_due"]) == ("paused", "holidays", None)
    assert (await api.get(f"{A}/upcoming")).json()["items"] == []
    await api.pass_time(25)
    resumed = (await api.post(f"{A}/resume")).json()
    assert (resumed["state"], resumed["state_reason"], resumed["version"]) == ("active", None, 3)
    assert resumed["next_due"] > before["next_due"]
    assert (await api.get(f"{A}/ledger")).json()["items"] == []


async def test_a_pause_may_end_by_itself(api):
    await api.put(A, json=EVERY)
    until = "2100-01-01T01:00:00+01:00"
    body = (await api.post(f"{A}/pause", json={"until": until, "reason": None})).json()

    assert (body["paused_until"], body["state_reason"]) == ("2100-01-01T00:00:00Z", None)
    assert (await api.post(f"{A}/pause", json={"until": None})).json()["paused_until"] is None
    wrong = {"until": "2000-01-01T00:00:00", "reason": 5, "why": 1}
    assert await api.wrong(api.post(f"{A}/pause", json=wrong)) == ["#/reason", "#/until", "#/why"]
    assert await api.wrong(api.post(f"{A}/pause", json={"until": "2000-01-01T00:00:00Z"})) == ["#/until"]


async def test_resuming_what_is_active_changes_nothing(api):
    before = (await api.put(A, json=EVERY)).json()
    assert (await api.post(f"{A}/resume", json={})).json() == before


async def test_what_is_finished_cannot_be_paused(api):
    await api.put(A, json=EVERY | {"trigger": {"at": "2099-01-01T00:00:00Z"}})
    await api.pass_time(80 * 365 * 86_400)
    assert (await api.get(A)).json()["state"] == "finished"
    api.problem(await api.post(f"{A}/pause"), 409)
