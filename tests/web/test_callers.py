"""/v1/tokens and /v1/audit: keys are shown once, and every change has its entry, with a name and without a key."""

import pytest

from callsheet.instants import SECOND, format_instant

SECRET_FIELDS = {"token", "hash"}
EVERY = {"task": "sleeper", "trigger": {"every": "1h"}}


@pytest.fixture
async def ada(api_on_each):
    """Make a token for Ada, an admin; from then on all requests of `api_on_each` are hers."""
    made = await api_on_each.post("/v1/tokens", json={"name": "ada", "role": "admin"})
    api_on_each.http.headers["Authorization"] = f"Bearer {made.json()['token']}"
    return made


async def audit(api, **query):
    """Return the audit, oldest first."""
    return (await api.walk("/v1/audit", 200, **query))[::-1]


async def test_a_token_is_shown_once(api_on_each, ada):
    api = api_on_each
    assert ada.status_code == 201
    assert ada.json()["token"].startswith("csk_")
    assert len(ada.json()["token"]) == 47
    (item,) = await api.walk("/v1/tokens", 50)

    assert item == {name: value for name, value in ada.json().items() if name != "token"}
    assert not item.keys() & SECRET_FIELDS
    assert (item["name"], item["role"], item["state"], item["created_by"]) == ("ada", "admin", "active", "api")
    assert (item["expires_at"], item["revoked_at"]) == (None, None)


async def test_the_list_tells_what_is_active_expired_and_revoked(api_on_each, ada):
    api = api_on_each
    for name in ("b", "c", "d"):
        await api.post("/v1/tokens", json={"name": name, "role": "viewer", "expires_in": "1h"})
    await api.delete("/v1/tokens/c")
    api.clock.ahead = 3601 * SECOND
    await api.post("/v1/tokens", json={"name": "c", "role": "operator"})

    found = [(item["name"], item["state"]) for item in await api.walk("/v1/tokens", 2)]
    assert found == [("c", "active"), ("d", "expired"), ("c", "revoked"), ("b", "expired"), ("ada", "active")]


async def test_a_name_belongs_to_one_key_at_a_time(api_on_each, ada):
    api = api_on_each
    assert (await api.post("/v1/tokens", json={"name": "ada", "role": "viewer"})).status_code == 409
    assert (await api.delete("/v1/tokens/nobody")).status_code == 404


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["#/name", "#/role"]),
        ({"name": "a b", "role": "root"}, ["#/name", "#/role"]),
        ({"name": "api", "role": "admin"}, ["#/name"]),
        ({"name": "a", "role": "admin", "expires_in": 0}, ["#/expires_in"]),
        ({"name": "a", "role": "admin", "expires_in": True}, ["#/expires_in"]),
        ({"name": "a", "role": "admin", "expires_in": "1d", "expires_at": "2999-01-01T00:00:00Z"}, ["#/expires_in"]),
        ({"name": "a", "role": "admin", "expires_at": "2020-01-01T00:00:00Z"}, ["#/expires_at"]),
        ({"name": "a", "role": "admin", "colour": "red"}, ["#/colour"]),
    ],
)
async def test_all_that_is_wrong_with_a_token_is_told(api, body, pointers):
    assert await api.wrong(api.post("/v1/tokens", json=body)) == pointers


async def test_every_change_has_one_entry_with_the_name_of_its_caller(api_on_each, ada):
    api = api_on_each
    await api.put("/v1/schedules/a", json=EVERY)
    await api.patch("/v1/schedules/a", json={"tags": ["x"]})
    run = (await api.post("/v1/schedules/a/trigger")).json()["uri"]
    await api.post("/v1/schedules/a/skip", json={"count": 1})
    await api.delete("/v1/schedules/a/skip")
    await api.post("/v1/schedules/a/pause", json={"reason": "tea"})
    await api.post("/v1/schedules/a/resume")
    await api.post(f"{run}/cancel", json={"reason": "enough"})
    await api.over(run)
    rerun = (await api.post(f"{run}/rerun")).json()["uri"]
    started = (await api.post("/v1/instances", json={"task": "quick"})).json()["uri"]
    await api.post("/v1/instances/batch", json={"items": [{"task": "quick"}] * 50})
    await api.post("/v1/instances/cancel", json={"task": "sleeper", "reason": "all"})
    await api.delete("/v1/schedules/a")
    await api.post("/v1/tokens", json={"name": "bob", "role": "viewer"})
    await api.delete("/v1/tokens/bob")

    found = await audit(api)
    assert [(entry["by"], entry["action"], entry["schedule"], entry["instance"]) for entry in found] == [
        ("api", "token.create", None, None),
        ("ada", "schedule.create", "a", None),
        ("ada", "schedule.update", "a", None),
        ("ada", "schedule.trigger", "a", run),
        ("ada", "schedule.skip", "a", None),
        ("ada", "schedule.unskip", "a", None),
        ("ada", "schedule.pause", "a", None),
        ("ada", "schedule.resume", "a", None),
        ("ada", "instance.cancel", None, run),
        ("ada", "instance.rerun", None, rerun),
        ("ada", "instance.start", None, started),
        ("ada", "instance.start", None, None),
        ("ada", "instance.cancel_many", None, None),
        ("ada", "schedule.delete", "a", None),
        ("ada", "token.create", None, None),
        ("ada", "token.revoke", None, None),
    ]
    assert all(entry["data"]["request"] for entry in found)
    cancelled = (await api.get(run)).json()["cancel"]
    assert (cancelled["by"], cancelled["reason"]) == ("ada", "enough")
    assert ada.json()["token"] not in str(found)


async def test_what_changes_nothing_has_no_entry(api_on_each, ada):
    api = api_on_each
    await api.put("/v1/schedules/a", json=EVERY)
    before = await audit(api)
    await api.put("/v1/schedules/a", json=EVERY)
    await api.put("/v1/schedules/a?dry_run=true", json=EVERY | {"tags": ["x"]})
    await api.post("/v1/schedules/a/resume")
    await api.post("/v1/schedules/nobody/trigger")
    await api.post("/v1/instances", json={"task": "nobody"})
    await api.get("/v1/schedules")

    assert await audit(api) == before


async def test_the_audit_is_found_by_caller_action_schedule_and_time(api_on_each, ada):
    api = api_on_each
    for name in ("a", "b"):
        await api.put(f"/v1/schedules/{name}", json=EVERY)
    middle = format_instant(api.clock.now() + 30 * SECOND)
    api.clock.ahead = 60 * SECOND
    await api.post("/v1/schedules/b/pause")

    def told(entries):
        return [(entry["action"], entry["schedule"]) for entry in entries]

    assert told(await audit(api, by="api")) == [("token.create", None)]
    assert told(await audit(api, by="ada", action="schedule.pause")) == [("schedule.pause", "b")]
    assert told(await audit(api, schedule="b")) == [("schedule.create", "b"), ("schedule.pause", "b")]
    assert told(await audit(api, since=middle)) == [("schedule.pause", "b")]
    assert len(await audit(api, until=middle, since="2020-01-01T00:00:00Z")) == 3
    assert told(await api.walk("/v1/audit", 1, by="ada"))[::-1] == told(await audit(api, by="ada"))
    assert await api.wrong(api.get("/v1/audit?action=nothing&colour=red")) == ["#/action", "#/colour"]


async def test_the_first_key_is_an_admin_s_or_nobody_could_make_another(api):
    problem = api.problem(await api.post("/v1/tokens", json={"name": "ops", "role": "operator"}), 409)
    assert "must be an admin's" in problem["detail"]
    assert (await api.get("/v1/schedules")).status_code == 200
