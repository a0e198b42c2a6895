"""The pace of a caller: a burst, then a steady rate, and never more."""

from hypothesis import given
from hypothesis import strategies as st

from callsheet.instants import SECOND
from web.pace import MOST_BUCKETS, Pace


def test_a_burst_is_welcome_and_then_one_for_each_step():
    pace = Pace(rate=10, burst=5)

    assert [pace.take("a", 0).left for _ in range(5)] == [4, 3, 2, 1, 0]
    refused = pace.take("a", 0)
    assert (refused.welcome, refused.wait, refused.full) == (False, 0.1, 0.5)
    assert not pace.take("a", SECOND // 10 - 1).welcome
    assert pace.take("a", SECOND // 10).welcome
    assert pace.take("b", 0).left == 4


def test_to_be_refused_costs_nothing():
    pace = Pace(rate=1, burst=1)
    pace.take("a", 0)
    for _ in range(100):
        assert not pace.take("a", SECOND - 1).welcome

    assert pace.take("a", SECOND).welcome


@given(st.lists(st.integers(0, SECOND), max_size=200), st.integers(1, 50), st.integers(1, 20))
def test_no_span_of_time_sees_more_than_the_burst_and_the_rate(gaps, rate, burst):
    pace, now, welcome = Pace(rate, burst), 0, []
    for gap in gaps:
        now += gap
        if pace.take("a", now).welcome:
            welcome.append(now)

    step = round(SECOND / rate)
    for first, start in enumerate(welcome):
        for count, end in enumerate(welcome[first:], start=1):
            assert count <= burst + (end - start) // step


def test_callers_who_are_quiet_are_forgotten():
    pace = Pace(rate=1, burst=1)
    for number in range(MOST_BUCKETS + 1):
        pace.take(str(number), number * SECOND * 2)
    assert len(pace._full_at) < 3

    for number in range(3 * MOST_BUCKETS):
        pace.take(str(number), 0)
    assert len(pace._full_at) <= MOST_BUCKETS
