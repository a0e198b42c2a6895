import pytest

from callsheet.lifecycle import (
    INSTANCE_MOVES,
    INSTANCE_STATES,
    OUTCOMES,
    RETRIED,
    SCHEDULE_MOVES,
    SCHEDULE_STATES,
    UNFINISHED,
    outcome_of,
)


@pytest.mark.parametrize(("states", "moves"), [(INSTANCE_STATES, INSTANCE_MOVES), (SCHEDULE_STATES, SCHEDULE_MOVES)])
def test_the_table_is_about_every_state_and_names_no_other(states, moves):
    assert set(moves) == set(states)
    assert {after for afters in moves.values() for after in afters} <= set(states)
    assert all(before not in afters for before, afters in moves.items())


def test_an_instance_is_either_unfinished_or_has_an_outcome_that_nothing_follows():
    assert set(INSTANCE_STATES) == {*UNFINISHED, *OUTCOMES}
    assert len(INSTANCE_STATES) == len(UNFINISHED) + len(OUTCOMES)
    for state in INSTANCE_STATES:
        assert (outcome_of(state) is None) == (state in UNFINISHED)
        assert bool(INSTANCE_MOVES[state]) == (state in UNFINISHED)


def test_every_outcome_can_be_reached_from_running_and_only_cancelled_from_queued():
    assert set(INSTANCE_MOVES["running"]) == set(OUTCOMES)
    assert set(INSTANCE_MOVES["queued"]) == {"running", "cancelled"}


def test_only_failures_are_tried_again():
    assert set(RETRIED) == {"failed", "timed_out"}


def test_every_schedule_that_is_not_deleted_can_be_deleted_and_a_deleted_one_created_again():
    assert all("deleted" in moves for state, moves in SCHEDULE_MOVES.items() if state != "deleted")
    assert SCHEDULE_MOVES["deleted"] == ("active",)
