"""When schedules fire, as the API tells it: durations, times, previews, what is to come, and the ledger."""

from itertools import pairwise

import pytest

from callsheet.instants import parse_instant

EVERY = {"task": "quick", "trigger": {"every": "10s"}}
A = "/v1/schedules/a"
B = "/v1/schedules/b"
PREVIEW = "/v1/schedules/preview"


# Durations and times on the way in


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30s", 30), ("2m", 120), ("1h30m", 5400), ("1d", 86_400), ("1d2h3m4s", 93_784), ("1500ms", 1.5),
        ("2.5s", 2.5), (" 90S ", 90), (30, 30), (1.25, 1.25), (3.0, 3),
    ],
)  # fmt: skip
async def test_a_duration_may_be_written_in_any_way_and_is_shown_in_seconds(api, written, seconds):
    fields = dict.fromkeys(("catch_up_window", "jitter", "timeout"), written)
    body = (await api.put(A, json={"task": "quick", "trigger": {"every": written}} | fields)).json()

    assert body["trigger"]["every"] == seconds
    assert [body[name] for name in fields] == [seconds] * 3
    run = (await api.post(f"{A}/trigger")).headers["Location"]
    assert (await api.get(run)).json()["timeout"] == seconds


NO_DURATIONS = (
    "", "s", "30", "-1s", "1 hour", "1h 30m", "5x", "1e3s", "٣s", "PT1H", True, [], {}, -1, 1e300, "999999999d",
)  # fmt: skip


async def test_what_is_no_duration_is_refused(api):
    for written in NO_DURATIONS:
        fields = dict.fromkeys(("catch_up_window", "jitter", "timeout"), written)
        pointers = await api.wrong(api.put(A, json={"task": "quick", "trigger": {"every": written}} | fields))
        assert set(pointers) == {"#/trigger/every", "#/catch_up_window", "#/jitter", "#/timeout"}, written


@pytest.mark.parametrize("every", ["999ms", 0.5, 0, "0s"])
async def test_an_interval_is_at_least_a_second(api, every):
    assert await api.wrong(api.put(A, json=EVERY | {"trigger": {"every": every}})) == ["#/trigger/every"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("2027-08-08T17:35:00+00:00", "2027-08-08T17:35:00Z"),
        ("2027-08-08T17:35:00.250-07:30", "2027-08-09T01:05:00.250000Z"),
        ("2027-08-08t17:35:00.123456789z", "2027-08-08T17:35:00.123456Z"),
        ("9999-12-29T23:59:59Z", "9999-12-29T23:59:59Z"),
    ],
)
async def test_a_time_with_any_offset_is_shown_in_utc(api, written, shown):
    body = (await api.put(A, json=EVERY | {"trigger": {"at": written}})).json()
    assert (body["trigger"], body["next_due"]) == ({"at": shown}, shown)


NO_TIMES = (
    "2027-08-08T17:35:00", "2027-08-08", "2027-02-30T00:00:00Z", "2027-08-08T25:00:00Z", "2027-08-08T17:35:00+99Z",
    "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z", "0000-00-00T00:00:00Z", "today", "", 1700000000, None, True, {},
)  # fmt: skip


async def test_what_is_no_time_is_refused(api):
    for written in NO_TIMES:
        assert await api.wrong(api.put(A, json=EVERY | {"trigger": {"at": written}})) == ["#/trigger/at"], written
        assert await api.wrong(api.post(PREVIEW, json={"trigger": {"every": 1}, "after": written})) == ["#/after"]


async def test_a_time_that_has_passed_is_refused_at_creation_but_may_stay(api):
    passed = EVERY | {"trigger": {"at": "2020-01-01T00:00:00Z"}}
    assert await api.wrong(api.put(A, json=passed)) == ["#/trigger/at"]

    once = EVERY | {"trigger": {"at": "2090-01-01T00:00:00Z"}}
    await api.put(A, json=once)
    await api.pass_time(75 * 366 * 86_400)
    assert (await api.put(A, json=once | {"tags": ["kept"]})).json()["state"] == "finished"


# Preview


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        ({"every": "1h30m"}, "Every 1 hour 30 minutes"),
        ({"every": "1d"}, "Every day"),
        ({"cron": "*/5 * * * *"}, "Every 5 minutes (UTC)"),
        ({"cron": "@hourly"}, "At the start of every hour (UTC)"),
        ({"cron": "0 2 * * *", "timezone": "Europe/Berlin"}, "At 02:00 every day (Europe/Berlin)"),
        ({"at": "2127-01-01T01:00:00+01:00"}, "Once at 2127-01-01T00:00:00Z"),
    ],
)
async def test_a_trigger_is_told_in_words(api, trigger, words):
    preview = (await api.post(PREVIEW, json={"trigger": trigger})).json()
    created = (await api.put(A, json=EVERY | {"trigger": trigger})).json()
    assert preview["description"] == created["description"] == words


async def test_a_preview_tells_the_next_due_times_in_utc_and_as_the_clocks_there_show(api):
    trigger = {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}
    asked = {"trigger": trigger, "after": "2027-03-27T00:00:00Z", "limit": 3}
    body = (await api.post(PREVIEW, json=asked)).json()

    assert body["items"] == [
        {"due_at": "2027-03-27T01:30:00Z", "local": "2027-03-27T02:30:00+01:00"},
        {"due_at": "2027-03-28T01:00:00Z", "local": "2027-03-28T03:00:00+02:00"},  # the clocks jump over 02:30
        {"due_at": "2027-03-29T00:30:00Z", "local": "2027-03-29T02:30:00+02:00"},
    ]


async def test_a_preview_saves_nothing(api):
    for limit, wanted in ((None, 10), (1, 1), (200, 200)):
        asked = {"trigger": {"every": "10s"}} | ({} if limit is None else {"limit": limit})
        assert len((await api.post(PREVIEW, json=asked)).json()["items"]) == wanted
    assert (await api.get("/v1/schedules")).json()["items"] == []
    assert (await api.get("/v1/upcoming")).json()["items"] == []


async def test_a_preview_tells_all_that_is_wrong(api):
    wrong = {"trigger": {"cron": "61 * * * *", "timezone": "X"}, "after": 1, "limit": 201, "more": 1}
    pointers = {"#/trigger/cron", "#/trigger/timezone", "#/after", "#/limit", "#/more"}
    assert set(await api.wrong(api.post(PREVIEW, json=wrong))) == pointers
    assert await api.wrong(api.post(PREVIEW, json={})) == ["#/trigger"]


async def test_a_trigger_that_will_never_come_again_has_an_empty_preview(api):
    asked = {"trigger": {"at": "2027-01-01T00:00:00Z"}, "after": "2027-01-01T00:00:00Z"}
    assert (await api.post(PREVIEW, json=asked)).json()["items"] == []


# What is to come


async def test_what_is_to_come_is_what_the_preview_told(api):
    trigger = {"cron": "0 2 * * MON", "timezone": "Europe/Berlin"}
    preview = (await api.post(PREVIEW, json={"trigger": trigger, "limit": 7})).json()["items"]
    await api.put(A, json=EVERY | {"trigger": trigger})
    items = (await api.get(f"{A}/upcoming", params={"limit": 7})).json()["items"]

    assert [{name: item[name] for name in ("due_at", "local")} for item in items] == preview
    assert {(item["schedule"], item["uri"], item["task"]) for item in items} == {("a", A, "quick")}
    assert len((await api.get(f"{A}/upcoming")).json()["items"]) == 50


async def test_what_is_to_come_of_all_schedules_is_merged_soonest_first(api):
    await api.put(A, json=EVERY | {"trigger": {"every": "20s"}})
    await api.put(B, json=EVERY | {"trigger": {"every": "30s"}})
    await api.put("/v1/schedules/c", json=EVERY | {"trigger": {"every": "1s"}})
    await api.post("/v1/schedules/c/pause")
    items = (await api.get("/v1/upcoming", params={"limit": 5})).json()["items"]

    assert [item["schedule"] for item in items] == ["a", "b", "a", "a", "b"]
    times = [parse_instant(item["due_at"]) for item in items]
    assert times == sorted(times)
    until = (await api.get("/v1/upcoming", params={"until": items[2]["due_at"]})).json()["items"]
    assert until == items[:3]
    assert (await api.get("/v1/upcoming", params={"until": "1970-01-01T00:00:00Z"})).json()["items"] == []


# The ledger


async def test_every_due_time_that_ran_stands_in_the_ledger(api):
    due = (await api.put(A, json=EVERY)).json()["next_due"]
    await api.post(f"{A}/trigger")  # a run by hand is no due time
    await api.until("/v1/instances?state=succeeded", lambda page: len(page["items"]) == 1)
    await api.pass_time(10)
    page = await api.until(f"{A}/ledger", lambda page: page["items"] and page["items"][0]["outcome"])

    [entry] = page["items"]
    run = (await api.get(entry["instance"])).json()
    assert entry == {"fate": "ran", "due_at": due, "instance": run["uri"], "outcome": "succeeded", "attempt": 1}
    assert (run["schedule"], run["cause"], run["due_at"]) == ("a", "schedule", due)
    assert page["next"] is None
    assert (await api.get(A)).json()["last_due"] == due


async def test_due_times_that_were_skipped_are_one_row_that_names_the_blocker(api):
    await api.put(A, json=EVERY | {"task": "sleeper"})
    await api.pass_time(10)
    for _ in range(3):
        await api.pass_time(10)
    skipped, ran = (await api.get(f"{A}/ledger")).json()["items"]

    assert (ran["fate"], ran["outcome"]) == ("ran", None)
    assert skipped.keys() == {"fate", "reason", "first_due", "last_due", "count", "blocked_by"}
    assert (skipped["fate"], skipped["reason"], skipped["count"]) == ("skipped", "overlap", 3)
    assert skipped["blocked_by"] == ran["instance"]
    assert parse_instant(skipped["last_due"]) - parse_instant(skipped["first_due"]) == 20_000_000


async def test_a_ledger_is_walked_without_gap_or_repetition_while_it_grows(api):
    await api.put(A, json=EVERY | {"overlap": "allow"})
    for _ in range(7):
        await api.pass_time(10)
    first = (await api.get(f"{A}/ledger", params={"limit": 2})).json()
    await api.pass_time(10)
    rest = await api.walk(f"{A}/ledger", limit=2, cursor=first["next"])

    due = [parse_instant(entry["due_at"]) for entry in [*first["items"], *rest]]
    assert len(due) == 7
    assert {later - earlier for later, earlier in pairwise(due)} == {10_000_000}


async def test_only_a_schedule_that_never_was_has_no_ledger(api):
    api.problem(await api.get(f"{A}/ledger"), 404)
    api.problem(await api.get("/v1/schedules/-/ledger"), 404)
    await api.put(A, json=EVERY)
    assert (await api.get(f"{A}/ledger")).json() == {"items": [], "next": None}


# Triggering by hand


async def test_triggering_starts_a_run_and_moves_no_due_time(api):
    before = (await api.put(A, json=EVERY | {"tags": ["x"], "timeout": "5s"})).json()
    response = await api.post(f"{A}/trigger")

    assert response.status_code == 202
    run = await api.over(response.headers["Location"])
    assert response.json() == {"id": run["id"], "uri": run["uri"], "schedule": "a"}
    assert (run["cause"], run["due_at"], run["tags"], run["timeout"]) == ("manual", None, ["x"], 5)
    assert (await api.get(A)).json() == before


async def test_triggering_what_runs_is_a_conflict_unless_overlap_is_allowed(api):
    await api.put(A, json=EVERY | {"task": "sleeper"})
    first = (await api.post(f"{A}/trigger")).headers["Location"]

    assert api.problem(await api.post(f"{A}/trigger"), 409)["blocked_by"] == first
    assert (await api.post(f"{A}/trigger", json={"overlap": "allow"})).status_code == 202
    await api.patch(A, json={"overlap": "allow"})
    assert (await api.post(f"{A}/trigger")).status_code == 202
    api.problem(await api.post(f"{A}/trigger", json={"overlap": "skip"}), 409)


async def test_a_run_by_hand_may_have_an_input_of_its_own(api):
    await api.put(A, json={"task": "say", "input": {"text": "stored"}, "trigger": {"every": "10s"}})
    own = (await api.post(f"{A}/trigger", json={"input": {"text": "own", "times": 2}})).headers["Location"]
    assert (await api.over(own))["outputs"] == ["own", "own"]
    stored = (await api.post(f"{A}/trigger", json={})).headers["Location"]
    assert (await api.over(stored))["outputs"] == ["stored"]

    wrong = {"text": "", "times": 0}
    assert set(await api.wrong(api.post(f"{A}/trigger", json={"input": wrong}))) == {"#/input/text", "#/input/times"}
    assert set(await api.wrong(api.post(f"{A}/trigger", json={"overlap": 1, "more": 1}))) == {"#/overlap", "#/more"}
