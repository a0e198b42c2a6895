"""/metrics counts what was committed, whole, and goes on when a part of the service does not answer."""

from prometheus_client.parser import text_string_to_metric_families

from callsheet.errors import Unavailable

A = "/v1/schedules/a"


async def scrape(api):
    """Return the samples of a scrape: (name, labels in order of their names) -> value."""
    response = await api.get("/metrics")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    families = list(text_string_to_metric_families(response.text))
    assert all(family.documentation for family in families)
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


async def test_runs_are_counted_by_task_and_outcome_once_they_are_over(api):
    for name in ("quick", "quick", "failing"):
        await api.over(await api.start(name))
    await api.counted("instance.ended", 3)
    await api.until(await api.start("sleeper"), lambda found: found["state"] == "running")
    found = await scrape(api)

    assert found["callsheet_instances_total", "succeeded", "quick"] == 2
    assert found["callsheet_instances_total", "failed", "failing"] == 1
    assert found["callsheet_instances_started_total", "manual", "sleeper"] == 1
    assert found["callsheet_instances_running", "sleeper"] == 1
    assert found["callsheet_instance_duration_seconds_count", "quick"] == 2
    assert found["callsheet_instance_duration_seconds_bucket", "+Inf", "quick"] == 2
    assert found["callsheet_events_total", "instance.ended"] == 3


async def test_due_times_are_counted_whether_they_ran_or_not(api):
    await api.put(A, json={"task": "held", "trigger": {"every": "10s"}})
    await api.pass_time(10)
    await api.pass_time(10)
    found = await scrape(api)

    assert found["callsheet_due_times_omitted_total", "skipped", "overlap"] == 1
    assert found["callsheet_firing_delay_seconds_count", "held"] == 1
    assert found["callsheet_schedules", "active"] == 1


async def test_what_waits_for_its_turn_is_a_gauge(api):
    await api.start("held")
    await api.start("held")
    await api.until("/v1/stats", lambda stats: (stats["running"], stats["queued"]) == (1, 1))

    assert (await scrape(api))["callsheet_instances_queued",] == 1


async def test_requests_are_counted_by_route_and_never_by_path(api):
    for path in ("/v1/schedules/a", "/v1/schedules/b", "/no/such/page", "/nor/this"):
        await api.get(path)
    found = await scrape(api)

    assert found["callsheet_http_requests_total", "GET", "/v1/schedules/<name>", "404"] == 2
    assert found["callsheet_http_requests_total", "any", "none", "404"] == 2
    assert found["callsheet_http_request_seconds_count",] == 4
    assert found["callsheet_http_connections",] >= 1


async def test_the_parts_of_the_engine_tell_how_they_are(api):
    await api.over(await api.start("quick"))
    found = await scrape(api)

    assert found["callsheet_ready",] == 1
    assert {key[1]: value for key, value in found.items() if key[0] == "callsheet_queue_depth"} == {
        "bus": 0, "tipman": 0, "scheduler": 0, "narrator": 0,
    }  # fmt: skip
    assert found["callsheet_actor_restarts_total", "scheduler"] == 0
    transactions = found["callsheet_db_transaction_seconds_count",]
    assert found["callsheet_db_batch_commands_count",] == transactions > 2
    assert found["callsheet_db_failures_total",] == 0


async def test_no_schedule_is_ever_a_label(api):
    await api.put("/v1/schedules/of-a-million", json={"task": "quick", "trigger": {"every": "10s"}})
    await api.pass_time(10)

    assert "of-a-million" not in (await api.get("/metrics")).text


async def test_counters_are_told_while_the_database_is_away(api, monkeypatch):
    async def away(*_):
        raise Unavailable("The database does not answer in time.")

    await api.over(await api.start("quick"))
    await api.counted("instance.ended", 1)
    with monkeypatch.context() as outage:
        outage.setattr(api.door, "read", away)
        found = await scrape(api)

    assert found["callsheet_instances_total", "succeeded", "quick"] == 1
    assert "callsheet_schedules" not in {name for name, *_ in found}
