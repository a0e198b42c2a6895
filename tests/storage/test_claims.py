"""Promises of the claim: every due time once, with a run or with the reason why there is none."""

import pytest

from callsheet.instants import HOUR, SECOND, format_instant
from storage.journal.commands import (
    Claim,
    DeleteSchedule,
    EndInstance,
    PauseSchedule,
    Start,
    StartInstances,
    TriggerSchedule,
)
from storage.queries.schedules import list_schedules, upcoming_of_all

DAY = 24 * 3600


def test_a_due_time_is_never_claimed_twice(bench):
    bench.put(overlap="allow")
    bench.clock.move(10)
    first = bench.journal.apply([Claim(0), Claim(0)])
    again = bench.journal.apply([Claim(0)])
    bench.boot()
    bench.claim()

    assert [fact.type for fact in first.facts] == ["instance.started"]
    assert (again.facts, bench.started) == ([], [])
    assert bench.fates() == [("ran", 10, 10, 1)]


def test_the_database_itself_refuses_a_second_run_of_a_due_time(bench):
    bench.put(overlap="allow")
    bench.claim_after(10)
    due = bench.clock.now()
    bench.write("UPDATE schedule SET last_due = NULL, next_due = ?, next_fire = ? WHERE id = 's'", due, due)
    applied = bench.journal.apply([Claim(0), StartInstances((Start("noop", b"null"),))])

    assert [verdict.error is None for verdict in applied.verdicts] == [False, True]
    assert bench.fates() == [("ran", 10, 10, 1)]


def test_nothing_is_fired_before_its_time(bench):
    record = bench.put()
    looked = bench.claim()
    bench.clock.instant = record.next_due - 1
    bench.claim()

    assert record.next_due == bench.clock.now() + 1
    assert (looked.next_fire, looked.fired, bench.started) == (record.next_due, 0, [])


def test_a_claim_tells_when_to_look_again(bench):
    assert bench.claim().next_fire is None
    bench.put("slow", every="1h")
    bench.put("quick", every="10s", task="failing")
    started = bench.claim_after(10)[0]
    bench.clock.move(1)
    bench.end(started, "failed")
    retry = bench.instances(states=("queued",))[0]

    assert bench.claim().next_fire == min(retry.start_after, bench.schedule("quick").next_fire)
    assert retry.start_after >= bench.clock.now() + 10 * SECOND


def test_a_run_knows_its_due_time_and_everything_its_schedule_says(bench):
    bench.put(task="greet", input={"name": "Ada"}, timeout="5s", tags=["x"], trigger={"cron": "0 13 * * *"})
    (run,) = bench.claim_after(3600)

    assert (run.due_at, run.cause, run.schedule, run.attempt) == (bench.clock.now(), "schedule", "s", 1)
    assert (run.input, run.timeout, run.tags) == (b'{"name":"Ada","times":1}', 5 * SECOND, ("x",))
    stored = bench.instance(run.id)
    assert (stored.due_at, stored.cause, stored.schedule, stored.tag_list) == (run.due_at, "schedule", "s", ["x"])


def test_more_than_one_claim_can_take_is_left_for_the_next(bench):
    for n in range(5):
        bench.put(f"s{n}")
    bench.clock.move(10)
    counts = [bench.claim(limit=2).fired for _ in range(4)]

    assert counts == [2, 2, 1, 0]
    assert len({run.schedule for run in bench.instances()}) == 5


def test_those_that_have_waited_longest_are_claimed_first(bench):
    bench.put("later", every="20s")
    bench.put("sooner", every="10s")
    bench.clock.move(19)
    bench.put("now", every="1s")
    bench.clock.move(1)
    bench.claim(limit=1)

    assert [run.schedule for run in bench.started] == ["sooner"]


def test_jitter_moves_the_firing_but_never_the_due_time(bench):
    record = bench.put(every="1h", jitter="30m")
    assert record.next_due == bench.clock.now() + HOUR
    assert record.next_due < record.next_fire < record.next_due + HOUR // 2
    bench.clock.instant = record.next_fire - 1
    assert bench.claim().fired == 0
    bench.clock.move(0.000001)
    bench.claim()

    assert [run.due_at for run in bench.started] == [record.next_due]


def test_overlap_is_skipped_and_names_who_was_in_the_way(bench):
    bench.put()
    (run,) = bench.claim_after(10)
    assert bench.claim_after(10) == []

    assert bench.fates() == [("ran", 10, 10, 1), ("skipped", 20, 20, 1)]
    skipped = bench.ledger()[1]
    assert (skipped.reason, skipped.blocked_by, skipped.instance) == ("overlap", run.id, None)
    assert [fact.type for fact in bench.facts] == ["due.omitted"]


def test_an_end_that_is_committed_before_the_claim_is_no_overlap(bench):
    bench.put()
    (run,) = bench.claim_after(10)
    bench.clock.move(10)
    end = EndInstance(run, "succeeded", run.started_at, bench.clock.now())
    facts = bench.journal.apply([end, Claim(0)]).facts

    assert [fact.type for fact in facts] == ["instance.ended", "instance.started"]
    (run,) = [fact for fact in facts if fact.type == "instance.started"]
    bench.clock.move(10)
    facts = bench.journal.apply([Claim(0), EndInstance(run, "succeeded", 1, 2)]).facts
    assert [fact.type for fact in facts] == ["due.omitted", "instance.ended"]


def test_a_run_by_hand_is_in_the_way_just_as_well(bench):
    bench.put()
    instance = bench.ask(TriggerSchedule("s"))
    bench.claim_after(10)

    assert bench.ledger()[0].blocked_by == instance


def test_a_retry_that_waits_is_in_the_way_for_it_is_still_the_same_run(bench):
    bench.put(task="failing")
    (run,) = bench.claim_after(10)
    bench.end(run, "failed")

    bench.claim_after(9)

    assert bench.instances(states=("queued",))[0].retry_of == run.id
    bench.clock.move(1)
    bench.claim()
    assert bench.fates() == [("ran", 10, 10, 1), ("skipped", 20, 20, 1)]


def test_overlap_that_is_allowed_runs_side_by_side(bench):
    bench.put(overlap="allow")
    for _ in range(3):
        bench.claim_after(10)

    assert bench.fates() == [("ran", 10, 10, 1), ("ran", 20, 20, 1), ("ran", 30, 30, 1)]
    assert len(bench.instances(states=("running",))) == 3


def test_consecutive_omissions_are_one_row_until_something_runs(bench):
    bench.put()
    (run,) = bench.claim_after(10)
    for _ in range(3):
        bench.claim_after(10)
    bench.end(run)
    (run,) = bench.claim_after(10)
    bench.claim_after(10)

    assert bench.fates() == [("ran", 10, 10, 1), ("skipped", 20, 40, 3), ("ran", 50, 50, 1), ("skipped", 60, 60, 1)]
    assert bench.ledger()[3].blocked_by == run.id


def test_omissions_of_another_fate_start_another_row(bench, tasks):
    bench.put()
    bench.claim_after(10)
    bench.claim_after(10)
    bench.clock.move(35)
    bench.claim()  # late: the latest is skipped for the overlap, the two before it were never looked at

    assert bench.fates() == [("ran", 10, 10, 1), ("skipped", 20, 20, 1), ("missed", 30, 40, 2), ("skipped", 50, 50, 1)]


def test_a_run_by_hand_does_not_part_omissions(bench):
    bench.put()
    bench.claim_after(10)
    bench.claim_after(10)
    bench.ask(TriggerSchedule("s", overlap="allow"))
    bench.claim_after(10)

    assert [(row.fate, row.count) for row in bench.ledger()] == [("ran", 1), ("skipped", 2)]


def test_downtime_within_the_window_is_made_up_for_by_one_run(bench):
    bench.put(every="10m", catch_up_window="1h")
    bench.clock.move(3600 + 5)
    bench.boot()
    bench.claim()

    assert [run.due_at for run in bench.started] == [bench.clock.now() - 5 * SECOND]
    assert bench.fates() == [("missed", 600, 3000, 5), ("ran", 3600, 3600, 1)]
    assert bench.ledger()[0].reason == "downtime"


def test_downtime_beyond_the_window_is_only_written_down(bench):
    bench.put(every="2h", catch_up_window="1h")
    bench.clock.move(2 * 3600 + 3601)
    bench.boot()
    bench.claim()

    assert bench.started == []
    assert bench.fates() == [("missed", 7200, 7200, 1)]
    assert bench.schedule().next_due == bench.clock.now() - 3601 * SECOND + 2 * HOUR


def test_the_window_holds_to_the_microsecond(bench):
    bench.put("in", every="2h", catch_up_window="1h")
    bench.put("out", every="2h", catch_up_window=3599.999999)
    bench.clock.move(3 * 3600)
    bench.boot()
    bench.claim()

    assert [run.schedule for run in bench.started] == ["in"]


def test_a_schedule_that_wants_no_catching_up_gets_none(bench):
    bench.put(every="10s", catch_up="none")
    bench.clock.move(35)
    bench.boot()
    bench.claim()

    assert bench.fates() == [("missed", 10, 30, 3)]
    assert [run.due_at for run in bench.claim_after(5)] == [bench.clock.now()]


def test_a_run_at_one_instant_is_made_up_for_however_late_it_is(bench):
    bench.put(trigger={"at": format_instant(bench.clock.now() + HOUR)})
    bench.clock.move(90 * DAY)
    bench.boot()
    (run,) = bench.claim_after(0)

    assert bench.seconds(run.due_at) == 3600
    assert (bench.schedule().state, bench.schedule().next_due, bench.schedule().next_fire) == ("finished", None, None)


def test_a_run_at_one_instant_is_not_made_up_for_when_none_is_wanted(bench):
    bench.put(trigger={"at": format_instant(bench.clock.now() + HOUR)}, catch_up="none")
    bench.clock.move(3601)
    bench.boot()
    bench.claim()

    assert bench.fates() == [("missed", 3600, 3600, 1)]
    assert bench.schedule().state == "finished"


def test_lateness_while_we_were_up_never_drops_a_due_time(bench):
    bench.put(every="10s", catch_up="none", catch_up_window=0)
    bench.clock.move(35)
    bench.claim()

    assert bench.fates() == [("missed", 10, 20, 2), ("ran", 30, 30, 1)]
    assert bench.ledger()[0].reason == "late"


@pytest.mark.parametrize("back", [1, 3600, 3 * 3600])
def test_a_clock_that_is_set_back_fires_nothing_again(bench, back):
    bench.put(overlap="allow")
    for _ in range(3):
        bench.claim_after(10)
    bench.clock.move(-back)
    assert bench.claim().fired == 0
    bench.clock.move(back)
    assert bench.claim().fired == 0
    bench.claim_after(10)

    assert bench.fates() == [("ran", at, at, 1) for at in (10, 20, 30, 40)]


def test_a_pause_that_runs_out_under_a_clock_that_was_set_back_fires_nothing_again(bench):
    bench.put(overlap="allow")
    for _ in range(3):
        bench.claim_after(10)
    bench.clock.move(-25)
    bench.ask(PauseSchedule("s", until=bench.clock.now() + SECOND))
    for _ in range(5):
        bench.claim_after(10)

    assert bench.fates() == [("ran", at, at, 1) for at in (10, 20, 30, 40, 50)]


def test_a_change_under_a_clock_that_was_set_back_names_no_due_time_again(bench):
    bench.put(overlap="allow")
    for _ in range(3):
        bench.claim_after(10)
    bench.clock.move(-25)
    record = bench.put(overlap="allow", jitter="1ms")
    assert record.next_due > record.last_due
    for _ in range(4):
        bench.claim_after(9)

    assert bench.fates() == [("ran", at, at, 1) for at in (10, 20, 30, 40)]


def test_a_trigger_that_cannot_be_read_blocks_its_schedule_alone(bench, caplog):
    bench.put("bad")
    bench.put("good")
    bench.write("""UPDATE schedule SET trigger = '{"cron":"* * * * *","timezone":"Mars/Olympus"}' WHERE id = 'bad'""")
    bench.claim_after(10)

    assert [run.schedule for run in bench.started] == ["good"]
    ((state, reason),) = bench.rows("SELECT state, state_reason FROM schedule WHERE id = 'bad'")
    assert state == "blocked"
    assert reason.startswith("trigger_failed: ")
    assert bench.claim_after(10) == []
    assert "bad" in caplog.text


def test_a_trigger_that_means_nothing_any_more_can_be_shown_replaced_and_deleted(bench):
    """Such as one in a time zone that the present data do not know."""
    for slug in ("a", "b", "c"):
        bench.put(slug)
    bench.write("""UPDATE schedule SET trigger = '{"cron":"* * * * *","timezone":"Mars/Olympus"}' WHERE id <> 'c'""")
    bench.claim_after(10)
    listed = list_schedules(bench.database, task=None, state=None, tag=None, limit=10, cursor=None).items
    assert [(record.id, record.state) for record in listed] == [("a", "blocked"), ("b", "blocked"), ("c", "active")]
    assert [coming.schedule for coming in upcoming_of_all(bench.database, 2, None)] == ["c", "c"]
    bench.ask(DeleteSchedule("a"))
    bench.put("b", every="5s")

    assert (bench.schedule("b").state, bench.schedule("b").next_due) == ("active", bench.clock.now() + 5 * SECOND)
