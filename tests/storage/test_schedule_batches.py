"""Many schedules in one go are all there, as if each had been created by itself, or none of them is."""

import pytest

from callsheet.definition import define
from callsheet.errors import Invalid, Refused, Unavailable
from storage.journal.commands import CreateSchedules, DeleteSchedule, Drain, PutSchedule
from storage.journal.facts import InstanceStarted, ScheduleChanged


def document(**more):
    return {"task": "noop", "trigger": {"every": "10s"}} | more


def create(bench, documents):
    """Create schedules, by id."""
    tasks, now = bench.journal._tasks, bench.clock.now()
    schedules = tuple((slug, define(one, tasks, now=now)) for slug, one in documents.items())
    return bench.ask(CreateSchedules(schedules))


KINDS = {
    "plain": document(),
    "cron": document(trigger={"cron": "0 2 * * *", "timezone": "Europe/Berlin"}, tags=["a", "b"]),
    "bounded": document(max_runs=3, jitter="2s", overlap="queue", catch_up="all", timeout="5s", keep_last=7),
    "follows": document(trigger={"after": "plain", "on": "failure"}),
    "over": document(trigger={"at": "2999-01-01T00:00:00Z"}),
    "once": document(run_on_create=True, max_runs=1),
}


def test_a_batch_leaves_what_single_creations_leave(bench):
    assert create(bench, KINDS) == list(KINDS)
    told = {fact.schedule: fact for fact in bench.facts if isinstance(fact, ScheduleChanged)}
    assert {slug: (fact.change, fact.version) for slug, fact in told.items()} == dict.fromkeys(KINDS, ("created", 1))

    created = {slug: bench.schedule(slug) for slug in KINDS}
    for slug, one in KINDS.items():
        follows = one["trigger"].get("after")
        alike = one | {"trigger": {"after": "like-plain", "on": "failure"}} if follows else one
        _, alone = bench.ask(PutSchedule(f"like-{slug}", alike))
        for name in ("state", "version", "run_count", "skips", "last_due", "created_at", "state_reason"):
            assert getattr(created[slug], name) == getattr(alone, name), (slug, name)
        if slug not in ("follows", "bounded"):  # whose jitter comes of its name
            assert (created[slug].definition, created[slug].next_due) == (alone.definition, alone.next_due)
    assert bench.rows("SELECT tag FROM schedule_tag WHERE schedule = 'cron' ORDER BY tag") == [("a",), ("b",)]


def test_what_was_created_in_a_batch_fires(bench):
    create(bench, {f"s{n}": document() for n in range(1200)})

    assert len(bench.claim_after(10)) == 500  # as many as one claim takes
    assert {run.cause for run in bench.started} == {"schedule"}


def test_run_on_create_runs_at_once(bench):
    create(bench, KINDS)

    [run] = [fact for fact in bench.facts if isinstance(fact, InstanceStarted)]
    assert (run.schedule, run.cause, bench.schedule("once").state) == ("once", "create", "finished")


def test_one_that_exists_refuses_all(bench):
    bench.put("there")
    with pytest.raises(Refused, match="'there'") as refused:
        create(bench, {"new": document(), "there": document()})

    assert refused.value.blocked_by == "/v1/schedules/there"
    assert bench.rows("SELECT id FROM schedule") == [("there",)]


def test_a_deleted_one_begins_anew_and_its_versions_go_on(bench):
    bench.put("gone")
    bench.ask(DeleteSchedule("gone"))
    create(bench, {"new": document(), "gone": document(tags=["x"])})

    assert (bench.schedule("gone").state, bench.schedule("gone").version) == ("active", 3)
    assert bench.schedule("new").version == 1


def test_they_may_come_after_each_other_but_not_in_a_circle(bench):
    after = {slug: document(trigger={"after": other}) for slug, other in {"b": "a", "c": "b"}.items()}
    create(bench, after | {"a": document()})

    ring = {slug: document(trigger={"after": other}) for slug, other in {"x": "y", "y": "x"}.items()}
    with pytest.raises(Invalid, match="circle") as refused:
        create(bench, {"fine": document()} | ring | {"lost": document(trigger={"after": "nobody"})})
    assert [error.pointer for error in refused.value.errors] == [f"/items/{n}/trigger/after" for n in (1, 2, 3)]
    assert {row[0] for row in bench.rows("SELECT id FROM schedule")} == {"a", "b", "c"}


def test_made_up_ids_differ(bench):
    tasks = bench.journal._tasks
    one = define(document(), tasks, now=bench.clock.now())
    names = bench.ask(CreateSchedules(((None, one), (None, one))))

    assert len(set(names)) == 2
    assert bench.schedule(names[0]).definition == one


def test_in_one_batch_of_the_bus_later_commands_see_the_new_ones(bench):
    one = define(document(), bench.journal._tasks, now=bench.clock.now())
    applied = bench.journal.apply(
        [CreateSchedules((("a", one),)), PutSchedule("a", document(tags=["x"])), CreateSchedules((("a", one),))]
    )

    assert [type(verdict.error) for verdict in applied.verdicts] == [type(None), type(None), Refused]
    assert (bench.schedule("a").version, bench.schedule("a").definition.tags) == (2, ("x",))


def test_while_the_node_stops_nothing_is_created_that_would_run_at_once(bench):
    bench.ask(Drain())
    with pytest.raises(Unavailable):
        create(bench, {"plain": document(), "once": document(run_on_create=True)})
    create(bench, {"plain": document()})

    assert bench.rows("SELECT id FROM schedule") == [("plain",)]
