"""Promises of the journal: what becomes of commands, alone and in batches, and what is told of them."""

from collections import Counter
from uuid import uuid4

import msgspec
import pytest

from callsheet.errors import Invalid, Refused, Unknown
from storage.journal.commands import (
    CancelInstance,
    CancelInstances,
    Claim,
    EndInstance,
    KeepEvent,
    KeepLog,
    KeepOutput,
    MarkStuck,
    PatchSchedule,
    PauseSchedule,
    PutSchedule,
    RerunInstance,
    Start,
    StartInstances,
    StopNode,
    TriggerSchedule,
)
from storage.queries.instances import list_log, list_outputs
from storage.queries.nodes import list_nodes

NOOP = Start("noop", b"null")


def schedule(**more):
    return {"task": "noop", "trigger": {"every": "10s"}} | more


def test_instances_are_started_in_order_and_all_at_once(bench):
    ids = bench.ask(StartInstances((NOOP, Start("greet", b'{"name":"Ada"}', timeout=5_000_000, tags=("x", "y")))))

    assert ids == sorted(ids)
    assert [run.id for run in bench.started] == ids
    second = bench.instance(ids[1])
    assert (second.task, second.input) == ("greet", '{"name":"Ada"}')
    assert (second.timeout, second.tag_list) == (5_000_000, ["x", "y"])
    assert (second.state, second.cause, second.attempt, second.due_at) == ("running", "manual", 1, None)
    assert (second.queued_at, second.started_at, second.node) == (bench.clock.now(), bench.clock.now(), "n1")


def test_an_unknown_task_refuses_all_instances_of_its_command(bench):
    with pytest.raises(Unknown, match="no task 'gone'"):
        bench.ask(StartInstances((NOOP, Start("gone", b"null"))))

    assert bench.instances() == []


def test_a_schedule_is_run_by_hand_without_moving_its_next_due_time(bench):
    before = bench.put()
    instance = bench.ask(TriggerSchedule("s"))

    assert bench.instance(instance).cause == "manual"
    assert bench.instance(instance).schedule == "s"
    assert bench.instance(instance).due_at is None
    assert bench.schedule() == before
    assert bench.ledger() == []


def test_a_schedule_is_run_by_hand_with_another_input_once_its_task_takes_it(bench):
    bench.put(task="greet", input={"name": "Ada"})
    instance = bench.ask(TriggerSchedule("s", b'{"name":"Bob"}', overlap="allow"))

    assert bench.instance(instance).input == '{"name":"Bob","times":1}'
    with pytest.raises(Invalid, match="is required"):
        bench.ask(TriggerSchedule("s", b"{}", overlap="allow"))
    assert len(bench.instances()) == 1


def test_running_by_hand_what_still_runs_is_refused_and_names_what_runs(bench):
    bench.put()
    first = bench.ask(TriggerSchedule("s"))

    with pytest.raises(Refused) as refused:
        bench.ask(TriggerSchedule("s"))
    assert refused.value.blocked_by == f"/v1/instances/{first}"
    assert bench.ask(TriggerSchedule("s", overlap="allow")) != first


def test_an_instance_is_run_again_with_its_task_input_and_tags(bench):
    first = bench.start("greet", b'{"name":"Ada","times":2}', tags=("x",))
    bench.end(first)
    second = bench.instance(bench.ask(RerunInstance(first.id)))

    assert (second.task, second.input) == ("greet", '{"name":"Ada","times":2}')
    assert (second.tag_list, second.cause) == (["x"], "rerun")
    assert (second.state, second.due_at, second.schedule) == ("running", None, None)


def test_what_a_task_says_is_kept_in_order(bench):
    run = bench.start()
    bench.journal.apply(
        [KeepOutput(run.id, n, bench.clock.now(), b"%d" % n) for n in range(3)]
        + [KeepLog(run.id, 0, 7, "info", "a\0b", None), KeepLog(run.id, 1, 8, "error", "", b'{"a":1}')]
    )

    assert [output.value for output in list_outputs(bench.database, run.id, 10, None).items] == ["0", "1", "2"]
    log = list_log(bench.database, run.id, 10, None).items
    assert [(line.level, line.text) for line in log] == [("info", "a\N{REPLACEMENT CHARACTER}b"), ("error", "")]
    assert [line.fields for line in log] == [None, '{"a":1}']


def test_a_line_of_log_that_is_no_text_at_all_is_kept_as_well_as_can_be(bench):
    run = bench.start()
    bench.ask(KeepLog(run.id, 0, 7, "info", "lone \ud800 surrogate"))

    assert "lone" in list_log(bench.database, run.id, 10, None).items[0].text


def test_a_stuck_instance_stays_running_and_says_where_it_stands(bench):
    run = bench.start()
    bench.ask(MarkStuck(run.id, "tasks.py:7 in wait"))

    assert (bench.instance(run.id).state, bench.instance(run.id).stuck) == ("running", "tasks.py:7 in wait")
    assert [fact.type for fact in bench.facts] == ["instance.stuck"]
    bench.end(run, "cancelled")
    assert bench.instance(run.id).stuck is None


def test_nobody_is_told_that_something_is_stuck_that_has_ended(bench):
    run = bench.start()
    bench.end(run)
    bench.ask(MarkStuck(run.id, "tasks.py:7 in wait"))

    assert bench.facts == []
    assert bench.instance(run.id).stuck is None


def test_the_nodes_own_events_are_written_down(bench):
    bench.ask(KeepEvent("clock.jumped", b'{"seconds":3}'))

    (event,) = bench.rows("SELECT type, data, schedule, instance FROM event WHERE type = 'clock.jumped'")
    assert tuple(event) == ("clock.jumped", '{"seconds":3}', None, None)


def test_a_node_that_stops_says_so(bench):
    bench.clock.move(5)
    bench.ask(StopNode())

    (node,) = list_nodes(bench.database).items
    assert (node.name, node.stopped_at) == ("n1", bench.clock.now())


def test_a_refused_command_leaves_the_rest_of_its_batch_intact(bench):
    applied = bench.journal.apply(
        [
            StartInstances((NOOP,)),
            StartInstances((Start("gone", b"null"),)),
            PutSchedule("a", schedule()),
            PutSchedule("b", {"task": "noop"}),
            CancelInstance(uuid4(), None, "api"),
            PatchSchedule("nobody", {}),
            PutSchedule("c", schedule()),
            StartInstances((NOOP, NOOP)),
        ]
    )

    refused = [type(verdict.error) for verdict in applied.verdicts]
    assert refused == [type(None), Unknown, type(None), Invalid, Unknown, Unknown, type(None), type(None)]
    assert len(bench.instances()) == 3
    assert {bench.schedule("a").state, bench.schedule("c").state} == {"active"}


def test_a_refused_command_changes_nothing_at_all(bench):
    bench.put()
    before = bench.schedule()
    for wrong in [
        PutSchedule("s", schedule(jitter=-1)),
        PatchSchedule("s", {"input": {"a": 1}}),
        PauseSchedule("s", until=bench.clock.now()),
        PutSchedule("s", schedule(), create_only=True),
    ]:
        applied = bench.journal.apply([wrong])
        assert applied.verdicts[0].error is not None
        assert applied.facts == []

    assert bench.schedule() == before


def test_a_command_that_fails_unexpectedly_takes_down_nobody_else(bench, caplog):
    run = bench.start()
    applied = bench.journal.apply(
        [
            KeepOutput(run.id, 0, 1, b"0"),
            KeepOutput(uuid4(), 0, 1, b"1"),  # there is no such instance: the database refuses it
            StartInstances((NOOP,)),
            KeepOutput(run.id, 1, 1, b"2"),
        ]
    )

    assert [verdict.error is None for verdict in applied.verdicts] == [True, False, True, True]
    assert [fact.type for fact in applied.facts] == ["instance.started"]
    assert [output.value for output in list_outputs(bench.database, run.id, 10, None).items] == ["0", "2"]
    assert bench.instance(applied.verdicts[2].answer[0]).state == "running"
    assert "KeepOutput" in caplog.text


def test_facts_come_in_the_order_of_the_commands_and_stand_so_in_the_database(bench):
    run = bench.start()
    bench.rows("SELECT 1")
    (before,) = bench.rows("SELECT max(id) FROM event")[0]
    applied = bench.journal.apply(
        [
            PutSchedule("a", schedule()),
            StartInstances((NOOP, NOOP)),
            CancelInstance(run.id, "why not", "api"),
            PutSchedule("a", schedule(jitter="1s")),
            KeepEvent("clock.jumped", b"{}"),
        ]
    )

    types = [fact.type for fact in applied.facts]
    assert types == ["schedule.changed", "instance.started", "instance.started", "instance.cancel_requested",
                     "schedule.changed", "clock.jumped"]  # fmt: skip
    stored = bench.rows("SELECT type, schedule, instance, data FROM event WHERE id > ? ORDER BY id", before)
    told = [(fact.type, *fact.about, fact.data().decode()) for fact in applied.facts]
    assert [(row[0], row[1], bench.database.dialect.uuid(row[2]), row[3]) for row in stored] == told


def test_only_what_is_committed_is_told_and_all_of_it_exactly_once(bench):
    """Batches that fail half-way and are applied again one by one leave no fact behind that did not happen."""
    run = bench.start()
    told = Counter()
    for n in range(5):
        cancel = CancelInstance(run.id, str(n), "api")
        batch = [StartInstances((NOOP,)), KeepOutput(uuid4(), 0, 1, b"1"), cancel, Claim(0)]
        told.update(fact.type for fact in bench.journal.apply(batch).facts)

    stored = Counter(row[0] for row in bench.rows("SELECT type FROM event"))
    assert told == {"instance.started": 5, "instance.cancel_requested": 5}
    assert stored == told + Counter({"instance.started": 1, "node.started": 1})
    assert len(bench.instances()) == 6


def test_cancelling_many_orders_it_for_each_that_matches_all_that_is_given(bench):
    bench.put("a", tags=["x"], every="1h", overlap="allow")
    runs = [bench.start(tags=("x",)), bench.start("greet", b'{"name":"a"}', tags=("x",)), bench.start()]
    from_schedule = bench.ask(TriggerSchedule("a"))
    bench.end(runs[2])

    assert bench.ask(CancelInstances("greet", None, "x", "enough", "api")) == 1
    assert [fact.id for fact in bench.facts] == [runs[1].id]
    assert bench.ask(CancelInstances(None, "a", None, None, "api")) == 1
    assert bench.instance(from_schedule).cancel_by == "api"
    assert bench.ask(CancelInstances(None, None, None, None, "api")) == 3
    assert bench.instance(runs[2].id).cancel_at is None


def test_the_first_committed_end_wins(bench):
    run = bench.start("tally")
    bench.end(run, "failed", error=b'{"type":"X"}')
    before = bench.instance(run.id)
    bench.clock.move(1)
    applied = bench.journal.apply([EndInstance(run, "succeeded", 1, 2, state=b"{}"), StartInstances((NOOP,))])

    assert [verdict.error for verdict in applied.verdicts] == [None, None]
    assert bench.instance(run.id) == before
    assert bench.rows("SELECT key FROM task_state") == []
    assert bench.rows("SELECT count(*) FROM event WHERE type = 'instance.ended'")[0][0] == 1


def test_two_ends_in_one_batch_are_one_end(bench):
    run = bench.start("failing")
    bench.journal.apply([EndInstance(run, "failed", 1, 2), EndInstance(run, "succeeded", 1, 3)])

    assert bench.instance(run.id).state == "failed"
    assert len(bench.instances()) == 2  # the run and its one retry


def test_memory_is_told_of_an_end_that_was_written_before_and_what_it_was(bench):
    run = bench.start()
    bench.end(run, "failed")
    (fact,) = bench.journal.apply([EndInstance(run, "succeeded", 1, 2)]).facts

    assert (fact.type, fact.id, fact.outcome) == ("instance.ended", run.id, "failed")


def test_an_end_that_cannot_be_written_as_it_is_becomes_a_failure(bench):
    run = bench.start("tally")
    bench.end(run, "succeeded", state=b'{"value": "\xff"}')

    assert bench.instance(run.id).state == "failed"
    assert "could not be written" in bench.instance(run.id).error


def test_an_instance_can_start_and_end_in_one_batch(bench):
    bench.put("a", every="10s")
    run = bench.claim_after(10)[0]
    bench.clock.move(10)
    applied = bench.journal.apply([EndInstance(run, "succeeded", run.started_at, bench.clock.now()), Claim(0)])

    assert [fact.type for fact in applied.facts] == ["instance.ended", "instance.started"]


def test_facts_are_json(bench):
    bench.put()
    bench.claim_after(10)
    bench.claim_after(10)

    for row in bench.rows("SELECT data FROM event"):
        assert isinstance(msgspec.json.decode(row[0]), dict)
