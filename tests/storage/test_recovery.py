"""Promises of a new boot: what the earlier one left is settled before anything is fired."""

from typing import Annotated

import msgspec
import pytest

from callsheet import Out, task
from callsheet.errors import GaveUp
from callsheet.tasks import Registry
from storage.journal.commands import (
    Claim,
    DeleteSchedule,
    EndInstance,
    PauseSchedule,
    Recover,
    Start,
    StartInstances,
    StopNode,
    TriggerSchedule,
)
from storage.journal.journal import Interrupted
from storage.queries.nodes import list_nodes


def without(tasks, *names):
    return Registry(task for task in tasks.values() if task.name not in names)


def changes(facts):
    return [(fact.schedule, fact.change, fact.reason) for fact in facts if fact.type == "schedule.changed"]


def test_what_an_earlier_boot_left_running_is_lost(bench):
    run, over = bench.start(), bench.start()
    bench.end(over)
    bench.clock.move(100)
    bench.boot()

    stored = bench.instance(run.id)
    assert (stored.state, stored.finished_at) == ("lost", bench.clock.now())
    assert "its node stopped" in stored.error
    assert bench.instance(over.id).state == "succeeded"
    assert [(fact.type, fact.about[1]) for fact in bench.facts] == [("instance.ended", run.id), ("node.started", None)]


def test_the_lost_are_settled_before_the_first_firing(bench):
    bench.put()
    (lost,) = bench.claim_after(10)
    bench.clock.move(10)
    bench.boot()
    bench.claim()

    assert bench.instance(lost.id).state == "lost"
    assert bench.fates() == [("ran", 10, 10, 1), ("ran", 20, 20, 1)]  # nothing is in the way


def test_recovering_again_leaves_this_boots_own_instances_alone(bench):
    run = bench.start()
    assert bench.ask(Recover()) == 0

    assert bench.instance(run.id).state == "running"


def test_what_is_lost_is_not_run_again(bench):
    bench.put(every="1h", task="failing")
    bench.claim_after(3600)
    bench.boot()

    assert bench.claim_after(60) == []
    assert [row.state for row in bench.instances()] == ["lost"]


def test_what_is_lost_and_idempotent_is_run_again(bench):
    bench.put(every="1h", task="again")
    (run,) = bench.claim_after(3600)
    bench.boot()
    (retry,) = bench.claim_after(0)

    assert (retry.attempt, retry.retry_of, retry.due_at) == (2, run.id, run.due_at)
    assert bench.fates() == [("ran", 3600, 3600, 1)]


def test_what_is_lost_of_a_deleted_schedule_is_not_run_again(bench):
    bench.put(task="again")
    bench.claim_after(10)
    bench.ask(DeleteSchedule("s"))
    bench.boot()

    assert bench.claim_after(60) == []


def test_who_waited_for_a_state_is_let_in_and_the_state_is_the_last_that_was_saved(bench):
    bench.end(bench.start("tally"), state=b'{"value":1}')
    lost, waiting = bench.ask(StartInstances((Start("tally", b"null"),) * 2))
    bench.boot()
    bench.claim()

    assert bench.instance(lost).state == "lost"
    assert [(run.id, run.state) for run in bench.started] == [(waiting, b'{"value":1}')]


def test_a_schedule_whose_task_is_gone_is_blocked_and_all_others_run(bench, tasks):
    bench.put("s", task="noop", overlap="allow")
    bench.put("t", task="again", overlap="allow")
    bench.boot(without(tasks, "noop"))
    assert changes(bench.facts) == [("s", "blocked", "task_missing")]
    started = bench.claim_after(10)
    bench.claim_after(10)

    assert [run.schedule for run in started] == ["t"]
    assert (bench.schedule().state, bench.schedule().state_reason) == ("blocked", "task_missing")
    assert bench.fates() == [("rejected", 10, 20, 2)]
    assert bench.ledger()[0].reason == "task_missing"


def test_a_schedule_comes_back_by_itself_with_its_task(bench, tasks):
    bench.put(overlap="allow")
    bench.boot(without(tasks, "noop"))
    bench.claim_after(10)
    bench.boot()
    assert changes(bench.facts) == [("s", "unblocked", None)]
    assert bench.schedule().state == "active"
    bench.claim_after(10)

    assert bench.fates() == [("rejected", 10, 10, 1), ("ran", 20, 20, 1)]


def test_a_paused_or_deleted_schedule_stays_so_when_its_task_comes_and_goes(bench, tasks):
    bench.put("p")
    bench.ask(PauseSchedule("p"))
    bench.put("d")
    bench.ask(DeleteSchedule("d"))
    bench.boot(without(tasks, "noop"))
    assert changes(bench.facts) == []
    bench.boot()

    assert changes(bench.facts) == []
    assert bench.schedule("p").state == "paused"


def test_a_task_that_goes_while_its_schedule_was_paused_is_noticed_when_it_is_due(bench, tasks):
    bench.put("p")
    bench.ask(PauseSchedule("p", until=bench.clock.now() + 5_000_000))
    bench.boot(without(tasks, "noop"))
    bench.claim_after(5)
    bench.claim_after(5)

    assert bench.started == []
    assert bench.fates("p") == [("rejected", 10, 10, 1)]


def test_an_input_that_the_task_takes_no_more_blocks_until_it_does(bench, tasks):
    bench.put(task="greet", input={"name": "Ada"}, overlap="allow")
    bench.write("""UPDATE schedule SET input = '{"name":7}' WHERE id = 's'""")
    bench.claim_after(10)
    assert changes(bench.facts) == [("s", "blocked", "input_invalid")]
    assert bench.schedule().state == "blocked"
    bench.write("""UPDATE schedule SET input = '{"name":"Bob"}' WHERE id = 's'""")
    bench.claim_after(10)

    assert changes(bench.facts) == [("s", "unblocked", None)]
    assert bench.fates() == [("rejected", 10, 10, 1), ("ran", 20, 20, 1)]
    assert bench.ledger()[0].reason == "input_invalid"


class Louder(msgspec.Struct, forbid_unknown_fields=True):
    """What `greet` takes after a change of its code."""

    name: Annotated[str, msgspec.Meta(max_length=3)]
    volume: int = 1


@task(name="greet")
async def greet_louder(_in: Louder, out: Out[str]) -> None: ...


def changed(tasks):
    return Registry([*(one for one in tasks.values() if one.name != "greet"), greet_louder])


def test_an_input_that_its_type_takes_no_longer_is_found_at_the_start_and_says_what_is_wrong(bench, tasks):
    bench.put("a", task="greet", input={"name": "Ada"})
    bench.put("b", task="greet", input={"name": "Barbara"})
    bench.boot(changed(tasks))
    assert changes(bench.facts) == [("a", "blocked", "input_invalid"), ("b", "blocked", "input_invalid")]
    errors = [msgspec.json.decode(bench.schedule(slug).state_errors) for slug in ("a", "b")]
    assert [{one["pointer"] for one in each} for each in errors] == [{"/times"}, {"/times", "/name"}]
    bench.boot(tasks)

    assert changes(bench.facts) == [("a", "unblocked", None), ("b", "unblocked", None)]
    assert (bench.schedule("b").state_reason, bench.schedule("b").state_errors) == (None, None)


def test_what_is_blocked_for_another_reason_is_not_freed_by_a_type_that_comes_and_goes(bench, tasks):
    bench.put("up", every="1h")
    bench.put("s", task="greet", input={"name": "Ada"}, trigger={"after": "up"})
    bench.ask(DeleteSchedule("up"))
    bench.boot(changed(tasks))
    bench.boot(tasks)

    assert (bench.schedule().state, bench.schedule().state_reason) == ("blocked", "upstream_deleted")


def test_inputs_are_read_again_only_where_their_type_has_changed(bench, tasks):
    bench.put(task="greet", input={"name": "Ada"})
    bench.boot(tasks)
    bench.write("""UPDATE schedule SET input = '{"name":7}'""")
    bench.boot(tasks)
    assert bench.schedule().state == "active"
    bench.write("DELETE FROM known_task")
    bench.boot(tasks)
    assert bench.schedule().state == "blocked"


def test_an_update_frees_a_blocked_schedule(bench, tasks):
    bench.put(task="greet", input={"name": "Ada"})
    bench.write("""UPDATE schedule SET input = '{"name":7}' WHERE id = 's'""")
    bench.claim_after(10)
    record = bench.put(task="greet", input={"name": "Bob"})

    assert (record.state, record.state_reason) == ("active", None)
    assert len(bench.claim_after(10)) == 1


def test_a_retry_whose_task_is_gone_waits_without_keeping_anyone_awake(bench, tasks):
    run = bench.start("failing")
    bench.end(run, "failed")
    bench.boot(without(tasks, "failing"))
    looked = bench.claim_after(60) or bench.claim()
    assert (looked.next_fire, bench.started) == (None, [])
    (waiting,) = bench.instances(states=("queued",))
    bench.boot()
    (retry,) = bench.claim_after(0)

    assert (retry.id, retry.attempt) == (waiting.id, 2)


def test_who_waits_for_the_state_of_a_task_that_is_gone_goes_on_when_it_is_back(bench, tasks):
    _, waiting = bench.ask(StartInstances((Start("tally", b"null"),) * 2))
    bench.boot(without(tasks, "tally"))
    bench.claim()
    assert bench.started == []
    assert bench.instance(waiting).state == "queued"
    bench.boot()
    bench.claim()

    assert [run.id for run in bench.started] == [waiting]


def test_retries_of_a_task_that_is_gone_do_not_hold_up_the_others(bench, tasks):
    for _ in range(3):
        bench.end(bench.start("failing"), "failed")
    bench.clock.move(60)
    bench.start("again")
    bench.boot(without(tasks, "failing"))
    for _ in range(4):
        bench.claim(limit=1)

    assert [run.attempt for run in bench.instances(task="again")] == [2, 1]


def test_each_boot_is_written_down_with_its_end(bench):
    bench.ask(StopNode())
    bench.clock.move(5)
    bench.boot()

    second, first = list_nodes(bench.database).items
    assert (first.stopped_at, second.stopped_at) == (bench.clock.now() - 5_000_000, None)
    assert second.started_at == bench.clock.now()
    assert first.boot != second.boot


def test_a_boot_that_just_ended_is_said_to_have_stopped_when_it_was_last_seen(bench):
    bench.clock.move(7)
    bench.start()
    last_seen = bench.clock.now()
    bench.clock.move(100)
    bench.boot()

    assert [node.stopped_at for node in list_nodes(bench.database).items] == [None, last_seen]


def test_a_node_whose_database_another_boot_has_taken_over_gives_up_at_its_next_write(bench):
    run = bench.start()
    earlier = bench.journal
    bench.boot()
    earlier.apply([EndInstance(run, "succeeded", 1, 2)])
    assert bench.instance(run.id).state == "lost"
    with pytest.raises(Interrupted) as interrupted:
        earlier.apply([StartInstances((Start("noop", b"null"),))])

    assert isinstance(interrupted.value.reason, GaveUp)
    assert len(bench.instances()) == 1


def test_a_million_schedules_are_not_read_at_a_start(bench, tasks):
    """A task that is neither gone nor back costs one look however many schedules it has."""
    for n in range(3):
        bench.put(f"s{n}")
    before = bench.schedule("s0")
    bench.boot()

    assert bench.schedule("s0") == before
    assert bench.journal.apply([TriggerSchedule("s0"), Claim(0)]).verdicts[0].error is None
