"""/metrics counts what was committed, whole, and goes on when a part of the service does not answer."""

from uuid import uuid4

import trio
from prometheus_client.parser import text_string_to_metric_families

from actors.meter import MOST_TASKS, OTHERS
from callsheet.errors import Unavailable
from callsheet.lifecycle import OMISSIONS, OUTCOMES
from storage.journal.facts import InstanceEnded
from storage.queries.invariants import WALKS

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
        "bus": 0, "tipman": 0, "scheduler": 0, "narrator": 0, "feed": 0, "webhooks": 0,
    }  # fmt: skip
    assert {key[1]: value for key, value in found.items() if key[0] == "callsheet_actor_restarts_total"} == {
        "scheduler": 0, "narrator": 0, "feed": 0, "webhooks": 0, "janitor": 0, "auditor": 0,
    }  # fmt: skip
    transactions = found["callsheet_db_transaction_seconds_count",]
    assert found["callsheet_db_batch_commands_count",] == transactions > 2
    assert found["callsheet_db_failures_total",] == 0


async def test_the_broken_invariants_are_counted_by_kind_and_stand_at_nought(api):
    kinds = {rule.kind for walk in WALKS for rule in walk.rules}
    found = await scrape(api)
    assert {key[1]: value for key, value in found.items() if key[0] == "callsheet_invariants_broken_total"} == (
        dict.fromkeys(kinds, 0)
    )
    api.engine.audit.broken["overlap"] = 2  # as the auditor does, whose own tests break things
    api.engine.audit.rows = 1000
    found = await scrape(api)

    assert found["callsheet_invariants_broken_total", "overlap"] == 2
    assert found["callsheet_invariants_checked_rows_total",] == 1000


async def test_what_an_alert_waits_for_is_a_series_before_it_happens(api):
    """A counter that appears with its first event has not increased, to Prometheus."""
    await api.over(await api.start("quick"))
    await api.counted("instance.ended", 1)
    found = await scrape(api)

    assert {key[1] for key in found if key[0] == "callsheet_instances_total"} == set(OUTCOMES)
    assert found["callsheet_instances_total", "lost", "quick"] == 0
    assert found["callsheet_events_total", "loop.blocked"] == 0
    assert {key[1:] for key in found if key[0] == "callsheet_due_times_omitted_total"} == {
        (fate, reason) for fate, reasons in OMISSIONS.items() for reason in reasons
    }


async def test_however_many_tasks_there_are_only_so_many_are_labels(api):
    ended = [InstanceEnded(uuid4(), f"task-{number}", None, "succeeded", 0.1) for number in range(MOST_TASKS + 50)]
    api.engine.meter.take(ended)
    uri = await api.start("sleeper")
    await api.until(uri, lambda found: found["state"] == "running")
    found = await scrape(api)
    tasks = {key[-1] for key in found if key[0] == "callsheet_instances_total"}

    assert len(tasks) == MOST_TASKS + 1
    assert found["callsheet_instances_total", "succeeded", OTHERS] == 50
    assert found["callsheet_instance_duration_seconds_count", OTHERS] == 50
    assert found["callsheet_instances_running", OTHERS] == 1


async def test_streams_and_messages_that_wait_are_gauges(api):
    hook = {"url": "http://never.invalid/", "events": ["*"]}
    async with api.listen("/v1/events"):
        assert (await api.post("/v1/webhooks", json=hook)).status_code == 201
        await api.over(await api.start("quick"))
        with trio.fail_after(10):
            while not (found := await scrape(api))["callsheet_webhook_messages",]:
                await trio.sleep(0.01)

        assert found["callsheet_http_streams",] == 1


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
