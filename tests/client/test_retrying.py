"""A request is sent again where that does nothing twice, and only there."""

import json

import pytest

from callsheet.client import Invalid, RateLimited, Unauthorized, Unavailable, Unreachable
from callsheet.client.call import call
from callsheet.client.retrying import Patience
from callsheet.models import Probe, Started


def answer(body, status="200 OK", kind="application/json", **headers):
    """Return an answer as a script has it."""
    return body, status, kind, headers


BUSY = answer('{"type": "/problems/unavailable", "status": 503, "detail": "Not now."}', "503 Busy", Retry_After="0")
STARTED = answer('{"id": "a", "uri": "/v1/instances/a"}')
BROKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"
WEBHOOK = """{"id": "a", "uri": "/v1/webhooks/a", "url": "http://a.example/", "events": ["*"], "schedules": [],
 "enabled": true, "disabled_because": null, "pending": 0, "last_delivered_at": null, "last_failed_at": null,
 "last_error": null, "created_at": "2026-11-23T12:00:00Z", "updated_at": "2026-11-23T12:00:00Z"}"""
NO_KEYS = answer('{"type": "/problems/not-there-yet", "status": 501}', "501 Not there yet")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    """Let no test wait for a pause."""
    monkeypatch.setattr(Patience, "backoff", lambda self, tried: 0.0)


async def test_a_busy_service_is_asked_again(script):
    there, client = await script(BUSY, BUSY, answer('{"items": [], "next": null}'))
    async with client:
        assert await client.upcoming() == []
    assert len(there.asked) == 3


async def test_it_gives_up_after_so_many_tries_and_says_what_the_last_answer_was(script):
    there, client = await script(BUSY, tries=3)
    async with client:
        with pytest.raises(Unavailable, match=r"Not now\.") as caught:
            await client.stats()
    assert (len(there.asked), caught.value.retry_after) == (3, 0)


async def test_a_start_whose_answer_was_lost_is_repeated_under_the_same_key(script):
    there, client = await script(BROKEN, STARTED)
    async with client:
        assert (await client.tasks.start("x")).id == "a"
    first, second = there.asked
    assert first["idempotency-key"] == second["idempotency-key"]


async def test_two_starts_have_two_keys_and_what_is_idempotent_has_none(script):
    there, client = await script(STARTED, STARTED, answer("{}", "404 No"))
    async with client:
        await client.tasks.start("x")
        await client.tasks.start("x")
        assert await client.schedules.find("x") is None
    keys = [one.get("idempotency-key") for one in there.asked]
    assert keys[0] != keys[1]
    assert keys[2] is None


async def test_a_webhook_has_its_secret_though_the_answer_that_named_it_was_lost(script):
    there, client = await script(BROKEN, answer(WEBHOOK, "201 Created", Idempotency_Replayed="true"))
    async with client:
        made = await client.webhooks.create("http://a.example/", ["*"])
    assert [json.loads(one["body"])["secret"] for one in there.asked] == [made.secret] * 2


async def test_without_a_key_a_start_whose_answer_was_lost_is_not_repeated(script):
    there, client = await script(BROKEN, STARTED, idempotency=False)
    async with client:
        with pytest.raises(Unreachable, match="The connection broke") as caught:
            await client.tasks.start("x")
    assert (len(there.asked), caught.value.sent) == (1, True)


async def test_a_service_without_keys_is_asked_without(script):
    there, client = await script(NO_KEYS, STARTED, STARTED)
    async with client:
        await client.tasks.start("x")
        await client.tasks.start("x")
    assert ["idempotency-key" in one for one in there.asked] == [True, False, False]


async def test_too_many_requests_are_sent_later_whatever_they_are(script):
    there, client = await script(answer("{}", "429 Slow", Retry_After="0"), STARTED, idempotency=False)
    async with client:
        await client.tasks.start("x")
    assert len(there.asked) == 2


async def test_nobody_waits_for_an_hour(script):
    _, client = await script(answer("{}", "429 Slow", Retry_After="3600"))
    async with client:
        with pytest.raises(RateLimited) as caught:
            await client.stats()
    assert caught.value.retry_after == 3600


async def test_a_wrong_request_is_not_repeated(script):
    there, client = await script(answer('{"errors": [{"pointer": "#/a", "detail": "is wrong"}]}', "422 No"))
    async with client:
        with pytest.raises(Invalid) as caught:
            await client.stats()
    assert (len(there.asked), caught.value.errors[0].pointer) == (1, "#/a")


async def test_probes_ask_once(script):
    there, client = await script(BUSY)
    async with client:
        with pytest.raises(Unavailable):
            await client.ready()
    assert len(there.asked) == 1


async def test_the_token_is_sent_and_never_shown(script):
    there, client = await script(answer("no", "401 Unauthorized", "text/plain"), token="s3cret")
    async with client:
        with pytest.raises(Unauthorized, match="The service answered 401 Unauthorized"):
            await client.stats()
        assert "s3cret" not in repr(client._transport.target)
    assert there.asked[0]["authorization"] == "Bearer s3cret"


def test_a_change_with_a_precondition_is_not_repeatable():
    assert call("PUT", "/x/{}", Probe, "a").repeatable
    assert not call("PUT", "/x/{}", Probe, "a", if_match=3).repeatable


def test_pauses_grow_and_have_a_bound():
    patience = Patience(first=1, most=8)

    assert patience.pause(call("GET", "/", Started), 4, Unreachable("x"), keyed=False) is None
