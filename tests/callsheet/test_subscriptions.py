"""What a webhook subscribes to, and messages by two public standards."""

import base64

import pytest

from callsheet.subscriptions import check_name, check_secret, cloud_event, new_secret, signed, takes

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


def test_a_signature_is_that_of_the_standard():
    # the example of github.com/standard-webhooks/standard-webhooks, libraries/python
    headers = signed("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
                     b'{"test": 2432232314}')  # fmt: skip

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_secrets_are_long_and_not_twice_the_same():
    one, other = new_secret(), new_secret()

    assert check_secret(one) == one != other
    for wrong in ("whsec_", "whsec_" + base64.b64encode(b"x" * 23).decode(), "whsec_!!!!", one[6:], 3, None):
        with pytest.raises(ValueError, match="24 to 64"):
            check_secret(wrong)


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
