"""One gate in front of every route and stream: key, pace and role are checked before anything else happens."""

import random
from contextlib import asynccontextmanager, suppress

import httpx2
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quart import Blueprint, Response
from quart_trio import QuartTrio

from callsheet.errors import RefusedToStart
from callsheet.tokens import ROLES, may
from web.app import create_app
from web.gate import Gate
from web.keyring import Keyring
from web.pace import Pace
from web.roles import NEEDED, OPEN, check_roles

SECRET = "a-configured-key-of-some-length"
STREAM = {"Accept": "text/event-stream"}
ROUTES = sorted(
    (method, rule.rule)
    for rule in create_app(None, insecure=False).url_map.iter_rules()
    for method in rule.methods - {"OPTIONS"}
)


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


def path_of(rule):
    """Return an address of a rule: one at which there is nothing."""
    return rule.replace("<name>", "nobody")


async def make(api, name, role, **more):
    """Make a token and return its secret."""
    made = await api.post("/v1/tokens", json={"name": name, "role": role, **more}, headers=bearer(SECRET))
    assert made.status_code == 201, made.text
    return made.json()["token"]


@asynccontextmanager
async def guarded(serving, tmp_path, **options):
    """Run the service with a configured key."""
    gate = options.pop("gate", None) or Gate(Keyring.of(SECRET, ()), failures=Pace(1000, 10_000))
    async with serving(f"sqlite:///{tmp_path}/api.db", gate=gate, **options) as api:
        yield api


def test_every_route_has_a_role_and_every_row_of_the_table_a_route():
    assert {(method, rule) for method, rule in ROUTES if method != "HEAD" and rule not in OPEN} == set(NEEDED)
    assert set(NEEDED.values()) <= set(ROLES)
    assert {rule for _, rule in ROUTES} >= OPEN


def test_a_route_without_a_role_stops_the_start():
    app = QuartTrio("tiny", static_folder=None)
    part = Blueprint("part", __name__)

    @part.post("/v1/nobody-thought-of-it")
    async def forgotten():
        return "hello"

    app.register_blueprint(part)
    with pytest.raises(RefusedToStart, match="POST /v1/nobody-thought-of-it has no role"):
        check_roles(app)


async def test_no_route_and_no_stream_is_open_without_a_good_key(serving, tmp_path):
    async with guarded(serving, tmp_path) as api:
        revoked, expired = await make(api, "gone", "admin"), await make(api, "old", "admin", expires_in="1s")
        assert (await api.delete("/v1/tokens/gone", headers=bearer(SECRET))).status_code == 204
        api.clock.ahead = 2_000_000
        wrong = [{}, *map(bearer, ("csk_nobody", revoked, expired, SECRET[:-1])), {"Authorization": f"Basic {SECRET}"}]
        for method, rule in [*ROUTES, ("GET", "/nowhere"), ("POST", "/livez/x"), ("OPTIONS", "/v1/schedules")]:
            for headers in wrong:
                for more in ({}, STREAM):
                    answer = await api.request(method, path_of(rule), headers=headers | more)
                    assert (answer.status_code == 401) == (rule not in OPEN), (method, rule, headers)
                    if rule not in OPEN:
                        assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="callsheet"')


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_may_do_what_the_table_says_and_nothing_else(serving, tmp_path, role):
    async with guarded(serving, tmp_path) as api:
        headers = bearer(await make(api, "somebody", role))
        for (method, rule), needed in NEEDED.items():
            for more in ({}, STREAM):
                answer = await api.request(method, path_of(rule), headers=headers | more)
                if may(role, needed):
                    assert answer.status_code not in (401, 403), (method, rule)
                else:
                    problem = api.problem(answer, 403)
                    assert problem["needed_role"] == needed
                    assert needed in problem["detail"]


async def test_the_configured_key_may_do_everything_from_any_host(serving, tmp_path):
    async with guarded(serving, tmp_path) as api:
        for host in ("localhost", "callsheet.example.org"):
            answer = await api.get("/v1/tokens", headers=bearer(SECRET) | {"Host": host})
            assert answer.status_code == 200
        cross = await api.post("/v1/instances", headers=bearer(SECRET) | {"Origin": "http://example.org"})
        assert api.problem(cross, 403)["type"] == "/problems/cross-site"


async def test_the_body_is_not_waited_for_before_the_key_is_checked(serving, tmp_path):
    async with guarded(serving, tmp_path) as api:
        head = b"POST /v1/instances HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
        with trio.fail_after(5):
            assert (await api.send_raw(head + b"Content-Type: application/json\r\n\r\n")).startswith(b"HTTP/1.1 401 ")


async def test_two_keys_are_none(serving, tmp_path):
    async with guarded(serving, tmp_path) as api:
        twice = [("Authorization", f"Bearer {SECRET}")] * 2
        assert (await api.get("/v1/tasks", headers=twice)).status_code == 401


async def test_whatever_stands_in_the_header_it_is_refused_and_never_a_fault(serving, tmp_path, caplog):
    dice = random.Random(5)
    odd = [b"", b" ", b"Bearer", b"Bearer ", b"Bearer\xff\xfe", b"Bearer \xe4\xf6", b"bearer " + b"x" * 8000,
           "Bearer ключ".encode(), b"Digest a=b", b"Bearer a b c", SECRET.encode(), b"Basic !!"]  # fmt: skip
    odd += [dice.choice((b"Bearer ", b"Basic ", b"")) + dice.randbytes(dice.randrange(60)) for _ in range(200)]
    async with guarded(serving, tmp_path) as api:
        for value in odd:
            head = b"GET /v1/tasks HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: "
            answer = await api.send_raw(head + value.replace(b"\r", b"").replace(b"\n", b"") + b"\r\n\r\n")
            assert answer[9:12] in (b"401", b"400"), (value, answer[:60])  # 400: those bytes may be in no header
    assert "failed" not in caplog.text


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_secret_but_the_right_one_opens(data):
    ring = Keyring.of(SECRET, ())

    assert (ring.caller(data.decode("latin-1"), 0) is not None) == (data == SECRET.encode())


async def test_the_first_token_shuts_the_door_for_those_without_one(api):
    assert (await api.get("/v1/tasks")).status_code == 200
    made = await api.post("/v1/tokens", json={"name": "first", "role": "admin"})

    assert (await api.get("/v1/tasks")).status_code == 401
    assert (await api.get("/v1/tasks", headers=bearer(made.json()["token"]))).status_code == 200
    assert (await api.get("/livez")).status_code == 200


async def test_to_revoke_the_last_token_opens_nothing_before_the_next_start(serving, tmp_path):
    url = f"sqlite:///{tmp_path}/api.db"
    async with serving(url) as api:
        secret = (await api.post("/v1/tokens", json={"name": "only", "role": "admin"})).json()["token"]
        assert (await api.delete("/v1/tokens/only", headers=bearer(secret))).status_code == 204
        assert (await api.get("/v1/tasks", headers=bearer(secret))).status_code == 401
        assert (await api.get("/v1/tasks")).status_code == 401


async def test_a_revoked_key_is_let_in_no_more_from_the_answer_on(serving, tmp_path):
    async with guarded(serving, tmp_path) as api:
        for number in range(20):
            headers = bearer(await make(api, f"t{number}", "viewer"))
            assert (await api.get("/v1/tasks", headers=headers)).status_code == 200
            await api.delete(f"/v1/tokens/t{number}", headers=bearer(SECRET))
            assert (await api.get("/v1/tasks", headers=headers)).status_code == 401


# Streams


def endless(app):
    """Add a stream that never ends by itself."""

    @app.get("/stream")
    async def stream():
        async def parts():
            while True:
                yield b"data: tick\n\n"
                await trio.sleep(0.005)

        response = Response(parts(), content_type="text/event-stream")
        response.timeout = None
        return response


async def watch(api, headers, begun):
    """Read the stream until it ends."""
    async with httpx2.AsyncClient(base_url=api.url, timeout=20, verify=False) as http:
        try:
            async with http.stream("GET", "/stream", headers=headers) as response:
                assert response.status_code == 200
                async for _ in response.aiter_bytes():
                    begun.set()
        except httpx2.HTTPError:  # it is cut off, not ended
            return
    raise AssertionError("it ended as if all had been said")


@pytest.mark.parametrize("how", ["revoked", "expired"])
async def test_a_stream_ends_with_the_key_of_its_reader(serving, tmp_path, how):
    async with guarded(serving, tmp_path, extend=endless) as api:
        secret = await make(api, "reader", "viewer", **({"expires_in": "700ms"} if how == "expired" else {}))
        other = await make(api, "other", "viewer")
        begun, others = trio.Event(), trio.Event()
        with trio.fail_after(10):
            async with trio.open_nursery() as rest:
                rest.start_soon(watch, api, bearer(other), others)
                await others.wait()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(watch, api, bearer(secret), begun)
                    await begun.wait()
                    if how == "revoked":
                        await api.delete("/v1/tokens/reader", headers=bearer(SECRET))
                await api.delete("/v1/tokens/other", headers=bearer(SECRET))


async def test_a_stream_from_before_the_first_key_ends_with_it(serving, tmp_path):
    async with serving(f"sqlite:///{tmp_path}/api.db", extend=endless) as api:
        begun = trio.Event()
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch, api, {}, begun)
                await begun.wait()
                await api.post("/v1/tokens", json={"name": "first", "role": "admin"})


# Pace


class Ticks:
    """A clock for the pace, set by hand (seconds)."""

    seconds = 1000.0

    def __call__(self):
        return int(self.seconds * 1_000_000)


async def test_who_asks_too_often_is_told_when_to_come_back(serving, tmp_path):
    ticks = Ticks()
    gate = Gate(Keyring.of(SECRET, ()), Pace(2, 4), ticks=ticks)
    async with guarded(serving, tmp_path, gate=gate) as api:
        other = bearer(await make(api, "other", "viewer"))
        left = []
        for _ in range(3):
            answer = await api.get("/v1/tasks", headers=bearer(SECRET))
            assert answer.status_code == 200
            assert answer.headers["RateLimit-Policy"] == '"default";q=4;w=2'
            left.append(answer.headers["RateLimit"])
        refused = await api.get("/v1/tasks", headers=bearer(SECRET))

        assert left == ['"default";r=2;t=1', '"default";r=1;t=2', '"default";r=0;t=2']
        assert api.problem(refused, 429)["type"] == "/problems/too-many-requests"
        assert refused.headers["Retry-After"] == "1"
        assert refused.headers["RateLimit"] == '"default";r=0;t=2'
        assert (await api.get("/v1/tasks", headers=other)).status_code == 200
        assert (await api.get("/livez")).status_code == 200
        ticks.seconds += 0.5
        assert (await api.get("/v1/tasks", headers=bearer(SECRET))).status_code == 200
        assert (await api.get("/v1/tasks", headers=bearer(SECRET))).status_code == 429


async def test_without_keys_the_pace_is_that_of_an_address(serving, tmp_path):
    async with serving(f"sqlite:///{tmp_path}/api.db", gate=Gate(pace=Pace(1, 2), ticks=Ticks())) as api:
        answers = [(await api.get("/v1/tasks")).status_code for _ in range(3)]

        assert answers == [200, 200, 429]


async def test_many_wrong_keys_are_slowed_down_and_harm_no_good_one(serving, tmp_path):
    ticks = Ticks()
    gate = Gate(Keyring.of(SECRET, ()), failures=Pace(0.5, 3), ticks=ticks)
    async with guarded(serving, tmp_path, gate=gate) as api:
        tried = [await api.get("/v1/tasks", headers=bearer("csk_guess")) for _ in range(4)]

        assert [answer.status_code for answer in tried] == [401, 401, 401, 429]
        assert tried[-1].headers["Retry-After"] == "2"
        assert (await api.get("/v1/tasks", headers=bearer(SECRET))).status_code == 200
        ticks.seconds += 2
        assert (await api.get("/v1/tasks", headers=bearer("csk_guess"))).status_code == 401


# Slow bodies


async def test_a_body_that_drips_ends_in_time_and_does_nothing(serving, tmp_path):
    """Byte by byte it would take for ever: the whole body has its time, which is 10 s outside of this test."""
    assert create_app(None, insecure=False).config["BODY_TIMEOUT"] <= 10

    def hurry(app):
        app.config["BODY_TIMEOUT"] = 0.3

    async with guarded(serving, tmp_path, extend=hurry) as api, await api.connect() as stream:
        head = f"POST /v1/instances HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {SECRET}\r\n"
        await stream.send_all(f"{head}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n".encode())
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(drip, stream)
                answer = await stream.receive_some()
                nursery.cancel_scope.cancel()

        assert answer.startswith(b"HTTP/1.1 408 ")
        assert (await api.get("/v1/instances", headers=bearer(SECRET))).json()["items"] == []


async def drip(stream):
    """Send a byte now and then for as long as somebody takes it."""
    with suppress(trio.BrokenResourceError):
        while True:
            await stream.send_all(b" ")
            await trio.sleep(0.02)
