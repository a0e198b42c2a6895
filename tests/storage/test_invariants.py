"""What the service checks of itself: a sound history breaks no rule, and each rule finds what breaks it."""

import pytest

from callsheet.instants import SECOND
from storage.journal.commands import DeleteSchedule, Start, StartInstances, StopNode, TriggerSchedule
from storage.queries.invariants import WALKS, check_all, check_slice

OTHER = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def history(bench):
    """Return the bench after a bit of everything; `s` is due every 10 s, one of its runs goes on."""
    bench.put()
    bench.put("tally", task="tally", every="20s")
    bench.put("failing", task="failing", every="40s", overlap="allow")
    for n in range(12):
        for run in bench.claim_after(10):
            outcome = "failed" if run.task == "failing" else "succeeded"
            if run.task != "noop" or n % 4 == 0:
                bench.end(run, outcome, state=b"{}" if run.task == "tally" else None)
        if n % 4 == 3:
            bench.end(next(one for one in running(bench) if one.task == "noop"))
    bench.claim_after(15)
    assert {fate for fate, *_ in bench.fates()} == {"ran", "skipped"}
    return bench


def running(bench):
    """Return the facts of what runs."""
    return [bench.start_fact(one.id) for one in bench.instances(states=("running",))]


def kinds(bench):
    """Return the kinds of what is wrong."""
    return [violation.kind for violation in check_all(bench.database)]


def test_a_sound_history_breaks_no_rule(history):
    assert kinds(history) == []


def test_a_stop_a_crash_and_a_deletion_break_no_rule(history):
    history.ask(StopNode())
    assert kinds(history) == []
    history.boot()
    assert kinds(history) == []
    history.ask(DeleteSchedule("tally"))
    history.put("tally", task="tally", every="20s")
    assert kinds(history) == []
    for run in history.claim_after(20):
        history.end(run, state=b"{}")
    assert kinds(history) == []


def test_an_overlap_that_somebody_asked_for_breaks_no_rule(bench):
    bench.put()
    bench.claim_after(10)
    bench.ask(TriggerSchedule("s", overlap="allow"))
    bench.put("free", overlap="allow")
    bench.claim_after(10)
    bench.claim_after(10)
    assert len(bench.instances(schedule="free", states=("running",))) == 2
    bench.put("free")

    assert kinds(bench) == []


ENDED = "(SELECT id FROM instance WHERE state = 'failed' ORDER BY id LIMIT 1)"
OLDEST = "(SELECT min(due_at) FROM instance WHERE schedule = 's')"
WRONG = [
    ("due_backwards", "UPDATE schedule SET next_due = last_due WHERE id = 's'"),
    ("ledger_ahead", "UPDATE schedule SET last_due = last_due - 10000000 WHERE id = 's'"),
    ("ledger_ahead", "UPDATE schedule SET last_due = NULL WHERE id = 's'"),
    ("due_twice", "UPDATE omission SET first_due = first_due - 10000000 WHERE id = 1"),
    ("omission_empty", "UPDATE omission SET count = 0 WHERE id = 1"),
    ("end_unclear", f"UPDATE instance SET finished_at = NULL WHERE id = {ENDED}"),
    ("end_unclear", f"UPDATE instance SET started_at = NULL WHERE id = {ENDED}"),
    ("state_unknown", f"UPDATE instance SET state = 'over' WHERE id = {ENDED}"),
    (
        "overlap",
        f"UPDATE instance SET state = 'running', finished_at = NULL WHERE schedule = 's' AND due_at = {OLDEST}",
    ),
    ("process_gone", "UPDATE node SET last_batch = -1"),
    ("save_lost", "UPDATE task_state SET version = 1"),
]


@pytest.mark.parametrize(("kind", "change"), WRONG)
def test_each_rule_finds_what_breaks_it(history, kind, change):
    history.write(change)

    assert set(kinds(history)) == {kind}


def test_two_omissions_of_one_due_time_are_found(history):
    (row,) = history.rows("SELECT first_due, last_due FROM omission WHERE id = 1")
    insert = (
        "INSERT INTO omission (schedule, fate, reason, first_due, last_due, count) "
        "VALUES ('s', 'skipped', 'overlap', ?, ?, 1)"
    )
    history.write(insert, row[0], row[1] - SECOND)

    assert set(kinds(history)) == {"due_twice"}


def test_a_state_that_two_runs_use_at_once_is_found(bench):
    bench.ask(StartInstances((Start("common", b"null"),) * 2))
    bench.write("UPDATE instance SET state = 'running', started_at = 1, boot = ?, node = 'n1' WHERE state = 'queued'",
                bench.journal._node.boot)  # fmt: skip

    assert kinds(bench) == ["state_shared"]


def test_a_state_whose_writer_did_not_succeed_is_found(history):
    history.write("UPDATE instance SET state = 'lost' WHERE id = (SELECT instance FROM task_state)")

    assert kinds(history) == ["state_without_success"]


def test_what_waits_for_nothing_is_found(bench):
    run = bench.start("failing")
    bench.end(run, "failed")
    assert kinds(bench) == []
    bench.write("UPDATE instance SET start_after = NULL")
    (violation,) = check_all(bench.database)

    (waiting,) = bench.instances(states=("queued",))
    assert (violation.kind, violation.instance) == ("waits_for_nothing", waiting.id)
    assert violation.sentence == f"/v1/instances/{waiting.id} is queued, and nothing will let it begin."


def test_a_violation_names_the_schedule_in_a_sentence(history):
    history.write("UPDATE schedule SET next_due = last_due WHERE id = 's'")
    (violation,) = check_all(history.database)

    assert violation.schedule == "s"
    assert violation.sentence == "The schedule 's' has its next due time at or before its last."


def test_a_slice_reads_so_many_rows_and_the_next_goes_on_behind_them(history):
    (walk,) = [one for one in WALKS if one.name == "instances"]
    seen, after = 0, None
    while True:
        part = check_slice(history.database, walk, after, 4)
        seen += part.rows
        after = part.next
        if after is None:
            break
        assert part.rows == 4

    assert seen == len(history.instances())
