"""Promises about `--max-running`: never more at once, first come first served, whatever else holds somebody up."""

import pytest

from callsheet import Out, task
from callsheet.tasks import Registry
from storage.journal.commands import EndInstance, Start, StartInstances, TriggerSchedule


@task
async def free(_in: None, out: Out[int]) -> None: ...


@task(max_running=1)
async def narrow(_in: None, out: Out[int]) -> None: ...


@task(max_running=2, state="schedule")
class Guarded:
    """Run twice at once, but for one schedule only once."""

    value: int = 0

    async def __call__(self, _in: None, out: Out[int]) -> None: ...


TASKS = Registry([free, narrow, Guarded])


@pytest.fixture
def room(bench):
    """A bench on which two may run at once."""
    bench.boot(TASKS, most_running=2)
    return bench


def start(bench, *names):
    return bench.ask(StartInstances(tuple(Start(name, b"null") for name in names)))


def states(bench, ids):
    return [bench.instance(one).state for one in ids]


def test_no_more_run_than_there_is_room_for_and_the_others_wait_in_order(room):
    ids = start(room, *["free"] * 4)
    assert states(room, ids) == ["running", "running", "queued", "queued"]
    room.end(room.start_fact(ids[1]))
    assert states(room, ids) == ["running", "succeeded", "running", "queued"]


def test_a_newcomer_does_not_overtake_who_waits(room):
    ids = start(room, *["free"] * 3)
    ends = [EndInstance(run, "succeeded", run.started_at, room.clock.now()) for run in map(room.start_fact, ids[:2])]
    applied = room.journal.apply([*ends, StartInstances((Start("free", b"null"),) * 2)])
    late = applied.verdicts[-1].answer

    assert states(room, [ids[2], *late]) == ["running", "running", "queued"]


def test_who_waits_for_a_task_takes_no_room_from_others(room):
    ids = start(room, "narrow", "narrow", "free", "free")
    assert states(room, ids) == ["running", "queued", "running", "queued"]
    assert [room.instance(one).waits_for for one in ids] == [None, "task:narrow", None, "room"]
    room.end(room.start_fact(ids[2]))
    assert states(room, ids)[3] == "running"
    room.end(room.start_fact(ids[0]))
    assert states(room, ids)[1] == "running"


def test_a_due_time_that_finds_no_room_is_recorded_as_run_and_waits(room):
    start(room, "free", "free")
    room.put("s", "free", every="10s")
    assert room.claim_after(10) == []

    assert room.ledger()[0].state == "queued"


def test_the_queue_survives_a_restart_and_other_limits(room):
    ids = start(room, *["free"] * 6)
    room.boot(TASKS, most_running=3)
    room.claim()

    assert states(room, ids) == ["lost", "lost", "running", "running", "running", "queued"]


def test_a_limit_that_is_gone_holds_nobody_up(room):
    ids = start(room, *["free"] * 6)
    room.boot(TASKS)
    room.claim()

    assert states(room, ids) == ["lost", "lost"] + ["running"] * 4


def test_a_task_that_is_gone_holds_up_nobody_else_and_comes_back(room):
    ids = start(room, "narrow", "narrow", "free", "free")
    room.boot(Registry([free]), most_running=2)
    room.claim()
    assert states(room, ids) == ["lost", "queued", "lost", "running"]
    assert room.instance(ids[1]).waits_for == "missing:narrow"
    room.boot(TASKS, most_running=2)
    room.claim()
    assert room.instance(ids[1]).state == "running"


def test_no_more_move_on_to_the_next_line_than_can_begin_however_many_wait(room):
    first, other = start(room, "narrow", "free")
    crowd = start(room, *["narrow", "free"] * 20)
    room.end(room.start_fact(first))
    room.end(room.start_fact(other))

    lines = [row.waits_for for row in map(room.instance, crowd) if row.task == "narrow"]
    assert (lines.count("room"), lines.count("task:narrow"), lines.count(None)) == (0, 19, 1)
    assert states(room, crowd[:3]) == ["running", "running", "queued"]


def test_who_moves_back_to_an_earlier_line_gives_its_place_to_who_waits_behind(room):
    for slug in "abkm":
        room.put(slug, "guarded", every="1h", overlap="allow")
    one, another = (room.ask(TriggerSchedule(slug)) for slug in "ab")
    frees = start(room, "free", "free")
    first, second, third = (room.ask(TriggerSchedule(slug)) for slug in "kkm")
    ends = [
        EndInstance(run, "succeeded", run.started_at, room.clock.now()) for run in map(room.start_fact, (one, another))
    ]
    room.journal.apply(ends)
    for run in frees:
        room.end(room.start_fact(run))

    assert states(room, [first, second, third]) == ["running", "queued", "running"]
    assert room.instance(second).waits_for == "state:k\nguarded"
