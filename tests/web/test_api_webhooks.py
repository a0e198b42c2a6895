"""/v1/webhooks over real sockets: signed, tried again until it arrives, and given up in the end."""

import json
from contextlib import suppress

import pytest
import trio
from attrs import define, field

from actors import webhooks as actor
from callsheet.builtin.addresses import allow, allowed, parse_allow
from callsheet.instants import SECOND
from callsheet.signing import signed
from callsheet.subscriptions import BACKOFF
from callsheet.tasks.retry import Retry


@define
class Receiver:
    """A server that notes what it is told; it answers with the statuses given, and then 204, and below /deaf never."""

    statuses: list = field(factory=list)
    heard: list = field(factory=list)
    port: int = 0
    silent: bool = False
    _came: trio.Event = field(factory=trio.Event)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/hook"

    async def handle(self, stream):
        async with stream:
            with suppress(trio.BrokenResourceError):
                data = b""
                while b"\r\n\r\n" not in data:
                    data += await stream.receive_some()
                head, _, body = data.partition(b"\r\n\r\n")
                lines = head.decode().split("\r\n")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
                while len(body) < int(headers["content-length"]):
                    body += await stream.receive_some()
                if "/deaf" in lines[0]:
                    await trio.sleep_forever()
                self.heard.append((headers, body))
                self._came.set()
                self._came = trio.Event()
                if self.silent:
                    await trio.sleep_forever()
                status = self.statuses.pop(0) if self.statuses else 204
                await stream.send_all(f"HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n\r\n".encode())

    async def until(self, count):
        """Wait until it was told that often; return the documents."""
        with trio.fail_after(20):
            while len(self.heard) < count:
                await self._came.wait()
        return [json.loads(body) for _, body in self.heard]


@pytest.fixture
async def receiver(nursery, monkeypatch):
    """A receiver on loopback, which messages may go to, and retries that do not wait for long."""
    one = Receiver()
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    one.port = listeners[0].socket.getsockname()[1]
    nursery.start_soon(trio.serve_listeners, one.handle, listeners)
    token = allowed.set(())
    allow([parse_allow(f"127.0.0.1/32:{one.port}")])
    monkeypatch.setattr(actor, "BACKOFF", Retry(0, backoff="10ms..20ms"))
    monkeypatch.setattr(actor, "IDLE_PACE", 0.01)
    monkeypatch.setattr(actor, "PACE", 0.01)
    yield one
    allowed.reset(token)


@pytest.fixture
def serve(receiver, serving):
    """Start the service where it may send to the receiver."""
    return serving


async def make(api, receiver, *events, **fields):
    """Make a webhook and return it."""
    answer = await api.post("/v1/webhooks", json={"url": receiver.url, "events": list(events), **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def settled(api, hook):
    """Wait until nothing is on its way any more."""
    return await api.until(hook["uri"], lambda found: found["pending"] == 0)


async def test_a_message_arrives_signed_as_a_cloud_event(serve, receiver, database_url):
    async with serve(database_url) as api:
        hook = await make(api, receiver, "failed")
        await api.over(await api.start("quick"))
        uri = await api.start("failing")
        (document,) = await receiver.until(1)
        found = await settled(api, hook)

    headers, body = receiver.heard[0]
    assert document["type"] == "callsheet.instance.ended"
    assert (document["data"]["instance"], document["data"]["data"]["outcome"]) == (uri, "failed")
    assert headers["content-type"].startswith("application/cloudevents+json")
    expected = signed(hook["secret"], headers["webhook-id"], int(headers["webhook-timestamp"]), body)
    assert headers["webhook-signature"] == expected["webhook-signature"]
    assert found["last_delivered_at"] is not None
    assert "secret" not in found


async def test_a_message_is_sent_again_until_it_is_taken(serve, receiver, database_url):
    receiver.statuses += [500, 302, 404]
    async with serve(database_url) as api:
        hook = await make(api, receiver, "instance.ended")
        await api.over(await api.start("quick"))
        await receiver.until(4)
        found = await settled(api, hook)

    assert len({headers["webhook-id"] for headers, _ in receiver.heard}) == 1
    assert found["enabled"]
    assert found["last_error"] == "The answer was 404."


async def test_messages_survive_a_stop_and_events_meanwhile_are_not_missed(serve, receiver, sqlite_url):
    receiver.statuses += [500] * 1000
    async with serve(sqlite_url) as api:
        await make(api, receiver, "instance.ended")
        await api.over(await api.start("quick"))
        await receiver.until(1)
        await api.start("sleeper")  # interrupted at the stop
    receiver.statuses.clear()
    receiver.heard.clear()
    async with serve(sqlite_url):
        documents = await receiver.until(2)

    assert sorted(one["data"]["data"]["outcome"] for one in documents) == ["interrupted", "succeeded"]


async def test_only_the_schedules_named_are_told_of(serve, receiver, sqlite_url):
    async with serve(sqlite_url) as api:
        for name in ("a", "b"):
            await api.put(f"/v1/schedules/{name}", json={"task": "quick", "trigger": {"every": "1h"}})
        await make(api, receiver, "instance.*", schedules=["b"])
        for name in ("a", "b"):
            await api.over((await api.post(f"/v1/schedules/{name}/trigger")).headers["Location"])
        documents = await receiver.until(2)

    assert {one["data"]["schedule"] for one in documents} == {"b"}
    assert {one["type"] for one in documents} == {"callsheet.instance.started", "callsheet.instance.ended"}


async def test_after_a_day_a_message_is_given_up_and_its_webhook_disabled(serve, receiver, sqlite_url):
    receiver.statuses += [503] * 1000
    async with serve(sqlite_url) as api:
        hook = await make(api, receiver, "instance.ended")
        await api.over(await api.start("quick"))
        await receiver.until(1)
        api.clock.ahead += 25 * 3600 * SECOND
        found = await api.until(hook["uri"], lambda found: not found["enabled"])
        told = (await api.get("/v1/events", params={"types": "webhook.*"})).json()["items"]

    assert found["pending"] == 0
    assert "nothing could be delivered" in found["disabled_because"]
    assert [one["type"] for one in told] == ["webhook.gave_up", "webhook.disabled"]
    assert told[0]["data"]["webhook"] == hook["id"]
    assert told[0]["data"]["error"] == "The answer was 503."


async def test_a_server_that_is_gone_for_good_is_left_alone_until_somebody_enables_it(serve, receiver, sqlite_url):
    receiver.statuses += [410]
    async with serve(sqlite_url) as api:
        hook = await make(api, receiver, "instance.ended")
        await api.over(await api.start("quick"))
        await api.until(hook["uri"], lambda found: not found["enabled"])
        await api.over(await api.start("quick"))
        enabled = (await api.patch(hook["uri"], json={"enabled": True})).json()
        uri = await api.start("quick")
        documents = await receiver.until(2)

    assert enabled["enabled"]
    assert enabled["disabled_because"] is None
    assert documents[1]["data"]["instance"] == uri


async def test_a_webhook_that_nothing_can_be_sent_to_does_not_fill_the_disk(serve, receiver, sqlite_url, monkeypatch):
    monkeypatch.setattr("storage.journal.webhooks.MOST_PENDING", 5)
    receiver.silent = True
    async with serve(sqlite_url) as api:
        hook = await make(api, receiver, "*")
        await api.post("/v1/instances/batch", json={"items": [{"task": "quick", "input": None}] * 20})
        found = await api.until(hook["uri"], lambda found: not found["enabled"])

    assert found["disabled_because"] == "more than 5 messages are on their way"


async def test_one_who_does_not_answer_does_not_hold_up_the_others(serve, receiver, sqlite_url, nursery):
    mute = Receiver(silent=True)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    mute.port = listeners[0].socket.getsockname()[1]
    nursery.start_soon(trio.serve_listeners, mute.handle, listeners)
    allow([parse_allow("127.0.0.1/32")])
    async with serve(sqlite_url) as api:
        await make(api, mute, "*")
        await make(api, receiver, "instance.ended")
        for count in range(1, 4):
            await api.over(await api.start("quick"))
            await receiver.until(count)

    assert 1 <= len(mute.heard) <= actor.EACH


async def test_a_test_message_is_sent_at_once_and_tells_how_it_went(serve, receiver, sqlite_url):
    receiver.statuses += [200, 500]
    async with serve(sqlite_url) as api:
        hook = await make(api, receiver, "failed")
        good, bad = [(await api.post(f"{hook['uri']}/test")).json() for _ in range(2)]

    assert (good["delivered"], good["status"], good["error"]) == (True, 200, None)
    assert (bad["delivered"], bad["status"], bad["error"]) == (False, 500, "The answer was 500.")
    assert json.loads(receiver.heard[0][1])["type"] == "callsheet.webhook.test"


async def test_webhooks_are_made_listed_changed_and_removed(api):
    body = {"url": "https://example.org/hook", "events": ["failed", "missed"], "schedules": ["s"]}
    made = [(await api.post("/v1/webhooks", json=body)).json() for _ in range(3)]
    uri = made[0]["uri"]

    assert made[0]["secret"].startswith("whsec_")
    assert [item["id"] for item in await api.walk("/v1/webhooks", 2)] == [one["id"] for one in made]
    changed = (await api.patch(uri, json={"events": ["*"], "schedules": None, "enabled": False})).json()
    assert (changed["events"], changed["schedules"], changed["enabled"]) == (["*"], [], False)
    assert changed["url"] == body["url"]
    assert (await api.delete(uri)).status_code == 204
    for request in (api.get(uri), api.delete(uri), api.patch(uri, json={}), api.post(f"{uri}/test")):
        api.problem(await request, 404)
    api.problem(await api.get("/v1/webhooks/nonsense"), 404)


async def test_the_audit_tells_who_changed_which_webhook_but_neither_url_nor_secret(api):
    body = {"url": "https://example.org/a-secret", "events": ["failed"]}
    hook = (await api.post("/v1/webhooks", json=body)).json()
    for change in ({"events": ["*"], "enabled": False}, {"events": ["*"]}, {}):
        await api.patch(hook["uri"], json=change)
    await api.delete(hook["uri"])

    answer = await api.get("/v1/audit")
    found = [(one["action"], one["data"]) for one in answer.json()["items"]]
    assert [action for action, _ in found] == ["webhook.delete", "webhook.update", "webhook.create"]
    assert {data["webhook"] for _, data in found} == {hook["id"]}
    assert (found[1][1]["fields"], found[1][1]["enabled"]) == ("events, enabled", False)
    assert "a-secret" not in answer.text
    assert hook["secret"] not in answer.text


async def test_a_webhook_that_is_asked_for_twice_is_made_once_and_its_secret_kept_nowhere_else(api):
    body = {"url": "https://example.org/hook", "events": ["failed"]}
    first, again = [await api.post("/v1/webhooks", json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)]

    assert again.headers["Idempotency-Replayed"] == "true"
    assert first.headers["Location"] == again.headers["Location"]
    assert again.json() == {name: value for name, value in first.json().items() if name != "secret"}
    assert len(await api.walk("/v1/webhooks", 10)) == 1


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"url": "http://127.0.0.1:9/"}, "#/url"),
        ({"url": "http://169.254.169.254/latest"}, "#/url"),
        ({"url": "ftp://example.org/"}, "#/url"),
        ({"url": "http://user:pass@example.org/"}, "#/url"),
        ({"url": "https://example.org/" + "x" * 3000}, "#/url"),
        ({"events": []}, "#/events"),
        ({"events": ["nonsense"]}, "#/events"),
        ({"events": ["instance.endet"]}, "#/events"),
        ({"events": ["instances.*"]}, "#/events"),
        ({"events": ["webhook.gave_up"]}, "#/events"),
        ({"events": "failed"}, "#/events"),
        ({"schedules": ["no/slug"]}, "#/schedules"),
        ({"secret": "short"}, "#/secret"),
        ({"unknown": 1}, "#/unknown"),
    ],
)
async def test_what_is_wrong_with_a_webhook_is_told(api, change, pointer):
    body = {"url": "https://example.org/hook", "events": ["*"]} | change

    assert await api.wrong(api.post("/v1/webhooks", json=body)) == [pointer]


async def test_a_name_that_leads_inside_is_never_dialled(api, monkeypatch):
    monkeypatch.setattr(actor, "IDLE_PACE", 0.01)
    hook = (await api.post("/v1/webhooks", json={"url": "http://localhost:9/", "events": ["*"]})).json()

    how = (await api.post(f"{hook['uri']}/test")).json()

    assert not how["delivered"]
    assert "a loopback address" in how["error"]


def test_waits_grow_to_an_hour():
    waits = [BACKOFF.delay(attempt, 1.0) / SECOND for attempt in range(12)]

    assert waits[:3] == [5, 10, 20]
    assert waits[-1] == 3600


async def test_receivers_that_never_answer_hold_up_neither_the_others_nor_a_test(serve, receiver, sqlite_url):
    async with serve(sqlite_url) as api:
        for number in range(40):
            deaf = {"url": f"{receiver.url}/deaf/{number}", "events": ["*"]}
            assert (await api.post("/v1/webhooks", json=deaf)).status_code == 201
        hook = await make(api, receiver, "instance.ended")
        with trio.fail_after(10):
            for _ in range(5):
                await api.over(await api.start("quick"))
                await api.over(await api.start("quick"))
            await receiver.until(10)
            tried = (await api.post(f"{hook['uri']}/test")).json()

    assert tried["delivered"]
