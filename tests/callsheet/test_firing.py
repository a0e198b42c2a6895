from itertools import pairwise

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from callsheet.firing import Omitted, Planned, TriggerStalled, advance, decide, fire_time, jitter_of
from callsheet.instants import DAY, HOUR, MINUTE, SECOND, parse_instant
from callsheet.timetable import At, Cron, Every, count_due, next_due

START = parse_instant("2026-03-01T00:00:00Z")
EVERY = Planned("s", Every(MINUTE, START), START + MINUTE, "skip", "latest", HOUR, 0)


def minutes(number: float) -> int:
    return START + round(number * MINUTE)


def test_a_due_time_that_has_come_is_run_and_the_next_one_planned():
    decision = decide(EVERY, minutes(1), START)
    assert (decision.run, decision.last, decision.next, decision.next_fire) == (
        minutes(1),
        minutes(1),
        minutes(2),
        minutes(2),
    )
    assert decision.omitted == []


def test_lateness_while_awake_runs_the_latest_and_accounts_for_the_others():
    for policy in ("latest", "none"):
        decision = decide(evolve(EVERY, catch_up=policy, catch_up_window=0), minutes(5.5), START)
        assert (decision.run, decision.next) == (minutes(5), minutes(6))
        assert decision.omitted == [Omitted("missed", "late", minutes(1), minutes(4), 4)]


def test_after_downtime_the_latest_runs_once_and_the_others_are_missed():
    decision = decide(EVERY, minutes(30.5), minutes(30.4))
    assert decision.run == minutes(30)
    assert decision.omitted == [Omitted("missed", "downtime", minutes(1), minutes(29), 29)]


def test_after_downtime_the_policy_none_runs_nothing():
    decision = decide(evolve(EVERY, catch_up="none"), minutes(30.5), minutes(30.4))
    assert (decision.run, decision.last, decision.next) == (None, minutes(30), minutes(31))
    assert decision.omitted == [Omitted("missed", "downtime", minutes(1), minutes(30), 30)]


def test_the_first_due_time_since_we_are_awake_runs_whatever_the_policy():
    decision = decide(evolve(EVERY, catch_up="none"), minutes(31), minutes(30.4))
    assert decision.run == minutes(31)
    assert decision.omitted == [Omitted("missed", "downtime", minutes(1), minutes(30), 30)]


def test_what_lies_outside_of_the_catch_up_window_is_missed():
    daily = evolve(EVERY, trigger=Every(DAY, START), due=START + DAY)
    at_the_edge = decide(daily, START + DAY + HOUR, START + DAY + HOUR)
    outside = decide(daily, START + DAY + HOUR + 1, START + DAY + HOUR + 1)
    assert at_the_edge.run == START + DAY
    assert (outside.run, outside.omitted) == (None, [Omitted("missed", "downtime", START + DAY, START + DAY, 1)])


def test_an_instant_runs_however_late_unless_the_policy_is_none():
    once = evolve(EVERY, trigger=At(minutes(1)), catch_up_window=0)
    decision = decide(once, START + 300 * DAY, START + 300 * DAY)
    assert (decision.run, decision.next, decision.next_fire, decision.omitted) == (minutes(1), None, None, [])
    decision = decide(evolve(once, catch_up="none"), START + DAY, START + DAY)
    assert (decision.run, decision.omitted) == (None, [Omitted("missed", "downtime", minutes(1), minutes(1), 1)])


def test_a_due_time_behind_a_run_is_skipped_unless_overlap_is_allowed():
    busy = evolve(EVERY, busy=True)
    decision = decide(busy, minutes(3), START)
    assert (decision.run, decision.next) == (None, minutes(4))
    assert decision.omitted == [
        Omitted("missed", "late", minutes(1), minutes(2), 2),
        Omitted("skipped", "overlap", minutes(3), minutes(3), 1),
    ]
    assert decide(evolve(busy, overlap="allow"), minutes(1), START).run == minutes(1)


def test_what_is_blocked_is_rejected_and_goes_on_being_planned():
    decision = decide(evolve(EVERY, blocked="task_missing", busy=True), minutes(3), minutes(2))
    assert (decision.run, decision.next) == (None, minutes(4))
    assert decision.omitted == [Omitted("rejected", "task_missing", minutes(1), minutes(3), 3)]


def test_jitter_is_stable_spread_and_below_its_bound():
    draws = [jitter_of("s", minutes(number), MINUTE) for number in range(1000)]
    assert draws == [jitter_of("s", minutes(number), MINUTE) for number in range(1000)]
    assert all(0 <= draw < MINUTE for draw in draws)
    assert len(set(draws)) > 990
    assert 0.4 < sum(draws) / len(draws) / MINUTE < 0.6
    assert draws != [jitter_of("t", minutes(number), MINUTE) for number in range(1000)]
    assert jitter_of("s", START, 0) == 0


def test_jitter_never_reaches_the_next_due_time_and_does_not_pile_up_before_it():
    trigger = Every(10 * SECOND, START)
    fires = [fire_time(f"s{number}", trigger, START, HOUR) for number in range(1000)]
    assert all(START <= fire < START + 10 * SECOND for fire in fires)
    assert len(set(fires)) > 990
    assert fire_time("s", At(START), START, MINUTE) < START + MINUTE
    assert fire_time("s", trigger, None, MINUTE) is None
    assert fire_time("s", trigger, START, 0) == START


def test_a_due_time_whose_jitter_has_not_passed_is_left_for_later():
    jittered = evolve(EVERY, jitter=30 * SECOND)
    second = fire_time("s", EVERY.trigger, minutes(2), jittered.jitter)
    assert minutes(2) < second
    decision = decide(jittered, second - 1, START)
    assert (decision.run, decision.next, decision.next_fire) == (minutes(1), minutes(2), second)


def test_a_trigger_that_does_not_move_on_is_found_out(monkeypatch):
    monkeypatch.setattr("callsheet.firing.next_due", lambda trigger, after: after)
    with pytest.raises(TriggerStalled):
        advance(EVERY.trigger, START)


TRIGGERS = st.one_of(
    st.builds(Every, st.integers(SECOND, 3 * DAY), st.integers(START - 9 * DAY, START + DAY)),
    st.sampled_from(["* * * * *", "*/7 * * * *", "30 2 * * *", "0 0 1 * *", "15 * * * * *"]).flatmap(
        lambda text: st.builds(Cron, st.just(text), st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata"]))
    ),
    st.builds(At, st.integers(START, START + 9 * DAY)),
)


@given(
    trigger=TRIGGERS,
    after=st.integers(START - DAY, START + DAY),
    late=st.integers(0, 20 * DAY),
    asleep=st.integers(-DAY, 20 * DAY),
    jitter=st.sampled_from([0, SECOND, HOUR]),
    overlap=st.sampled_from(["skip", "allow"]),
    catch_up=st.sampled_from(["latest", "none"]),
    busy=st.booleans(),
    blocked=st.sampled_from([None, "task_missing"]),
)
def test_each_due_time_becomes_exactly_one_run_or_omission(
    trigger, after, late, asleep, jitter, overlap, catch_up, busy, blocked
):
    due = next_due(trigger, after)
    if due is None:
        return
    planned = Planned("s", trigger, due, overlap, catch_up, HOUR, jitter, blocked, busy)
    now = fire_time("s", trigger, due, jitter) + late
    decision = decide(planned, now, START + asleep)
    accounted = [(one.first, one.last, one.count) for one in decision.omitted]
    if decision.run is not None:
        accounted.append((decision.run, decision.run, 1))
    assert accounted[0][0] == due
    assert accounted[-1][1] == decision.last
    assert all(one[1] < another[0] for one, another in pairwise(accounted))
    assert all(count == count_due(trigger, first - 1, last) for first, last, count in accounted)
    assert sum(count for _, _, count in accounted) == count_due(trigger, due - 1, decision.last)
    assert decision.next == next_due(trigger, decision.last)
    assert decision.next_fire is None or decision.next_fire > now
    assert decision.last <= now
