from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as evolve

from callsheet.firing import (
    MOST_CAUGHT_UP,
    Omitted,
    Planned,
    TriggerStalled,
    advance,
    decide,
    decide_at_once,
    fire_time,
    jitter_of,
    standing,
)
from callsheet.instants import DAY, HOUR, MINUTE, SECOND, parse_instant
from callsheet.timetable import After, At, Bounded, Cron, Every, bounded, count_due, next_due, upcoming

START = parse_instant("2026-03-01T00:00:00Z")
EVERY = Planned("s", Every(MINUTE, START), START + MINUTE, "skip", "latest", HOUR, 0)


def minutes(number: float) -> int:
    return START + round(number * MINUTE)


def test_a_due_time_that_has_come_is_run_and_the_next_one_planned():
    decision = decide(EVERY, minutes(1), START)
    assert (decision.runs, decision.last, decision.next, decision.next_fire) == (
        [minutes(1)],
        minutes(1),
        minutes(2),
        minutes(2),
    )
    assert decision.omitted == []


def test_lateness_while_awake_runs_the_latest_and_accounts_for_the_others():
    for policy in ("latest", "none"):
        decision = decide(evolve(EVERY, catch_up=policy, catch_up_window=0), minutes(5.5), START)
        assert (decision.runs, decision.next) == ([minutes(5)], minutes(6))
        assert decision.omitted == [Omitted("missed", "late", minutes(1), minutes(4), 4)]


def test_after_downtime_the_latest_runs_once_and_the_others_are_missed():
    decision = decide(EVERY, minutes(30.5), minutes(30.4))
    assert decision.runs == [minutes(30)]
    assert decision.omitted == [Omitted("missed", "downtime", minutes(1), minutes(29), 29)]


def test_after_downtime_the_policy_none_runs_nothing():
    decision = decide(evolve(EVERY, catch_up="none"), minutes(30.5), minutes(30.4))
    assert (decision.runs, decision.last, decision.next) == ([], minutes(30), minutes(31))
    assert decision.omitted == [Omitted("missed", "downtime", minutes(1), minutes(30), 30)]


def test_the_first_due_time_since_we_are_awake_runs_whatever_the_policy():
    decision = decide(evolve(EVERY, catch_up="none"), minutes(31), minutes(30.4))
    assert decision.runs == [minutes(31)]
    assert decision.omitted == [Omitted("missed", "downtime", minutes(1), minutes(30), 30)]


def test_what_lies_outside_of_the_catch_up_window_is_missed():
    daily = evolve(EVERY, trigger=Every(DAY, START), due=START + DAY)
    at_the_edge = decide(daily, START + DAY + HOUR, START + DAY + HOUR)
    outside = decide(daily, START + DAY + HOUR + 1, START + DAY + HOUR + 1)
    assert at_the_edge.runs == [START + DAY]
    assert (outside.runs, outside.omitted) == ([], [Omitted("missed", "downtime", START + DAY, START + DAY, 1)])


def test_an_instant_runs_however_late_unless_the_policy_is_none():
    once = evolve(EVERY, trigger=At(minutes(1)), catch_up_window=0)
    decision = decide(once, START + 300 * DAY, START + 300 * DAY)
    assert (decision.runs, decision.next, decision.next_fire, decision.omitted) == ([minutes(1)], None, None, [])
    decision = decide(evolve(once, catch_up="none"), START + DAY, START + DAY)
    assert (decision.runs, decision.omitted) == ([], [Omitted("missed", "downtime", minutes(1), minutes(1), 1)])


def test_a_due_time_behind_a_run_is_skipped_unless_overlap_is_allowed():
    busy = evolve(EVERY, busy=True)
    decision = decide(busy, minutes(3), START)
    assert (decision.runs, decision.next) == ([], minutes(4))
    assert decision.omitted == [
        Omitted("missed", "late", minutes(1), minutes(2), 2),
        Omitted("skipped", "overlap", minutes(3), minutes(3), 1),
    ]
    assert decide(evolve(busy, overlap="allow"), minutes(1), START).runs == [minutes(1)]


def test_what_is_blocked_is_rejected_and_goes_on_being_planned():
    decision = decide(evolve(EVERY, blocked="task_missing", busy=True), minutes(3), minutes(2))
    assert (decision.runs, decision.next) == ([], minutes(4))
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
    assert (decision.runs, decision.next, decision.next_fire) == ([minutes(1)], minutes(2), second)


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


def test_catch_up_all_runs_what_lies_in_its_window_one_after_the_other_and_accounts_for_the_rest():
    decision = decide(evolve(EVERY, catch_up="all", catch_up_window=3 * MINUTE), minutes(30.5), minutes(30.4))
    assert decision.runs == [minutes(28), minutes(29), minutes(30)]
    assert decision.in_turn
    assert decision.omitted == [Omitted("missed", "downtime", minutes(1), minutes(27), 27)]
    side_by_side = decide(evolve(EVERY, catch_up="all", overlap="allow"), minutes(2.5), minutes(2.4))
    assert (side_by_side.runs, side_by_side.in_turn) == ([minutes(1), minutes(2)], False)


def test_catch_up_all_is_bounded_however_long_the_outage_was():
    planned = evolve(EVERY, catch_up="all", catch_up_window=99_999 * DAY)
    decision = decide(planned, START + 9000 * DAY, START + 9000 * DAY)
    assert len(decision.runs) == MOST_CAUGHT_UP
    assert decision.runs[-1] == START + 9000 * DAY
    (missed,) = decision.omitted
    assert missed.count == 9000 * 24 * 60 - MOST_CAUGHT_UP


def test_a_run_that_may_not_overlap_waits_for_its_turn_or_takes_the_place_of_the_other():
    busy = evolve(EVERY, busy=True)
    queued = decide(evolve(busy, overlap="queue"), minutes(1), START)
    assert (queued.runs, queued.in_turn, queued.replace) == ([minutes(1)], True, False)
    full = decide(evolve(busy, overlap="queue", crowded=True), minutes(1), START)
    assert (full.runs, full.omitted) == ([], [Omitted("skipped", "queue_full", minutes(1), minutes(1), 1)])
    replacing = decide(evolve(busy, overlap="replace"), minutes(1), START)
    assert (replacing.runs, replacing.in_turn, replacing.replace) == ([minutes(1)], True, True)
    alone = decide(evolve(EVERY, overlap="replace"), minutes(1), START)
    assert (alone.in_turn, alone.replace) == (False, False)


def test_a_due_time_that_somebody_asked_to_skip_is_skipped_and_no_other():
    asked = evolve(EVERY, skips=frozenset([minutes(1), minutes(3)]))
    assert decide(asked, minutes(1), START).omitted == [Omitted("skipped", "requested", minutes(1), minutes(1), 1)]
    late = decide(asked, minutes(3.5), START)
    assert late.runs == [minutes(2)]
    assert [one.first for one in late.omitted] == [minutes(1), minutes(3)]
    changed = evolve(asked, skips=frozenset([minutes(1) + 1]))  # the trigger names it no longer
    assert (decide(changed, minutes(1), START).runs, decide(changed, minutes(2), START).runs) == (
        [minutes(1)],
        [minutes(2)],
    )


def test_the_last_run_that_is_allowed_ends_the_schedule_and_nothing_is_planned_behind_it():
    decision = decide(evolve(EVERY, runs_left=1), minutes(1), START)
    assert (decision.runs, decision.next, decision.next_fire) == ([minutes(1)], None, None)
    skipped = decide(evolve(EVERY, runs_left=1, busy=True), minutes(1), START)
    assert (skipped.runs, skipped.next) == ([], minutes(2))
    made_up = decide(evolve(EVERY, runs_left=2, catch_up="all"), minutes(5), minutes(4.5))
    assert (made_up.runs, made_up.last, made_up.next) == ([minutes(1), minutes(2)], minutes(2), None)


def test_a_schedule_without_a_clock_of_its_own_is_never_finished_for_want_of_due_times():
    after = After("other", "success")
    assert standing(after, None, None) == standing(Bounded(after, START, None), None, 1) == "active"
    assert standing(after, None, 0) == standing(EVERY.trigger, None, None) == "finished"
    once = evolve(EVERY, trigger=after)
    assert decide_at_once(once).runs == [minutes(1)]
    assert decide_at_once(evolve(once, busy=True)).omitted[0].reason == "overlap"
    assert decide_at_once(evolve(once, blocked="task_missing")).omitted[0].fate == "rejected"


@given(
    trigger=TRIGGERS,
    bounds=st.tuples(
        st.none() | st.integers(START, START + DAY), st.none() | st.integers(START + DAY, START + 9 * DAY)
    ),
    after=st.integers(START - DAY, START + DAY),
    late=st.integers(0, 20 * DAY),
    asleep=st.integers(-DAY, 20 * DAY),
    jitter=st.sampled_from([0, SECOND, HOUR]),
    overlap=st.sampled_from(["skip", "queue", "replace", "allow"]),
    catch_up=st.sampled_from(["latest", "none", "all"]),
    busy=st.booleans(),
    crowded=st.booleans(),
    blocked=st.sampled_from([None, "task_missing"]),
    skipping=st.lists(st.integers(0, 5), max_size=3),
    runs_left=st.none() | st.integers(1, 3),
)
def test_each_due_time_becomes_exactly_one_run_or_omission(
    trigger, bounds, after, late, asleep, jitter, overlap, catch_up, busy, crowded, blocked, skipping, runs_left
):
    plan = bounded(trigger, *bounds)
    due = next_due(plan, after)
    if due is None:
        return
    first_ones = upcoming(plan, due - 1, 6)
    skips = frozenset(first_ones[number] for number in skipping if number < len(first_ones))
    planned = Planned(
        "s", plan, due, overlap, catch_up, HOUR, jitter, blocked, busy, busy and crowded, skips, runs_left
    )  # fmt: skip
    now = fire_time("s", plan, due, jitter) + late
    decision = decide(planned, now, START + asleep)
    accounted = [(one.first, one.last, one.count) for one in decision.omitted]
    accounted = sorted([*accounted, *((run, run, 1) for run in decision.runs)])
    assert accounted[0][0] == due
    assert accounted[-1][1] == decision.last
    assert all(one[1] < another[0] for one, another in pairwise(accounted))
    assert all(count == count_due(plan, first - 1, last) for first, last, count in accounted)
    assert sum(count for _, _, count in accounted) == count_due(plan, due - 1, decision.last)
    exhausted = runs_left is not None and len(decision.runs) >= runs_left
    assert decision.next == (None if exhausted else next_due(plan, decision.last))
    assert decision.next_fire is None or decision.next_fire > now
    assert decision.last <= now
    assert not skips.intersection(decision.runs)
    assert len(decision.runs) <= (1 if catch_up != "all" else MOST_CAUGHT_UP if runs_left is None else runs_left)
    assert not (decision.runs and busy and overlap == "skip")
    assert overlap == "allow" or decision.in_turn or not busy or not decision.runs
