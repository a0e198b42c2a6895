"""What a webhook subscribes to, and messages by a public standard."""

import pytest

from callsheet.subscriptions import check_name, cloud_event, takes

ENDED = {"task": "a", "outcome": "failed"}
EVENT = {
    "id": 7, "at": "2026-11-23T12:00:00Z", "type": "instance.ended",
    "schedule": "s", "instance": "/v1/instances/i", "data": ENDED,
}  # fmt: skip


@pytest.mark.parametrize("name", ["*", "instance.*", "instance.ended", "failed"])
def test_an_event_is_taken_by_type_by_family_and_by_outcome(name):
    assert takes((name,), "instance.ended", ENDED)


@pytest.mark.parametrize("name", ["schedule.*", "instance.started", "succeeded", "missed"])
def test_what_was_not_asked_for_is_not_taken(name):
    assert not takes((name,), "instance.ended", ENDED)


def test_omissions_are_taken_by_their_fate():
    assert takes(("missed", "failed"), "due.omitted", {"fate": "missed"})
    assert not takes(("skipped",), "due.omitted", {"fate": "missed"})


def test_events_about_webhooks_go_to_none():
    assert not takes(("*", "webhook.*"), "webhook.gave_up", {})


@pytest.mark.parametrize("name", ["", "nonsense", "instance.", "*.*", "Instance.ended", 3, None])
def test_a_name_that_can_mean_nothing_is_refused(name):
    with pytest.raises(ValueError, match=r"families like instance\.\*"):
        check_name(name)


def test_a_message_is_a_cloud_event():
    assert cloud_event("urn:callsheet:n1", EVENT) == {
        "specversion": "1.0",
        "id": "7",
        "source": "urn:callsheet:n1",
        "type": "callsheet.instance.ended",
        "time": "2026-11-23T12:00:00Z",
        "subject": "/v1/instances/i",
        "datacontenttype": "application/json",
        "data": EVENT,
    }
    about_a_schedule = cloud_event("urn:callsheet:n1", EVENT | {"instance": None})
    assert about_a_schedule["subject"] == "/v1/schedules/s"
    assert "subject" not in cloud_event("urn:callsheet:n1", EVENT | {"instance": None, "schedule": None})
