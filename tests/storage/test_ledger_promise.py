"""The promise of the ledger, against all that may happen: every due time once, none twice, none lost.

A model goes along that knows only triggers and instants: which due times each definition has had while it stood. What
the ledger holds in the end must be these, one by one, whatever was claimed, ended, changed or restarted on the way.
"""

from bisect import bisect_left, bisect_right
from itertools import count

from attrs import define, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callsheet.instants import SECOND
from callsheet.timetable import upcoming
from storage.journal.commands import DeleteSchedule, PauseSchedule, PutSchedule, ResumeSchedule, TriggerSchedule

NAMES = count()

TRIGGERS = st.one_of(
    st.builds(lambda seconds: {"every": seconds}, st.sampled_from([5, 7.5, 10, 60, 3600])),
    st.builds(lambda seconds: {"every": seconds, "anchor": "2026-11-23T11:59:57.5Z"}, st.sampled_from([8, 13, 60])),
    st.builds(
        lambda text, zone: {"cron": text, "timezone": zone},
        st.sampled_from(["* * * * *", "*/20 * * * * *", "0 * * * *", "30 12 * * *", "@daily"]),
        st.sampled_from(["UTC", "Europe/Berlin"]),
    ),
)
DEFINITIONS = st.fixed_dictionaries(
    {"trigger": TRIGGERS, "task": st.sampled_from(["noop", "failing", "again", "tally"])},
    optional={
        "overlap": st.sampled_from(["skip", "allow"]),
        "catch_up": st.sampled_from(["latest", "none"]),
        "catch_up_window": st.sampled_from([0, 5, 60, 3600]),
        "jitter": st.sampled_from([0, 3, 600]),
    },
)
STEPS = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([0.3, 2, 10, 13.37, 60, 601, 3601])),
    st.tuples(st.just("claim"), st.none()),
    st.tuples(st.just("end"), st.sampled_from(["succeeded", "failed", "cancelled"])),
    st.tuples(st.just("boot"), st.none()),
    st.tuples(st.just("change"), DEFINITIONS),
    st.tuples(st.just("pause"), st.sampled_from([None, 5, 100])),
    st.tuples(st.just("resume"), st.none()),
    st.tuples(st.just("trigger"), st.none()),
    st.tuples(st.just("recreate"), DEFINITIONS),
)


@define
class Model:
    """Which due times must be in the ledger: those of each trigger while it stood and was not paused."""

    due: list[int] = field(factory=list)
    trigger: object = None
    since: int = 0

    def until(self, instant: int) -> None:
        """Let the present trigger stand until an instant."""
        if self.trigger is not None:
            self.due += upcoming(self.trigger, self.since, 100_000, instant)
        self.since = instant

    def stand(self, record, now: int) -> None:
        """Let another trigger stand, or none, from an instant on."""
        self.until(now)
        self.trigger = record.definition.trigger if record is not None and record.state != "paused" else None


class Play:
    """Takes the steps on the bench and in the model."""

    def __init__(self, bench, definition) -> None:
        self.bench, self.model, self.slug = bench, Model(), f"s{next(NAMES)}"
        self.running = []
        self.change(definition)

    def take(self, step, value) -> None:
        """Take one step, and claim's consequences."""
        getattr(self, step)(value)
        self.running += self.bench.started
        self.model.stand(self.standing(), self.bench.clock.now())

    def standing(self):
        """Return the schedule as it stands."""
        return self.bench.schedule(self.slug)

    def wait(self, seconds) -> None:
        self.bench.clock.move(seconds)
        self.bench.facts = []
        if self.standing().paused_until is not None:
            self.bench.claim()  # a pause that runs out does so at a claim

    def claim(self, _) -> None:
        self.bench.claim()

    def end(self, outcome) -> None:
        self.bench.facts = []
        if self.running:
            self.bench.end(self.running.pop(0), outcome)

    def boot(self, _) -> None:
        self.running = []
        self.bench.boot()

    def change(self, definition) -> None:
        self.bench.ask(PutSchedule(self.slug, definition))
        self.model.stand(self.standing(), self.bench.clock.now())

    def pause(self, seconds) -> None:
        until = None if seconds is None else self.bench.clock.now() + seconds * SECOND
        self.bench.ask(PauseSchedule(self.slug, until=until))

    def resume(self, _) -> None:
        self.bench.ask(ResumeSchedule(self.slug))

    def trigger(self, _) -> None:
        self.bench.ask(TriggerSchedule(self.slug, overlap="allow"))

    def recreate(self, definition) -> None:
        self.bench.ask(DeleteSchedule(self.slug))
        self.change(definition)

    def accounted(self) -> list[int]:
        """Return the due times that the ledger holds: a run's as it is, those of an omission by its ends and count."""
        found = []
        for row in self.bench.ledger(self.slug):
            due = self.model.due
            inside = due[bisect_left(due, row.first_due) : bisect_right(due, row.last_due)]
            assert (inside[0], inside[-1], len(inside)) == (row.first_due, row.last_due, row.count)
            found += inside
        return found


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(definition=DEFINITIONS, steps=st.lists(STEPS, min_size=3, max_size=25))
def test_every_due_time_is_accounted_for_exactly_once(bench, definition, steps):
    play = Play(bench, definition)
    for step, value in steps:
        play.take(step, value)
        record = play.standing()
        assert record.next_due is None or record.next_due > (record.last_due or 0)
    bench.clock.move(700)  # past any jitter
    bench.claim()
    play.model.until(bench.clock.now())

    pending = [due for due in play.model.due if due >= (play.standing().next_due or bench.clock.now() + 1)]
    assert play.accounted() + pending == play.model.due
    assert len(pending) <= 1
    bench.ask(DeleteSchedule(play.slug, cancel_running=True))
