"""The real process while its wall clock is set forward and back, trembles, or stands still: the account stays whole.

libfaketime gives the process a wall clock of its own, read from a file at every look; the monotonic clock stays the
machine's. A schedule that is due each second keeps the scheduler looking, which else may sleep for 30 s.
"""

import itertools
import json
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("**/faketime/libfaketime.so.1"))), None)
TASKS = """
@task
async def quick(_in: None, out: Out[None]) -> None:
    pass
"""
TICK = {"task": "quick", "trigger": {"every": "1s"}, "overlap": "allow"}
FEW = 1.0  # seconds by which a run may begin late on a machine that is busy with other things


@frozen
class Wall:
    """The wall clock of one process: `set` says by how many seconds it is ahead of the machine's."""

    file: Path

    def set(self, ahead: float) -> None:
        draft = self.file.with_suffix(".new")
        draft.write_text(f"{ahead:+.3f}\n")
        draft.replace(self.file)  # in one step: it is read all the time

    def set_to(self, moment: datetime) -> None:
        self.set(moment.timestamp() - time.time())

    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }


@pytest.fixture
def wall(tmp_path: Path) -> Wall:
    if LIBRARY is None:
        pytest.skip("libfaketime is not installed: apt-get install faketime")
    wall = Wall(tmp_path / "wall-clock")
    wall.set(0)
    return wall


@pytest.fixture
def service(launch: Any, wall: Wall) -> Any:
    service = launch(tasks=TASKS, environment=wall.environment())
    assert service.put("/v1/schedules/tick", TICK).status == 201
    return service


def count(service: Any, slug: str = "tick") -> int:
    """Return how many runs a schedule has had."""
    return len(service.items(f"/v1/instances?schedule={slug}"))


def runs(service: Any, until: Callable[..., Any], more: int = 2) -> None:
    """Wait until the busy schedule has run a few more times."""
    before = count(service)
    until(lambda: count(service) >= before + more)


def nothing_ran_twice(service: Any) -> None:
    for slug in {one["schedule"] for one in service.items("/v1/instances")}:
        due = [one["due_at"] for one in service.items(f"/v1/instances?schedule={slug}")]
        assert len(due) == len(set(due)), slug


def noticed(service: Any) -> list[float]:
    """Return by how many seconds the clock of a service jumped, as the event table has it."""
    with closing(sqlite3.connect(service.folder / "callsheet-data" / "callsheet.db")) as database:
        rows = database.execute("SELECT data FROM event WHERE type = 'clock.jumped' ORDER BY id").fetchall()
    return [json.loads(data)["seconds"] for (data,) in rows]


def jumps(service: Any) -> list[float]:
    """Stop the service and return by how many seconds its clock jumped."""
    assert service.stop() == 0
    return noticed(service)


def sane(service: Any, late: float = FEW) -> None:
    """Hold durations and delays against what they can be for a task that does nothing."""
    for one in service.items("/v1/instances"):
        if one["running"]:  # it has just begun
            continue
        assert one["outcome"] == "succeeded", one
        assert 0 <= one["seconds"] < FEW, one
        if not tells_the_machines_time(one):
            assert 0 <= one["late_by"] < late, one


def tells_the_machines_time(run: Any) -> bool:
    """Tell whether libfaketime let the real time by for one look, as it may when two threads ask it at once."""
    began = datetime.fromisoformat(run["started_at"]).timestamp()
    return run["late_by"] > 86_400 and abs(time.time() - began) < 3600


def test_a_clock_set_forward_by_an_hour_is_downtime_in_every_ledger(service: Any, wall: Wall, until: Any) -> None:
    service.put("/v1/schedules/ten", {"task": "quick", "trigger": {"every": "10m"}})
    runs(service, until)
    wall.set(3600)
    runs(service, until, 4)

    missed, ran = service.account("ten")
    assert (missed["fate"], missed["reason"], missed["count"], ran["fate"]) == ("missed", "downtime", 5, "ran")
    fates = [(entry["fate"], entry.get("count", 1) > 3000) for entry in service.account("tick")]
    assert fates.count(("missed", True)) == 1
    assert {fate for fate, many in fates if not many} <= {"ran", "missed"}
    nothing_ran_twice(service)
    sane(service, 600 + FEW)
    assert jumps(service) == [pytest.approx(3600, abs=0.5)]


@pytest.mark.parametrize("back", [600, 3600, 5 * 3600])
def test_a_clock_set_back_fires_nothing_again_and_goes_on_where_it_was(
    service: Any, wall: Wall, until: Any, back: int
) -> None:
    runs(service, until)
    wall.set(-back)
    service.told("the wall clock jumped", "errors")
    before = count(service)
    newest = service.items("/v1/instances")[0]["due_at"]
    time.sleep(2.2)  # two due times of the monotonic clock: none of the wall clock's is new
    assert count(service) == before
    wall.set(0)
    service.put("/v1/schedules/wake", TICK | {"trigger": {"every": "1h"}})  # so that the scheduler looks now
    runs(service, until)

    assert min(due for due in [one["due_at"] for one in service.items("/v1/instances")] if due > newest)
    assert {entry["fate"] for entry in service.account("tick")} <= {"ran", "missed"}
    nothing_ran_twice(service)
    there, *again = jumps(service)
    assert there == pytest.approx(-back, abs=0.5)
    assert again == [pytest.approx(back, abs=0.5)]


def test_a_clock_that_trembles_is_no_jump_and_loses_nothing(service: Any, wall: Wall, until: Any) -> None:
    for ahead in itertools.islice(itertools.cycle([0.9, 0, -0.9, 0]), 48):
        wall.set(ahead)
        time.sleep(0.13)
    wall.set(0)
    runs(service, until)

    assert {entry["fate"] for entry in service.account("tick")} <= {"ran", "missed"}
    assert all(entry.get("reason") in (None, "late") for entry in service.account("tick"))
    nothing_ran_twice(service)
    sane(service, 2 + FEW)
    assert jumps(service) == []


def test_a_machine_that_slept_has_had_downtime(service: Any, wall: Wall, until: Any) -> None:
    service.put("/v1/schedules/ten", {"task": "quick", "trigger": {"every": "10m"}})
    service.put("/v1/schedules/never", {"task": "quick", "trigger": {"every": "10m"}, "catch_up": "none"})
    runs(service, until)
    service.signal(signal.SIGSTOP)
    wall.set(8 * 3600)
    time.sleep(1)
    service.signal(signal.SIGCONT)
    runs(service, until)

    assert [(entry["fate"], entry.get("count")) for entry in service.account("ten")] == [("missed", 47), ("ran", None)]
    assert [(entry["fate"], entry.get("count")) for entry in service.account("never")] == [("missed", 48)]
    nothing_ran_twice(service)
    sane(service, 600 + FEW)
    assert jumps(service) == [pytest.approx(8 * 3600, abs=0.5)]


@pytest.mark.parametrize("ahead", [3600, -3600, -4 * 3600])
def test_durations_and_time_outs_are_those_of_the_monotonic_clock(service: Any, wall: Wall, ahead: int) -> None:
    whole = service.start("sleep", input={"seconds": 1})
    cut = service.start("sleep", input={"seconds": 60}, timeout="1s")
    service.running(whole)
    wall.set(ahead)

    whole, cut = service.over(whole), service.over(cut)
    assert (whole["outcome"], cut["outcome"]) == ("succeeded", "timed_out")
    assert 1 <= whole["seconds"] < 1 + FEW
    assert 1 <= cut["seconds"] < 1 + FEW
    assert whole["finished_at"] > whole["started_at"]


NIGHTS = {
    "goes forward": ("2027-03-27T23:00Z", ["2027-03-28T01:00:00Z"]),  # 02:30 is never shown
    "goes back": ("2026-10-24T23:00Z", ["2026-10-25T00:30:00Z"]),  # 02:30 is shown twice
}


@pytest.mark.parametrize("night", NIGHTS)
def test_a_night_in_which_the_clock_of_berlin_changes(launch: Any, wall: Wall, until: Any, night: str) -> None:
    moment, expected = datetime.fromisoformat(NIGHTS[night][0]), NIGHTS[night][1]
    wall.set_to(moment)
    service = launch(tasks=TASKS, environment=wall.environment())
    cron = {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}
    half = {"cron": "*/30 * * * *", "timezone": "Europe/Berlin"}
    for slug, trigger in {"nightly": cron, "half": half, "ten": {"every": "10m"}}.items():
        assert service.put(f"/v1/schedules/{slug}", {"task": "quick", "trigger": trigger}).status == 201
    for step, minutes in enumerate(range(4, 4 * 60, 4), start=1):
        wall.set_to(moment + timedelta(minutes=minutes))
        once = {"at": (moment + timedelta(days=300 + minutes)).astimezone(UTC).isoformat()}
        service.put("/v1/schedules/wake", {"task": "quick", "trigger": once})  # so that the scheduler looks now
        until(lambda seen=step: len(noticed(service)) >= seen)  # or it would see several steps as one

    assert [entry["due_at"] for entry in service.account("nightly")] == expected
    for slug, number in {"half": 7, "ten": 23}.items():
        entries = service.account(slug)
        assert {entry["fate"] for entry in entries} == {"ran"}, slug
        assert len(entries) == number
    nothing_ran_twice(service)
    sane(service, 600)
    assert all(jump == pytest.approx(360, abs=240) for jump in jumps(service))
