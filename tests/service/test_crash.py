"""Killed at any moment, again and again, the service loses nothing it acknowledged and runs nothing twice."""

import http.client
import os
import random
import threading
import time
from collections import Counter, defaultdict
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field, frozen

TASKS = """
def note(what, out):
    due = out.due_at.isoformat() if out.due_at else "-"
    line = f"{what} {out.id} {out.attempt} {due} {os.getpid()} {time.monotonic_ns()}\\n"
    effects = os.open("effects", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(effects, line.encode())
    os.close(effects)

@task
async def quick(_in: None, out: Out[None]) -> None:
    note("start", out)
    await trio.sleep(0.01)
    note("end", out)

@task
async def slow(_in: None, out: Out[None]) -> None:
    note("start", out)
    await trio.sleep(1.7)
    note("end", out)

@task(idempotent=True)
async def again(_in: None, out: Out[None]) -> None:
    note("start", out)
    await trio.sleep(0.4)
    note("end", out)

@task(retries=Retry(2, backoff="100ms..400ms"))
async def flaky(_in: None, out: Out[None]) -> None:
    note("start", out)
    await trio.sleep(0.05)
    note("end", out)
    if out.attempt < 3:
        raise ValueError(f"attempt {out.attempt}")

@task
class Counting:
    value: int = 0

    async def __call__(self, _in: None, out: Out[int]) -> None:
        note("start", out)
        self.value += 1
        await trio.sleep(0.1)
        await out.send(self.value)
        note("end", out)

@task
def in_a_thread(_in: None, out: Out[None]) -> None:
    note("start", out)
    time.sleep(0.02)
    note("end", out)
"""
SCHEDULES: dict[str, dict[str, Any]] = {
    "every": {"task": "quick", "trigger": {"every": "1s"}},
    "cron": {"task": "again", "trigger": {"cron": "*/2 * * * * *"}},
    "overlaps": {"task": "slow", "trigger": {"every": "1s"}, "overlap": "skip"},
    "counts": {"task": "counting", "trigger": {"every": "1s"}},
    "retries": {"task": "flaky", "trigger": {"every": "2s"}},
    "thread": {"task": "in_a_thread", "trigger": {"every": "1s"}, "catch_up": "none"},
}
BATCHES = (5, 20, 200)  # sizes


@define
class Load:
    """A client that starts things all the time, and remembers what was acknowledged."""

    service: Any
    rng: random.Random
    instances: set[str] = field(factory=set)
    batches: dict[str, tuple[int, bool]] = field(factory=dict)  # tag -> size, acknowledged?
    once: dict[str, bool] = field(factory=dict)  # slug -> acknowledged?
    done: threading.Event = field(factory=threading.Event)

    def run(self) -> None:
        while not self.done.wait(0.03):
            with suppress(OSError, http.client.HTTPException):  # killed in the middle: not acknowledged
                self.rng.choice([self.start, self.start_batch, self.schedule_once])()

    def start(self) -> None:
        answer = self.service.post("/v1/instances", {"task": "quick", "input": None})
        if answer.status == 202:
            self.instances.add(answer["id"])

    def start_batch(self) -> None:
        tag, size = f"batch-{len(self.batches)}", self.rng.choice(BATCHES)
        self.batches[tag] = size, False
        items = [{"task": "quick", "input": None, "tags": [tag]}] * size
        answer = self.service.post("/v1/instances/batch", {"items": items})
        if answer.status == 202:
            self.batches[tag] = size, True
            self.instances.update(item["id"] for item in answer["items"])

    def schedule_once(self) -> None:
        slug = f"once-{len(self.once)}"
        self.once[slug] = False
        due = datetime.now(UTC) + timedelta(seconds=self.rng.uniform(0.3, 1.5))
        document = {"task": "quick", "trigger": {"at": due.isoformat()}}
        self.once[slug] = self.service.put(f"/v1/schedules/{slug}", document).status == 201


@frozen
class Effect:
    """What one instance wrote into the file; times in nanoseconds of the machine's monotonic clock."""

    starts: list[int] = field(factory=list)
    ends: list[int] = field(factory=list)
    dues: list[tuple[str, str]] = field(factory=list)
    pids: list[int] = field(factory=list)


@define
class History:
    """All that is known in the end: the API's word, and the file's."""

    service: Any
    load: Load
    killed: dict[int, int]
    effects: dict[str, Effect]
    instances: dict[str, dict[str, Any]]

    def of(self, slug: str) -> list[dict[str, Any]]:
        """Return the instances of a schedule in the order of their ids, which is that of their making."""
        return sorted((one for one in self.instances.values() if one["schedule"] == slug), key=lambda one: one["id"])

    def span(self, instance: str) -> tuple[int, int] | None:
        """Return from when to when an instance had effects: to the death of its process, if nothing ended it."""
        effect = self.effects.get(instance)
        if effect is None:
            return None
        return effect.starts[0], effect.ends[0] if effect.ends else self.killed[effect.pids[0]]


def live_through(launch: Any, database: str, port: int, kills: int, until: Any) -> History:
    seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(10**6))
    print(f"CRASH_SEED={seed}")
    rng = random.Random(seed)
    launch.write_tasks(TASKS)
    flags = ("--tasks", "jobs.py", "--database", database, "--http-allow", f"127.0.0.1/32:{port}")
    service = launch(*flags, port=port)
    probe = {"task": "http_get", "input": {"url": f"{service.url}/livez"}, "trigger": {"every": "1s"}}
    for slug, document in (SCHEDULES | {"probe": probe}).items():
        assert service.put(f"/v1/schedules/{slug}", document).status == 201
    load = Load(service, rng)
    thread = threading.Thread(target=load.run)
    thread.start()
    killed = {}
    try:
        for _ in range(kills):
            time.sleep(rng.uniform(0.2, 3.6))  # this is the random moment; boots are hit, too
            service.process.kill()
            service.process.wait()
            killed[service.process.pid] = time.monotonic_ns()
            service = launch(*flags, port=port, up=False)
        service = launch.ready(service)
        until(lambda: load.instances and service.get(f"/v1/instances/{max(load.instances)}")["outcome"])
    finally:
        load.done.set()
        thread.join()
    return settled(service, load, killed, until)


def settled(service: Any, load: Load, killed: dict[int, int], until: Any) -> History:
    """Let everything end that has begun, and gather what is known."""
    until(lambda: all(one["last_due"] for one in service.items("/v1/schedules?state=active")))
    for slug in [*SCHEDULES, "probe"]:
        assert service.post(f"/v1/schedules/{slug}/pause").status == 200
    until(lambda: not service.items("/v1/schedules?state=active"))  # those that run once
    until(lambda: (stats := service.get("/v1/stats")) and not stats["running"] and not stats["queued"])
    instances = {one["id"]: one for one in service.items("/v1/instances")}
    return History(service, load, killed, effects_in(service.folder / "effects"), instances)


def effects_in(path: Path) -> dict[str, Effect]:
    found: dict[str, Effect] = defaultdict(Effect)
    for line in path.read_text().splitlines():
        what, instance, attempt, due, pid, at = line.split()
        effect = found[instance]
        (effect.starts if what == "start" else effect.ends).append(int(at))
        effect.dues.append((due, attempt))
        effect.pids.append(int(pid))
    return dict(found)


def check(history: History) -> None:
    every_due_time_is_accounted_for_once(history)
    nothing_ran_twice(history)
    every_start_has_one_outcome(history)
    attempts_follow_one_another(history)
    nothing_overlapped_itself(history)
    the_counter_equals_its_succeeded_runs(history)
    what_was_acknowledged_is_there(history)
    assert history.service.stop() == 0
    assert "nothing was left running" in "".join(history.service.out)


def every_due_time_is_accounted_for_once(history: History) -> None:
    service = history.service
    fates: Counter[str] = Counter()
    for slug in [*SCHEDULES, "probe"]:
        ledger = service.account(slug)
        fates.update(entry["fate"] for entry in ledger)
        ran = [entry["due_at"] for entry in ledger if entry["fate"] == "ran"]
        assert ran == sorted({one["due_at"] for one in history.of(slug)}, key=datetime.fromisoformat), slug
        updated = datetime.fromisoformat(service.get(f"/v1/schedules/{slug}")["updated_at"])  # when it was paused
        last = datetime.fromisoformat(ledger[-1].get("due_at") or ledger[-1]["last_due"])
        assert updated - last < timedelta(seconds=2.1), slug
    assert fates["missed"] > 0
    assert fates["skipped"] > 0


def nothing_ran_twice(history: History) -> None:
    made = [(one["schedule"], one["due_at"], one["attempt"]) for one in history.instances.values() if one["due_at"]]
    assert max(Counter(made).values()) == 1
    assert {len(effect.starts) for effect in history.effects.values()} == {1}
    assert {len(effect.ends) for effect in history.effects.values()} <= {0, 1}
    assert history.effects.keys() <= history.instances.keys()
    begun = [(history.instances[i]["schedule"], *effect.dues[0]) for i, effect in history.effects.items()]
    assert max(Counter(one for one in begun if one[1] != "-").values()) == 1


def every_start_has_one_outcome(history: History) -> None:
    outcomes = Counter(one["outcome"] for one in history.instances.values())
    assert set(outcomes) <= {"succeeded", "failed", "lost"}
    assert outcomes["lost"] > 0
    for instance, one in history.instances.items():
        effect = history.effects.get(instance, Effect())
        if one["outcome"] != "lost" and one["task"] != "http_get":
            assert (len(effect.starts), len(effect.ends)) == (1, 1), one
        if not effect.ends and effect.pids:
            assert effect.pids[0] in history.killed, one


def attempts_follow_one_another(history: History) -> None:
    """A failed attempt has another one after it, and so has a lost one of the idempotent task; no other attempt has."""
    for slug in [*SCHEDULES, "probe"]:
        runs = defaultdict(list)
        for one in history.of(slug):
            runs[one["due_at"]].append(one)
        for run in runs.values():
            assert [one["attempt"] for one in run] == list(range(1, len(run) + 1)), slug
            assert {one["outcome"] for one in run[:-1]} <= {"lost" if slug == "cron" else "failed"}, slug
            assert run[-1]["outcome"] in (("succeeded",) if slug == "cron" else ("succeeded", "lost")), slug


def nothing_overlapped_itself(history: History) -> None:
    for slug in SCHEDULES:
        spans = sorted(span for one in history.of(slug) if (span := history.span(one["id"])))
        assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans)), slug


def the_counter_equals_its_succeeded_runs(history: History) -> None:
    succeeded = [one for one in history.of("counts") if one["outcome"] == "succeeded"]
    counted = [history.service.get(one["uri"])["outputs"] for one in succeeded]
    assert counted == [[value] for value in range(1, len(succeeded) + 1)]


def what_was_acknowledged_is_there(history: History) -> None:
    load = history.load
    assert load.instances <= history.instances.keys()
    tagged = Counter(tag for one in history.instances.values() for tag in one["tags"])
    for tag, (size, acknowledged) in load.batches.items():
        assert tagged[tag] in ((size,) if acknowledged else (0, size)), tag
    for slug, acknowledged in load.once.items():
        ledger = history.service.get(f"/v1/schedules/{slug}/ledger")
        assert ledger.status == 200 or not acknowledged, slug
        if ledger.status == 200:
            assert [entry["fate"] for entry in ledger["items"]] == ["ran"], slug
    assert any(acknowledged for _, acknowledged in load.batches.values())
    assert any(load.once.values())


@pytest.mark.timeout(180)
def test_twenty_kills_lose_nothing_and_double_nothing(launch: Any, sqlite_url: str, free_port: int, until: Any) -> None:
    check(live_through(launch, sqlite_url, free_port, 20, until))


@pytest.mark.timeout(120)
def test_five_kills_on_postgresql_lose_nothing_and_double_nothing(
    launch: Any, postgres_url: str, free_port: int, until: Any
) -> None:
    check(live_through(launch, postgres_url, free_port, 5, until))
