"""One request after the other: starting instances and reading them, beside an empty route and a usual service."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from statistics import median
from typing import Any

from attrs import field, frozen

from benchmarks import machine, processes
from benchmarks.client import Client, encode
from benchmarks.plan import Plan
from benchmarks.service import fresh, temporary
from benchmarks.table import Figure, Side, over_rounds, ratio

CONNECTIONS = 32
KNOWN = 500  # instances that reading takes turns through
POST, GET = "starting one by one over HTTP", "reading one over HTTP"
OF_EMPTY, OF_SERVICE_POST, OF_SERVICE_GET = 0.7, 5.0, 1.3
SERVICE, FULL = "FastAPI + APScheduler 3 + SQLAlchemy", "SQLite WAL, synchronous=FULL"
VIEWS = ("inline", "threads")  # the forms of that service: which is faster depends on what commits cost
PARTS = ("fastapi", "uvicorn", "apscheduler", "sqlalchemy")
Requests = list[tuple[str, str, str | None]]


@frozen
class Server:
    """A server that is up: its process, and the requests that are to be measured."""

    pid: int
    port: int
    get: Requests
    post: Requests = field(factory=list)


@frozen
class Measured:
    """What one load gave; `cpu` in microseconds of the server for each request, `memory` in MiB after it."""

    rate: float
    p50: float
    p99: float
    cpu: float
    memory: float
    load: float


def measure(plan: Plan) -> Iterator[Figure | Side]:
    """Measure all servers in turns, each round in new processes; reading comes first, as starts leave work behind."""
    servers: dict[str, Callable[[], AbstractContextManager[Server]]] = {
        "empty": lambda: _empty(plan),
        "callsheet": lambda: _callsheet(plan),
    }
    if plan.peers:
        servers |= {views: lambda views=views: _fastapi(plan, views) for views in VIEWS}
    posts: dict[str, list[Measured]] = {name: [] for name in servers}
    gets: dict[str, list[Measured]] = {name: [] for name in servers}
    for _ in range(plan.http_rounds):
        for name, open_server in servers.items():
            with open_server() as server:
                gets[name].append(_load(plan, server, server.get))
                if server.post:
                    posts[name].append(_load(plan, server, server.post))
    yield from _sides(plan, posts, gets)
    yield from _starting(posts, gets)
    yield from _reading(gets)
    busiest = max(found.load for each in (*posts.values(), *gets.values()) for found in each)
    yield Figure(GET, "the load generator took, at most", busiest * 100, "% of a core")


def _load(plan: Plan, server: Server, requests: Requests) -> Measured:
    """Send requests for a while from a process of its own."""
    with temporary(plan.directory) as folder:
        file = folder / "requests.json"
        file.write_text(json.dumps(requests))
        cpu = machine.cpu_seconds(server.pid)
        arguments = ["--port", server.port, "--requests", file, "--connections", CONNECTIONS]
        found = processes.script(sys.executable, "load.py", *arguments, "--seconds", plan.http_seconds)
        used = machine.cpu_seconds(server.pid) - cpu
    return Measured(
        rate=found["requests_per_second"],
        p50=found["p50_ms"],
        p99=found["p99_ms"],
        cpu=used / found["answered_in_all"] * 1e6,
        memory=machine.resident(server.pid) / machine.MIB,
        load=found["load_cpu_share"],
    )


@contextmanager
def _empty(plan: Plan) -> Iterator[Server]:
    port = processes.free_port()
    command = [sys.executable, str(processes.ROOT / "benchmarks/peers/empty_route.py"), "--port", str(port)]
    with temporary(plan.directory) as folder, processes.started(command, folder, port, "/") as process:
        yield Server(process.pid, port, [("GET", "/", None)])


@contextmanager
def _callsheet(plan: Plan) -> Iterator[Server]:
    noop: dict[str, Any] = {"task": "noop", "input": None}
    with fresh(plan.directory) as service:
        answer = service.client.ask("POST", "/v1/instances/batch", encode({"items": [noop] * KNOWN}))
        service.wait_for("noop", "succeeded", KNOWN)
        get: Requests = [("GET", item["uri"], None) for item in answer["items"]]
        yield Server(service.pid, service.port, get, [("POST", "/v1/instances", json.dumps(noop))])


@contextmanager
def _fastapi(plan: Plan, views: str) -> Iterator[Server]:
    assert plan.peers is not None
    port, noop = processes.free_port(), json.dumps({"task": "noop", "input": None})
    where = str(processes.ROOT / "benchmarks/peers/fastapi_service.py")
    command = [str(plan.peers), where, "--port", str(port), "--database", "runs.db", "--views", views]
    with temporary(plan.directory) as folder, processes.started(command, folder, port, "/readyz") as process:
        with closing(Client(port)) as client:
            ids = [client.ask("POST", "/runs", noop.encode())["id"] for _ in range(KNOWN)]
        yield Server(process.pid, port, [("GET", f"/runs/{each}", None) for each in ids], [("POST", "/runs", noop)])


def _faster(every: dict[str, list[Measured]]) -> list[Measured]:
    """Return the rounds of the service of FastAPI in its faster form."""
    forms = [every[views] for views in VIEWS if every.get(views)]
    return max(forms, key=lambda found: median(_rates(found)), default=[])


def _rates(found: list[Measured]) -> list[float]:
    return [each.rate for each in found]


def _sides(plan: Plan, posts: dict[str, list[Measured]], gets: dict[str, list[Measured]]) -> Iterator[Side]:
    parts = "" if plan.peers is None else processes.versions(plan.peers, *PARTS)
    about = {
        "empty": ("an empty JSON route: Hypercorn + Quart-Trio", "nothing"),
        "callsheet": ("callsheet", FULL),
        "inline": (f"{SERVICE} ({parts})", f"views in the loop; {FULL}"),
        "threads": (SERVICE, f"views in threads; {FULL}"),
    }
    for work, every in ((POST, posts), (GET, gets)):
        for name, found in every.items():
            if found:
                yield Side.of(
                    work, *about[name], _rates(found), "requests/s",
                    cpu=median(each.cpu for each in found), memory=median(each.memory for each in found),
                    p50=median(each.p50 for each in found), p99=median(each.p99 for each in found),
                    ours=median(_rates(every["callsheet"])),
                )  # fmt: skip


def _starting(posts: dict[str, list[Measured]], gets: dict[str, list[Measured]]) -> Iterator[Figure]:
    ours = _rates(posts["callsheet"])
    yield over_rounds(POST, "callsheet, durable, 32 connections", ours, "requests/s")
    yield ratio(POST, "callsheet / the empty route", ours, _rates(gets["empty"]), OF_EMPTY, floor=True)
    yield ratio(POST, "callsheet / FastAPI service", ours, _rates(_faster(posts)), OF_SERVICE_POST)
    yield over_rounds(POST, "p99", [each.p99 for each in posts["callsheet"]], "ms")


def _reading(gets: dict[str, list[Measured]]) -> Iterator[Figure]:
    ours, theirs = gets["callsheet"], _faster(gets)
    yield over_rounds(GET, "callsheet, 32 connections", _rates(ours), "requests/s")
    yield ratio(GET, "callsheet / the empty route", _rates(ours), _rates(gets["empty"]), OF_EMPTY, floor=True)
    yield ratio(GET, "callsheet / FastAPI service", _rates(ours), _rates(theirs), OF_SERVICE_GET)
    bound = median(each.p99 for each in theirs) if theirs else None
    yield over_rounds(GET, "p99", [each.p99 for each in ours], "ms", target=bound, bound="at most")
