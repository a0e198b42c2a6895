from uuid import UUID

import pytest
import trio

from actors.narrator import narrator
from callsheet.instants import parse_instant
from storage.journal.facts import (
    CancelRequested,
    DueOmitted,
    InstanceEnded,
    InstanceQueued,
    InstanceStarted,
    InstanceStuck,
    NodeSaid,
    ScheduleChanged,
)

ID = UUID("01a20846-fe7b-774b-8000-000000000000")
DUE = parse_instant("2026-03-01T00:01:00Z")
STARTED = InstanceStarted(ID, "get", b"{}", DUE, schedule="probe")

LINES = [
    (STARTED, f"started  probe (get)  {ID}"),
    (InstanceStarted(ID, "get", b"{}", DUE), f"started  get  {ID}"),
    (InstanceEnded(ID, "get", "probe", "succeeded", 0.25), "ended    probe (get)  succeeded after 0.250 s"),
    (
        InstanceEnded(ID, "get", None, "failed", 2, b'{"type": "ValueError", "message": "it\\nis\\u001b[2J odd"}'),
        "ended    get  failed after 2.000 s: ValueError: 'it\\nis\\x1b[2J odd'",
    ),
    (
        DueOmitted("probe", "skipped", "overlap", DUE, DUE, 1, ID),
        f"skipped  probe  due 2026-03-01T00:01:00Z: overlap, blocked by {ID}",
    ),
    (
        DueOmitted("probe", "missed", "downtime", DUE - 5, DUE, 7),
        "missed   probe  due 2026-03-01T00:01:00Z (7 due times): downtime",
    ),
    (CancelRequested(ID, None, "ada", "enough"), f"cancel   {ID}  by ada: enough"),
    (CancelRequested(ID, None, "ada", None), f"cancel   {ID}  by ada"),
    (InstanceStuck(ID, "a.py:7 in body"), f"stuck    {ID}  at a.py:7 in body"),
]


async def tell(*batches):
    told = []
    send, receive = trio.open_memory_channel(len(batches))
    with send:
        for batch in batches:
            send.send_nowait(batch)
    await narrator(receive, told.append)
    return told


@pytest.mark.parametrize(("fact", "line"), LINES)
async def test_each_fact_that_people_watch_for_is_one_plain_line(fact, line):
    assert await tell((fact,)) == [line + "\n"]


async def test_a_batch_is_written_at_once_and_a_crowd_as_its_sum():
    assert await tell((STARTED, STARTED)) == [f"started  probe (get)  {ID}\n" * 2]
    crowd = (STARTED,) * 50 + (InstanceEnded(ID, "get", None, "failed", 1),) * 7
    assert await tell(crowd) == ["...      50 started, 7 ended, 0 omitted\n"]


async def test_other_facts_are_not_told():
    quiet = (InstanceQueued(ID, "get", None, None), ScheduleChanged("probe", "created", 1), NodeSaid("node.started"))
    assert await tell(quiet) == []
