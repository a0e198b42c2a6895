"""Due times over HTTP: skip one, make up for some, ask what a change would do, and ask why."""

from callsheet.instants import format_instant, parse_instant

EVERY = {"task": "quick", "trigger": {"every": "10s"}}
A = "/v1/schedules/a"


async def put(api, **more):
    response = await api.put(A, json=EVERY | more)
    assert response.status_code == 201, response.text
    return response.json()


async def test_the_next_due_time_can_be_skipped_and_that_undone(api):
    created = await put(api)
    response = await api.post(f"{A}/skip")
    assert (response.status_code, response.headers["ETag"]) == (200, '"2"')
    assert response.json()["skips"] == [created["next_due"]]
    coming = (await api.get(f"{A}/upcoming", params={"limit": 2})).json()["items"]
    assert [one["skip"] for one in coming] == [True, False]
    assert [one["skip"] for one in (await api.get("/v1/upcoming", params={"limit": 2})).json()["items"]] == [
        True,
        False,
    ]
    response = await api.delete(f"{A}/skip", params={"at": created["next_due"]})
    assert response.json()["skips"] == []


async def test_a_skip_answers_with_what_is_wrong(api):
    await put(api)
    assert await api.wrong(api.post(f"{A}/skip", json={"count": 0, "at": "soon", "x": 1})) == [
        "#/count",
        "#/at",
        "#/at",
        "#/x",
    ]
    assert await api.wrong(api.post(f"{A}/skip", json={"at": "2031-01-01T00:00:00.5Z"})) == ["#/at"]
    assert await api.wrong(api.delete(f"{A}/skip", params={"at": "2031-01-01T00:00:00Z"})) == ["#/at"]
    api.problem(await api.post(f"{A}/skip", headers={"If-Match": '"9"'}), 412)
    api.problem(await api.post("/v1/schedules/nobody/skip"), 404)
    await api.post(f"{A}/pause")
    api.problem(await api.post(f"{A}/skip"), 409)


async def test_what_was_skipped_stands_in_the_ledger_as_asked_for(api):
    await put(api)
    await api.post(f"{A}/skip", json={"count": 1})
    await api.pass_time(10)
    (row,) = (await api.get(f"{A}/ledger")).json()["items"]
    assert (row["fate"], row["reason"], row["count"]) == ("skipped", "requested", 1)


async def test_a_dry_run_tells_what_would_appear_and_vanish_and_changes_nothing(api):
    before = await put(api, trigger={"cron": "0 2 * * *"})
    response = await api.patch(A, params={"dry_run": "true"}, json={"trigger": {"cron": "0 2,14 * * *"}})
    assert response.status_code == 200
    body = response.json()
    assert (body["would"], body["appearing"], body["vanishing"], body["kept"]) == ("update", 7, 0, 7)
    assert all(one["due_at"].endswith("T14:00:00Z") for one in body["appear"])
    assert body["schedule"]["trigger"]["cron"] == "0 2,14 * * *"
    assert (await api.get(A)).json() == before


async def test_a_dry_run_of_a_new_interval_anchors_it_at_the_change_as_the_change_would(api):
    await put(api, trigger={"every": "1d"})
    body = (await api.put(A, params={"dry_run": "true"}, json=EVERY | {"trigger": {"every": "2d"}})).json()
    assert (body["appearing"], body["vanishing"]) == (3, 7)


async def test_a_dry_run_creates_nothing_and_tells_what_would_be_there(api):
    body = (await api.put(A, params={"dry_run": "true"}, json=EVERY | {"max_runs": 3})).json()
    assert (body["would"], body["appearing"], len(body["appear"])) == ("create", 3, 3)
    api.problem(await api.get(A), 404)
    created = await put(api)
    same = (await api.put(A, params={"dry_run": "true"}, json=EVERY)).json()
    assert (same["would"], same["appearing"], same["vanishing"]) == ("change nothing", 0, 0)
    assert created["version"] == 1


async def test_a_dry_run_of_a_busy_schedule_compares_as_far_as_it_reasonably_can(api):
    await put(api, trigger={"every": "1s"})
    body = (await api.patch(A, params={"dry_run": "true"}, json={"trigger": {"every": "2s"}})).json()
    assert body["vanishing"] + body["kept"] == 10_000
    assert len(body["vanish"]) == 200
    assert body["until"] < format_instant(api.clock.now() + 4 * 3600 * 1_000_000)


async def test_a_dry_run_checks_all_that_the_change_would(api):
    await put(api)
    asked = {"params": {"dry_run": "true"}}
    assert await api.wrong(api.patch(A, json={"overlap": "x"}, **asked)) == ["#/overlap"]
    api.problem(await api.patch(A, json={}, headers={"If-Match": '"9"'}, **asked), 412)
    assert await api.wrong(api.patch(A, json={"trigger": {"after": "a"}}, **asked)) == ["#/trigger/after"]
    assert await api.wrong(api.patch(A, params={"dry_run": "maybe"}, json={})) == ["#/dry_run"]


async def test_a_dry_run_counts_what_is_skipped_as_no_run(api):
    await put(api, max_runs=1)
    await api.post(f"{A}/skip")
    body = (await api.patch(A, params={"dry_run": "true"}, json={"trigger": {"every": "1d"}})).json()
    assert (body["vanishing"], body["appearing"]) == (2, 1)


async def test_a_dry_run_for_a_new_schedule_only_is_refused_as_the_change_would_be(api):
    await put(api)
    asked = {"json": EVERY, "headers": {"If-None-Match": "*"}}
    api.problem(await api.put(A, **asked), 412)
    api.problem(await api.put(A, params={"dry_run": "true"}, **asked), 412)


async def test_what_would_come_after_the_last_run_is_not_said_to_run(api):
    due = parse_instant((await put(api, max_runs=1))["next_due"])
    sentences = [
        (await api.get(f"{A}/explain", params={"at": format_instant(instant)})).json()["explanation"]
        for instant in (due, due + 10_000_000)
    ]
    assert "and will run" in sentences[0]
    assert "but max_runs is reached by then" in sentences[1]


async def test_a_paused_schedule_has_no_due_times_before_and_after(api):
    await put(api)
    await api.post(f"{A}/pause")
    body = (await api.patch(A, params={"dry_run": "true"}, json={"trigger": {"every": "1m"}})).json()
    assert (body["would"], body["appearing"], body["vanishing"]) == ("update", 0, 0)


async def test_a_range_of_the_past_can_be_made_up_for(api):
    await put(api, trigger={"cron": "* * * * *"})
    now = api.clock.now()
    minute = now - now % 60_000_000
    span = {"from": format_instant(minute - 120_000_000), "to": format_instant(minute)}
    dry = await api.post(f"{A}/backfill", params={"dry_run": "true"}, json=span)
    assert (dry.status_code, dry.json()["count"], dry.json()["left_out"]) == (200, 3, 0)
    done = await api.post(f"{A}/backfill", json=span)
    assert (done.status_code, done.json()["count"]) == (202, 3)
    for item in done.json()["items"]:
        assert (await api.over(item["instance"]))["cause"] == "backfill"
    again = await api.post(f"{A}/backfill", json=span)
    assert (again.json()["count"], again.json()["left_out"]) == (0, 3)
    assert len((await api.get(f"{A}/ledger")).json()["items"]) == 3


async def test_a_backfill_answers_with_what_is_wrong(api):
    await put(api)
    assert await api.wrong(api.post(f"{A}/backfill", json={"overlap": 1, "dry_run": "x"})) == [
        "#/from", "#/to", "#/overlap", "#/dry_run",
    ]  # fmt: skip
    future = {"from": "2026-01-01T00:00:00Z", "to": "2099-01-01T00:00:00Z"}
    assert await api.wrong(api.post(f"{A}/backfill", json=future)) == ["#/to"]
    api.problem(await api.post("/v1/schedules/nobody/backfill", json=future), 404)


async def test_explain_tells_what_happened_and_why(api):
    await put(api, task="sleeper")
    await api.pass_time(10)
    await api.pass_time(10)
    ran, skipped = [one.get("due_at", one.get("first_due")) for one in (await ledger(api))[::-1]]
    body = (await api.get(f"{A}/explain", params={"at": ran})).json()
    assert (body["due"], body["due_at"], body["ledger"]["fate"]) == (True, ran, "ran")
    assert "ran as /v1/instances/" in body["explanation"]
    body = (await api.get(f"{A}/explain", params={"at": skipped})).json()
    assert "was skipped, for an instance of it still went on: /v1/instances/" in body["explanation"]
    assert [one["reason"] for one in body["could_stop_it"]] == ["overlap"]


async def ledger(api):
    return (await api.get(f"{A}/ledger")).json()["items"]


async def test_explain_takes_a_whole_second_for_any_moment_in_it(api):
    created = await put(api)
    second = created["next_due"].split(".")[0].rstrip("Z") + "Z"
    body = (await api.get(f"{A}/explain", params={"at": second})).json()
    assert (body["due"], body["due_at"]) == (True, created["next_due"])
    assert body["explanation"].endswith("and will run, unless something stops it.")


async def test_explain_tells_of_the_future_and_of_what_is_no_due_time(api):
    await put(api, trigger={"cron": "0 2 * * *", "timezone": "Europe/Berlin"})
    body = (await api.get(f"{A}/explain", params={"at": "2031-06-01T01:30:00Z"})).json()
    assert (body["due"], body["ledger"]) == (False, None)
    wanted = "It is not due at 2031-06-01T01:30:00Z (2031-06-01T03:30:00+02:00); the due time before is "
    assert body["explanation"].startswith(wanted + "2031-06-01T00:00:00Z")
    body = (await api.get(f"{A}/explain", params={"at": "2020-06-01T00:00:00Z"})).json()
    assert (body["due"], body["ledger"]) == (True, None)
    assert "the schedule was created later" in body["explanation"]
    await api.post(f"{A}/pause", json={"reason": "release"})
    body = (await api.get(f"{A}/explain")).json()
    assert [one["reason"] for one in body["could_stop_it"]] == ["paused"]
    assert body["next_due"] is None
    api.problem(await api.get("/v1/schedules/nobody/explain"), 404)
    assert await api.wrong(api.get(f"{A}/explain", params={"at": "then"})) == ["#/at"]


async def test_a_schedule_shows_its_bounds_and_counts(api):
    body = await put(api, starts_at="2031-01-01T00:00:00Z", ends_at="2031-02-01T00:00:00+01:00", max_runs=3)
    assert (body["starts_at"], body["ends_at"], body["max_runs"]) == ("2031-01-01T00:00:00Z", "2031-01-31T23:00:00Z", 3)
    assert (body["run_count"], body["next_due"], body["trigger"]["anchor"]) == (0, *["2031-01-01T00:00:00Z"] * 2)
    assert (
        body["description"] == "Every 10 seconds, from 2031-01-01T00:00:00Z, until 2031-01-31T23:00:00Z, 3 runs at most"
    )


async def test_a_schedule_that_comes_after_another_is_shown_in_words_and_its_runs_name_their_cause(api):
    await put(api)
    response = await api.put("/v1/schedules/b", json={"task": "quick", "trigger": {"after": "a", "on": "any"}})
    assert response.status_code == 201
    body = response.json()
    assert (body["description"], body["next_due"], body["state"]) == ("When a run of a ends", None, "active")
    first = (await api.post(f"{A}/trigger")).json()["uri"]
    found = await api.until("/v1/instances?schedule=b", lambda page: page["items"])
    assert (found["items"][0]["cause"], found["items"][0]["after"]) == ("after", first)


async def test_a_trigger_by_hand_can_wait_or_replace(api):
    await put(api, task="sleeper")
    first = (await api.post(f"{A}/trigger")).json()["uri"]
    assert api.problem(await api.post(f"{A}/trigger"), 409)["blocked_by"] == first
    second = await api.post(f"{A}/trigger", json={"overlap": "queue"})
    assert second.status_code == 202
    waiting = (await api.get(second.json()["uri"])).json()
    assert (waiting["state"], waiting["waits_for"]) == ("queued", "schedule:a")
    third = await api.post(f"{A}/trigger", json={"overlap": "replace"})
    assert (await api.over(first))["outcome"] == "cancelled"
    assert (await api.get(second.json()["uri"])).json()["outcome"] == "cancelled"
    assert (await api.until(third.json()["uri"], lambda found: found["running"]))["cause"] == "manual"
