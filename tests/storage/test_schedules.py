"""Promises about changes to schedules: they never fire anything, and hold for due times strictly after them."""

import pytest

from callsheet.errors import Invalid, Outdated, Refused, Unknown
from callsheet.instants import HOUR, MINUTE, SECOND, format_instant
from callsheet.timetable import At, Cron, Every
from storage.journal.commands import (
    ANY_VERSION,
    DeleteSchedule,
    PatchSchedule,
    PauseSchedule,
    PutSchedule,
    ResumeSchedule,
    TriggerSchedule,
)
from storage.queries.schedules import list_schedules

TEN_SECONDS = {"task": "noop", "trigger": {"every": "10s"}}


def changes(bench):
    return [(fact.change, fact.version) for fact in bench.facts if fact.type == "schedule.changed"]


def test_a_new_schedule_is_active_and_due_strictly_after_its_creation(bench):
    now = bench.clock.now()
    created, record = bench.ask(PutSchedule("s", TEN_SECONDS))

    assert created
    assert (record.id, record.state, record.version, record.created_at) == ("s", "active", 1, now)
    assert record.definition.trigger == Every(10 * SECOND, now)
    assert record.next_due == record.next_fire == now + 10 * SECOND
    assert (changes(bench), bench.started) == ([("created", 1)], [])


def test_a_past_anchor_only_sets_the_phase(bench):
    anchor = bench.clock.now() - 25 * SECOND
    record = bench.put(trigger={"every": "10s", "anchor": format_instant(anchor)})

    assert record.next_due == bench.clock.now() + 5 * SECOND
    assert bench.claim().fired == 0


def test_a_schedule_without_an_id_gets_one(bench):
    _, first = bench.ask(PutSchedule(None, TEN_SECONDS))
    _, second = bench.ask(PutSchedule(None, TEN_SECONDS))

    assert first.id != second.id
    assert bench.schedule(first.id) == first


def test_every_wrong_field_is_told_at_once(bench):
    with pytest.raises(Invalid) as refused:
        bench.ask(PutSchedule("s", {"task": "gone", "trigger": {"every": "0.5s"}, "jitter": "x", "colour": 1}))

    assert {error.pointer for error in refused.value.errors} == {"/task", "/trigger/every", "/jitter", "/colour"}
    with pytest.raises(Unknown):
        bench.schedule()


def test_a_time_that_has_passed_is_refused_at_creation(bench):
    with pytest.raises(Invalid, match="has passed"):
        bench.put(trigger={"at": format_instant(bench.clock.now())})


def test_the_same_document_again_changes_nothing(bench):
    first = bench.put(tags=["x"], jitter="1s")
    bench.clock.move(5)
    created, again = bench.ask(PutSchedule("s", TEN_SECONDS | {"tags": ["x"], "jitter": "1s"}))

    assert (created, again, bench.facts) == (False, first, [])


def test_an_update_fires_nothing_and_keeps_the_due_times_if_the_trigger_stays(bench):
    before = bench.put()
    bench.clock.move(5)
    after = bench.put(tags=["x"], overlap="allow")

    assert (after.next_due, after.version, changes(bench)) == (before.next_due, 2, [("updated", 2)])
    assert bench.started == []
    assert [run.tags for run in bench.claim_after(5)] == [("x",)]


def test_another_interval_is_anchored_at_the_update(bench):
    bench.put()
    bench.clock.move(7)
    record = bench.put(every="30s")

    assert record.definition.trigger == Every(30 * SECOND, bench.clock.now())
    assert record.next_due == bench.clock.now() + 30 * SECOND


def test_the_same_interval_keeps_its_anchor(bench):
    before = bench.put()
    bench.clock.move(7)

    assert bench.put(jitter="1s").definition.trigger == before.definition.trigger


def test_an_update_holds_for_due_times_strictly_after_it(bench):
    bench.put(every="10s")
    bench.clock.move(10)
    bench.put(trigger={"cron": "* * * * * *"})
    runs = bench.claim_after(0)
    assert runs == []
    bench.claim_after(1)

    assert bench.fates()[-1] == ("ran", 11, 11, 1)


def test_a_due_time_that_a_change_overtakes_is_accounted_for_as_dropped(bench):
    """It was due before the change, but nobody had claimed it yet: no new rule may run it, no ledger may lose it."""
    bench.put("u")
    bench.put("p")
    bench.put("d")
    bench.clock.move(25)
    bench.put("u", every="30s")
    bench.ask(PauseSchedule("p"))
    bench.ask(DeleteSchedule("d"))
    bench.claim()

    assert bench.started == []
    for slug in "upd":
        assert bench.fates(slug) == [("dropped", 10, 20, 2)]
    assert [bench.ledger(slug)[0].reason for slug in "upd"] == ["updated", "paused", "deleted"]


def test_a_running_instance_keeps_what_it_started_with(bench):
    bench.put(task="greet", input={"name": "Ada"})
    (run,) = bench.claim_after(10)
    bench.put(task="greet", input={"name": "Bob"})

    assert bench.instance(run.id).input == '{"name":"Ada","times":1}'


def test_a_version_that_does_not_stand_is_refused(bench):
    bench.put()
    for command in [
        PutSchedule("s", TEN_SECONDS | {"tags": ["x"]}, if_match=(2, 3)),
        PatchSchedule("s", {"tags": ["x"]}, if_match=(2,)),
        PauseSchedule("s", if_match=(2,)),
        ResumeSchedule("s", if_match=(2,)),
        DeleteSchedule("s", if_match=(2,)),
        PutSchedule("other", TEN_SECONDS, if_match=(ANY_VERSION,)),
    ]:
        with pytest.raises(Outdated):
            bench.ask(command)
    assert bench.schedule().version == 1

    assert bench.ask(PatchSchedule("s", {"tags": ["x"]}, if_match=(7, 1))).version == 2
    assert bench.ask(PatchSchedule("s", {"tags": ["y"]}, if_match=(ANY_VERSION,))).version == 3


def test_creating_what_exists_is_refused_when_only_creating_was_asked(bench):
    bench.ask(PutSchedule("s", TEN_SECONDS, create_only=True))
    with pytest.raises(Refused) as refused:
        bench.ask(PutSchedule("s", TEN_SECONDS, create_only=True))

    assert refused.value.blocked_by == "/v1/schedules/s"


def test_a_patch_changes_what_it_names_and_null_takes_away(bench):
    bench.put(task="greet", input={"name": "Ada", "times": 2}, timeout="5s", tags=["x"])
    record = bench.ask(PatchSchedule("s", {"input": {"times": 3}, "timeout": None, "tags": ["y"]}))

    assert record.definition.input == b'{"name":"Ada","times":3}'
    assert (record.definition.timeout, record.definition.tags, record.version) == (None, ("y",), 2)


@pytest.mark.parametrize(
    ("patch", "trigger"),
    [
        ({"cron": "0 2 * * *", "timezone": "Europe/Berlin"}, Cron("0 2 * * *", "Europe/Berlin")),
        ({"at": "2027-01-01T00:00:00Z"}, At(1798761600 * SECOND)),
        ({"every": 20}, "anchored now"),
        ({"every": 10}, "as it was"),
    ],
)
def test_a_patched_trigger_of_another_kind_or_interval_starts_afresh(bench, patch, trigger):
    before = bench.put().definition.trigger
    bench.clock.move(7)
    after = bench.ask(PatchSchedule("s", {"trigger": patch})).definition.trigger
    expected = {"anchored now": Every(20 * SECOND, bench.clock.now()), "as it was": before}.get(str(trigger), trigger)

    assert after == expected


def test_a_patch_that_is_no_object_or_makes_no_schedule_is_refused(bench):
    bench.put()
    for patch in ([], None, {"task": None}, {"trigger": {"cron": "0 2 * * *", "every": "5s"}}, {"colour": 1}):
        with pytest.raises(Invalid):
            bench.ask(PatchSchedule("s", patch))
    assert bench.schedule().version == 1


def test_a_paused_schedule_plans_nothing_and_goes_on_strictly_in_the_future(bench):
    bench.put()
    bench.claim_after(10)
    record = bench.ask(PauseSchedule("s", "maintenance"))
    assert (record.state, record.state_reason) == ("paused", "maintenance")
    assert record.next_due is record.paused_until is None
    assert bench.claim_after(25) == []
    record = bench.ask(ResumeSchedule("s"))

    assert (record.state, record.state_reason, record.next_due) == ("active", None, bench.clock.now() + 5 * SECOND)
    assert bench.fates() == [("ran", 10, 10, 1)]


def test_a_pause_ends_by_itself_at_the_instant_it_names(bench):
    bench.put(overlap="allow")
    until = bench.clock.now() + 25 * SECOND
    assert bench.ask(PauseSchedule("s", until=until)).paused_until == until
    assert bench.claim_after(24) == []
    assert bench.schedule().state == "paused"
    bench.claim_after(1)
    assert (bench.schedule().state, changes(bench)) == ("active", [("resumed", 2)])
    bench.claim_after(5)

    assert bench.fates() == [("ran", 30, 30, 1)]


def test_a_pause_may_be_made_longer_and_an_update_leaves_it_paused(bench):
    bench.put()
    bench.ask(PauseSchedule("s", until=bench.clock.now() + 15 * SECOND))
    bench.ask(PauseSchedule("s", "longer", until=bench.clock.now() + HOUR))
    record = bench.put(every="20s")

    assert (record.state, record.next_due, record.paused_until) == ("paused", None, bench.clock.now() + HOUR)
    assert bench.claim_after(30) == []


def test_what_is_over_cannot_be_paused_and_what_is_active_not_resumed(bench):
    bench.put("over", trigger={"at": format_instant(bench.clock.now() + SECOND)})
    bench.claim_after(1)
    with pytest.raises(Refused, match="finished"):
        bench.ask(PauseSchedule("over"))
    before = bench.put("s")

    assert bench.ask(ResumeSchedule("s")) == before
    assert bench.facts == []


def test_a_finished_schedule_comes_to_life_with_a_new_time(bench):
    bench.put(trigger={"at": format_instant(bench.clock.now() + SECOND)})
    bench.end(bench.claim_after(1)[0])
    record = bench.put(trigger={"at": format_instant(bench.clock.now() + MINUTE)})

    assert (record.state, record.next_due) == ("active", bench.clock.now() + MINUTE)
    assert len(bench.claim_after(60)) == 1


def test_a_deleted_schedule_fires_no_more_but_its_history_stays(bench):
    bench.put(tags=["x"])
    (run,) = bench.claim_after(10)
    running = bench.ask(DeleteSchedule("s"))

    assert running == [f"/v1/instances/{run.id}"]
    assert bench.claim_after(60) == []
    assert bench.instance(run.id).state == "running"
    assert bench.fates() == [("ran", 10, 10, 1)]
    with pytest.raises(Unknown):
        bench.schedule()
    with pytest.raises(Unknown):
        bench.ask(TriggerSchedule("s"))
    with pytest.raises(Unknown):
        bench.ask(DeleteSchedule("s"))
    for wanted in ({"tag": "x"}, {"tag": None}):
        assert list_schedules(bench.database, task=None, state=None, limit=10, cursor=None, **wanted).items == []


def test_deleting_cancels_what_runs_when_asked(bench):
    bench.put()
    (run,) = bench.claim_after(10)
    bench.ask(DeleteSchedule("s", cancel_running=True))

    assert [fact.id for fact in bench.facts if fact.type == "instance.cancel_requested"] == [run.id]
    assert bench.instance(run.id).cancel_reason == "schedule deleted"


def test_a_retry_that_waits_is_dropped_with_its_schedule_and_no_new_one_comes(bench):
    bench.put(task="failing", overlap="allow")
    (first,) = bench.claim_after(10)
    bench.end(first, "failed")
    bench.ask(TriggerSchedule("s", overlap="allow"))
    (second,) = bench.started
    bench.ask(DeleteSchedule("s"))
    ended = [(fact.id, fact.outcome) for fact in bench.facts if fact.type == "instance.ended"]
    bench.end(second, "failed")

    (retry,) = [run for run in bench.instances() if run.cause == "retry"]
    assert (retry.retry_of, retry.state, ended) == (first.id, "cancelled", [(retry.id, "cancelled")])
    assert bench.claim_after(3600) == []
    assert bench.instances(states=("queued",)) == []


def test_a_schedule_created_again_goes_on_with_its_versions_and_its_ledger(bench):
    bench.put(overlap="allow")
    bench.claim_after(10)
    bench.ask(DeleteSchedule("s"))
    bench.clock.move(15)
    created, record = bench.ask(PutSchedule("s", TEN_SECONDS | {"overlap": "allow"}))
    bench.claim_after(10)

    assert (created, record.version, record.created_at) == (True, 3, bench.clock.now() - 10 * SECOND)
    assert record.state_reason is None
    assert bench.fates() == [("ran", 10, 10, 1), ("ran", 35, 35, 1)]


def test_a_schedule_created_again_has_fresh_state_and_touches_nobody_elses(bench):
    for slug in ("ab", "AB", "a_", "xab"):
        bench.put(slug, task="tally")
    for run in bench.claim_after(10):
        bench.end(run, state=b'{"value":1}')
    bench.ask(DeleteSchedule("ab"))
    bench.put("ab", task="tally")
    bench.ask(DeleteSchedule("a_"))
    bench.put("a_", task="tally")
    states = {run.schedule: run.state for run in bench.claim_after(10)}

    assert states == {"ab": None, "a_": None, "AB": b'{"value":1}', "xab": b'{"value":1}'}


def test_a_run_of_a_deleted_schedule_leaves_no_state_to_the_one_that_comes_after(bench):
    bench.put(task="tally")
    (old,) = bench.claim_after(10)
    bench.ask(DeleteSchedule("s"))
    bench.clock.move(1)
    bench.put(task="tally")
    bench.end(old, state=b'{"value":41}')

    (new,) = bench.claim_after(10)
    assert new.state is None
    bench.end(new, state=b'{"value":1}')
    assert [run.state for run in bench.claim_after(10)] == [b'{"value":1}']


def test_nothing_unknown_can_be_changed(bench):
    for change in [
        lambda slug: PatchSchedule(slug, {}),
        PauseSchedule,
        ResumeSchedule,
        DeleteSchedule,
        TriggerSchedule,
    ]:
        with pytest.raises(Unknown, match="no schedule 's'"):
            bench.ask(change("s"))


def test_changes_in_one_batch_build_on_each_other(bench):
    applied = bench.journal.apply(
        [
            PutSchedule("s", TEN_SECONDS),
            PatchSchedule("s", {"tags": ["x"]}, if_match=(1,)),
            PauseSchedule("s", if_match=(2,)),
            DeleteSchedule("s", if_match=(3,)),
            PutSchedule("s", TEN_SECONDS | {"tags": ["y"]}),
            PatchSchedule("s", {"tags": ["z"]}, if_match=(5,)),
        ]
    )

    assert [verdict.error for verdict in applied.verdicts] == [None] * 6
    assert (bench.schedule().version, bench.schedule().definition.tags) == (6, ("z",))
    assert [row[0] for row in bench.rows("SELECT tag FROM schedule_tag")] == ["z"]
