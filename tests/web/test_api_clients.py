"""What clients do to a service that works: leave in the middle, dawdle, come all at once."""

import json
import random
import resource

import pytest
import trio

from web.worker import Limits

EVERY = {"task": "quick", "trigger": {"every": "10s"}}
HOST = b"Host: localhost\r\n"


@pytest.fixture
def many_files():
    """Room for both ends of many connections: they all are in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    if enough < 2048:
        pytest.skip(f"a process may not open more than {hard} files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, enough), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def post(path, document):
    """Return the bytes of a POST."""
    body = json.dumps(document).encode()
    head = f"POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + HOST + b"\r\n" + body


async def test_a_client_that_leaves_before_its_request_is_whole_has_changed_nothing(api):
    request = post("/v1/instances", {"task": "quick", "input": None, "tags": ["half"]})
    for length in range(0, len(request), 7):
        async with await api.connect() as stream:
            await stream.send_all(request[:length])
    async with await api.connect() as stream:
        await stream.send_all(request)
        await stream.receive_some()

    assert len(await api.walk("/v1/instances", limit=200)) == 1


async def test_a_command_is_done_wholly_or_not_at_all_when_its_client_leaves(many_files, api):
    """500 clients start three instances each and leave after some microseconds, or stay."""
    items = {"items": [{"task": "quick", "tags": [f"b{number}"]} for number in range(3)]}
    dice = random.Random(7)
    answered = []

    async def come_and_go(number, patience):
        document = {"items": [item | {"tags": [f"c{number}"]} for item in items["items"]]}
        async with await api.connect() as stream:
            await stream.send_all(post("/v1/instances/batch", document))
            with trio.move_on_after(patience):
                if b" 202 " in await stream.receive_some():
                    answered.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(500):
            nursery.start_soon(come_and_go, number, dice.choice([0, 0.001, 0.01, 5]))
    await api.get("/readyz")

    found = await api.walk("/v1/instances", limit=200)
    done = [item["tags"][0] for item in found]
    assert {done.count(tag) for tag in done} == {3}
    assert {f"c{number}" for number in answered} <= set(done)
    assert len(answered) > 100
    await api.until("/v1/stats", lambda stats: stats["outcomes"]["succeeded"] >= len(done))


async def test_five_hundred_slow_clients_do_not_hold_a_fast_one(many_files, serving, tmp_path):
    """Each sends its request byte by byte, or does not read its answer."""
    many = Limits(max_connections=1_000, graceful_timeout=0.2, linger=0.1)
    async with serving(f"sqlite:///{tmp_path}/api.db", limits=many) as api, trio.open_nursery() as nursery:
        await api.put("/v1/schedules/a", json=EVERY)

        async def drip(request):
            async with await api.connect() as stream:
                for index in range(len(request)):
                    await stream.send_all(request[index : index + 1])
                    await trio.sleep(0.2)

        async def never_read(request):
            async with await api.connect() as stream:
                await stream.send_all(request)
                await trio.sleep_forever()

        dripping = post("/v1/instances", {"task": "quick", "tags": ["slow"]})
        for number in range(250):
            nursery.start_soon(drip, dripping)
            nursery.start_soon(never_read, b"GET /v1/tasks HTTP/1.1\r\n" + HOST + b"\r\n")
            if number % 50 == 0:
                await trio.sleep(0.01)
        await trio.sleep(0.1)

        with trio.fail_after(10):  # a drip alone takes 35 s
            for _ in range(20):
                assert (await api.get("/v1/schedules/a")).status_code == 200
                await api.over(await api.start("quick"))
        assert (await api.get("/v1/instances?tag=slow")).json()["items"] == []
        nursery.cancel_scope.cancel()


async def test_many_who_create_the_same_schedule_create_it_once(api):
    statuses = []

    async def create(number):
        response = await api.post("/v1/schedules", json=EVERY | {"id": "a", "tags": [f"t{number}"]})
        statuses.append(response.status_code)

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(create, number)
    assert sorted(statuses) == [201] + [409] * 49


async def test_of_many_who_change_the_same_version_one_wins(api):
    await api.put("/v1/schedules/a", json=EVERY)
    statuses = []

    async def change(number):
        headers = {"If-Match": '"1"'}
        response = await api.patch("/v1/schedules/a", json={"jitter": number + 1}, headers=headers)
        statuses.append(response.status_code)

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(change, number)
    assert sorted(statuses) == [200] + [412] * 49
    assert (await api.get("/v1/schedules/a")).json()["version"] == 2


async def test_many_who_cancel_the_same_instance_all_learn_that_it_is_over(api):
    uri = await api.start("sleeper")
    answers = []

    async def cancel(number):
        response = await api.post(f"{uri}/cancel", json={"reason": str(number)})
        answers.append(response.status_code)

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(cancel, number)
    assert set(answers) <= {200, 202}
    first = (await api.over(uri))["cancel"]["reason"]
    assert (await api.get(uri)).json()["cancel"]["reason"] == first


async def test_bytes_after_the_last_request_do_not_turn_its_answer_into_an_error(api):
    """Some clients end a body with a line break more than they announce."""
    request = post("/v1/instances", {"task": "quick"}).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    for _ in range(20):
        async with await api.connect() as stream:
            await stream.send_all(request)
            await trio.lowlevel.checkpoint()
            await stream.send_all(b"\r\n")
            assert b" 202 " in await stream.receive_some()
