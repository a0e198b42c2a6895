"""The whole service in this process: database, engine, app and server, and a client that speaks HTTP to it."""

import logging
import time
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Annotated
from urllib.parse import urlencode

import httpx2
import pytest
import trio
from attrs import define
from msgspec import Meta, Struct

from actors.inbox import order
from actors.supervisor import Engine, Rules, engine
from callsheet import Out, task
from callsheet.apart import Simulator
from callsheet.capture import captured
from callsheet.ids import IdMaker
from callsheet.tasks import Registry
from storage.database import Database, open_database, this_node
from storage.door import ThreadDoor
from storage.journal.commands import Claim
from storage.journal.journal import Journal
from tests.web.contract import keep_the_contract
from tests.web.ears import Ear
from web.app import create_app
from web.express import Express
from web.gate import Gate
from web.site import Site, Streams
from web.worker import Limits, serve

RULES = Rules(drain=0, cleanup_timeout=0.2, last_cleanup=0.5)
LIMITS = Limits(graceful_timeout=0.2, linger=0.1)

logging.getLogger("httpx2").setLevel(logging.WARNING)  # a line for each request hides what matters in a failure


class Word(Struct, forbid_unknown_fields=True):
    """One word, and how often."""

    text: Annotated[str, Meta(min_length=1, max_length=100)]
    times: Annotated[int, Meta(ge=1, le=1000)] = 1


@task
async def say(_in: Word, out: Out[str]) -> None:
    """Send a word some times."""
    for _ in range(_in.times):
        await out.send(_in.text)


@task
async def quick(_in: None, out: Out[None]) -> None:
    """End at once."""


@task
async def sleeper(_in: None, out: Out[None]) -> None:
    """Run until cancelled."""
    await out.progress(1, 4, "asleep")
    await trio.sleep_forever()


@task
async def failing(_in: None, out: Out[None]) -> None:
    """Fail."""
    raise ValueError("on purpose")


@task
async def chatty(_in: None, out: Out[None]) -> None:
    """Say something in every way there is."""
    await out.log("first", colour="red")
    print("second")
    logging.getLogger("chatty").warning("third")


@task
class Tally:
    """Count its runs."""

    value: int = 0

    async def __call__(self, _in: None, out: Out[int]) -> None:
        self.value += 1
        await out.send(self.value)


@task
class Held:
    """Hold its state until cancelled."""

    value: int = 0

    async def __call__(self, _in: None, out: Out[None]) -> None:
        await trio.sleep_forever()


class AheadClock:
    """The machine's own clock, set forward by `ahead` microseconds."""

    ahead = 0

    def now(self) -> int:
        return time.time_ns() // 1000 + self.ahead


@define(slots=False, eq=False)
class Api:
    """The service from outside; `lag` is what its watchdog says."""

    url: str
    http: httpx2.AsyncClient
    engine: Engine
    database: Database
    door: ThreadDoor
    site: Site
    gate: Gate
    clock: AheadClock
    streams: Streams
    tasks: Registry
    lag: float = 0.0
    simulator: Simulator | None = None

    def __attrs_post_init__(self):
        for name in ("get", "put", "post", "patch", "delete", "request", "options", "head"):
            setattr(self, name, getattr(self.http, name))

    async def start(self, name, **body):
        """Start an instance and return its URI."""
        response = await self.post("/v1/instances", json={"task": name, **body})
        assert response.status_code == 202, response.text
        return response.headers["Location"]

    async def over(self, uri):
        """Wait until an instance is over and return it."""
        return await self.until(uri, lambda found: found["outcome"])

    async def until(self, uri, holds):
        """Read a resource until something holds for it, and return it."""
        with trio.fail_after(20):
            while not holds(found := (await self.get(uri)).json()):
                await trio.sleep(0.002)
        return found

    async def counted(self, event, times):
        """Wait until an event was counted so many times: what can be read already is counted a moment later."""
        with trio.fail_after(20):
            while self.engine.meter.facts[event] < times:
                await trio.sleep(0.002)

    async def wrong(self, request, status=422):
        """Send a request that is to be refused; return the pointers of its problem, in order."""
        body = self.problem(await request, status)
        return [error["pointer"] for error in body.get("errors", [])]

    @staticmethod
    def problem(response, status):
        """Check that an answer is a problem as RFC 9457 has it, and return it."""
        assert response.status_code == status, response.text
        assert response.headers["Content-Type"] == "application/problem+json"
        body = response.json()
        assert body["status"] == status
        assert body.keys() >= {"type", "title", "detail", "instance", "request_id"}
        return body

    async def walk(self, path, limit, **query):
        """Walk a list from its first page to its last and return the items; only the last page may be short."""
        items = []
        while True:
            response = await self.get(path, params=query | {"limit": limit})
            assert response.status_code == 200, response.text
            page = response.json()
            items += page["items"]
            if page["next"] is None:
                assert len(page["items"]) <= limit
                return items
            assert len(page["items"]) == limit
            query["cursor"] = page["next"]

    async def pass_time(self, seconds):
        """Let time pass without waiting for it, and have what is due by then claimed."""
        self.clock.ahead += round(seconds * 1_000_000)
        return await order(self.engine.bus, Claim(awake_since=0))

    @asynccontextmanager
    async def listen(self, path, last=None, **query):
        """Open a stream; `last` is where an earlier one ended."""
        headers = [("Accept", "text/event-stream")] + ([] if last is None else [("Last-Event-ID", str(last))])
        async with await self.connect() as stream:
            ear = Ear(stream)
            head = await ear.ask(f"{path}?{urlencode(query)}", headers)
            assert head.status_code == 200
            assert (b"content-type", b"text/event-stream") in head.headers
            yield ear

    async def connect(self):
        """Open a bare connection."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return await trio.open_tcp_stream(host, int(port))

    async def send_raw(self, data):
        """Send bytes on a connection of their own and return all that comes back."""
        async with await self.connect() as stream:
            answer = b""
            with trio.fail_after(10), suppress(trio.BrokenResourceError):
                await stream.send_all(data)
                while part := await stream.receive_some():
                    answer += part
            return answer


def registry(more=()):
    """Return the built-in tasks and those of the tests."""
    tasks = Registry([say, quick, sleeper, failing, chatty, Tally, Held, *more])
    tasks.load_builtin()
    return tasks


@asynccontextmanager
async def service(url, limits=LIMITS, rules=RULES, gate=None, extend=None, tracing=None, more=()):
    """Run the service on a database; stops in order at the end, like the real one.

    `extend` may add routes to the app before it serves; `more` are further tasks.
    """
    clock, ids, tasks = AheadClock(), IdMaker(), registry(more)
    database = open_database(url, clock.now())
    database.db.disconnect()
    door = ThreadDoor()
    try:
        journal = Journal(database, this_node("n1", ids.make(clock.now())), tasks, clock, ids)
        await door.write(journal.register)
        async with trio.open_nursery() as nursery:
            running = await nursery.start(partial(engine, tracing=tracing), journal, door, tasks, clock, rules, None)
            api = await _open(nursery, running, database, door, tasks, clock, limits, gate or Gate(), extend, tracing)
            with captured():
                async with api.http:
                    yield api
            running.stop.set()
            running.hurry.set()
            await running.stopped.wait()
            with trio.move_on_after(limits.graceful_timeout):
                while api.streams.open:
                    await trio.sleep(0.005)
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await door.write(database.db.disconnect)
            await door.read(database.db.disconnect)
        door.close()
        database.close()  # what the test itself has read with


CONTRACT = {"response": [keep_the_contract]}  # every answer that any of these tests gets


async def _open(nursery, running, database, door, tasks, clock, limits, gate, extend, tracing):
    site = Site(running, database, door, tasks, clock, "n1", lambda: api.lag, tracing=tracing)
    app = create_app(site, insecure=False, gate=gate)
    if extend is not None:
        extend(app)
    entry = Express(app, site, gate, insecure=False)
    start = partial(
        serve, entry, host="127.0.0.1", port=0, shutdown=trio.Event(), limits=limits, live=site.traffic.connections
    )
    [url] = await nursery.start(start)
    # Plain HTTP needs no certificates, and reading them takes longer than all the rest.
    many = httpx2.Limits(max_connections=None)
    http = httpx2.AsyncClient(base_url=url, timeout=20, limits=many, verify=False, event_hooks=CONTRACT)
    about = (site, gate, clock, site.streams, tasks)
    api = Api(url, http, running, database, door, *about, simulator=site.simulator)
    return api


@pytest.fixture
def serving():
    """The context manager behind `api`, for tests that set limits and rules of their own, or start twice."""
    return service


@pytest.fixture
async def api(tmp_path):
    """The service on a database of its own."""
    async with service(f"sqlite:///{tmp_path}/api.db") as running:
        yield running


@pytest.fixture
async def api_on_each(database_url):
    """The service on each kind of database in turn."""
    async with service(database_url) as running:
        yield running
