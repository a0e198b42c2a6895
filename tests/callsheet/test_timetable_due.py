"""Due times go strictly forward, and one can start looking for them anywhere."""

from datetime import UTC, datetime
from itertools import islice
from time import perf_counter

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from callsheet.instants import DAY, HOUR, LAST, MINUTE, SECOND, from_datetime, parse_instant
from callsheet.timetable import (
    At,
    Every,
    count_due,
    last_due,
    local_time,
    next_due,
    parse_trigger,
    upcoming,
)

NOW = parse_instant("2026-11-23T12:00:00Z")
YEAR = 365 * DAY


def cron(expression, timezone="UTC"):
    return parse_trigger({"cron": expression, "timezone": timezone}, anchor=0)


def local_times(trigger, after, until):
    """Return the due times in (after, until] as the clocks of the trigger's zone show them."""
    due = upcoming(trigger, parse_instant(after), 100, parse_instant(until))
    return [local_time(trigger, instant)[:16] + local_time(trigger, instant)[19:] for instant in due]


# Intervals


def test_an_interval_never_drifts():
    assert upcoming(Every(30 * SECOND, NOW), NOW, 3) == [NOW + k * 30 * SECOND for k in (1, 2, 3)]


def test_a_past_anchor_only_sets_the_phase():
    trigger = Every(HOUR, NOW - 10 * YEAR + 5 * MINUTE)

    assert next_due(trigger, NOW) == NOW + 5 * MINUTE


def test_a_future_anchor_is_the_first_due_time():
    trigger = Every(HOUR, NOW + DAY)

    assert upcoming(trigger, NOW, 2) == [NOW + DAY, NOW + DAY + HOUR]
    assert last_due(trigger, 0, NOW + DAY - 1) is None
    assert count_due(trigger, 0, NOW + DAY) == 1


@given(
    st.integers(SECOND, DAY),
    st.integers(0, 3 * DAY),
    st.integers(0, 3 * DAY),
    st.integers(0, 3 * DAY),
)
def test_counting_an_interval_is_the_same_as_going_through_it(interval, anchor, after, length):
    trigger, until = Every(interval * 100, anchor * 100), (after + length) * 100
    walk = upcoming(trigger, after * 100, 10**6, until)

    assert count_due(trigger, after * 100, until) == len(walk)
    assert last_due(trigger, after * 100, until) == (walk[-1] if walk else None)


# One instant


def test_one_instant_is_due_once():
    trigger = At(NOW)

    assert next_due(trigger, NOW - 1) == NOW
    assert next_due(trigger, NOW) is None
    assert upcoming(trigger, 0, 5) == [NOW]
    assert last_due(trigger, NOW - 1, NOW) == NOW
    assert last_due(trigger, NOW, LAST) is None
    assert [count_due(trigger, *span) for span in ((0, NOW), (NOW, LAST), (0, NOW - 1))] == [1, 0, 0]


# The edges of all three


EACH_KIND = [Every(SECOND, 0), At(LAST), cron("* * * * * *", "Asia/Tokyo"), cron("0 0 29 2 *")]


@pytest.mark.parametrize("trigger", EACH_KIND)
def test_nothing_is_due_past_the_end_of_the_calendar(trigger):
    assert next_due(trigger, LAST) is None
    assert next_due(trigger, LAST * 10) is None
    assert last_due(trigger, LAST, LAST * 10) is None
    assert count_due(trigger, LAST, LAST * 10) == 0
    assert next_due(trigger, LAST - 5 * 366 * DAY) <= LAST


@pytest.mark.parametrize("trigger", EACH_KIND)
def test_the_first_instant_is_no_edge(trigger):
    assert next_due(trigger, -10 * YEAR) == next_due(trigger, -1) >= 0
    assert count_due(trigger, -10 * YEAR, MINUTE) == count_due(trigger, -1, MINUTE)
    assert last_due(trigger, -10 * YEAR, MINUTE) == last_due(trigger, -1, MINUTE)


@pytest.mark.parametrize("trigger", EACH_KIND)
def test_a_span_that_runs_backwards_holds_nothing(trigger):
    assert last_due(trigger, NOW, NOW - DAY) is None
    assert count_due(trigger, NOW, NOW - DAY) == 0
    assert upcoming(trigger, NOW, 10, NOW - DAY) == []


def test_upcoming_is_limited_and_bounded():
    trigger = cron("* * * * *")

    assert upcoming(trigger, NOW, 0) == []
    assert upcoming(trigger, NOW, 10, NOW + 2 * MINUTE) == [NOW + MINUTE, NOW + 2 * MINUTE]


# Cron, where clocks do not change


FIELDS = st.tuples(
    st.sampled_from(["0", "*/10", "7,8", "5-9/2"]),
    st.sampled_from(["*", "0", "*/7", "58-59", "30"]),
    st.sampled_from(["*", "3", "*/5", "22-23", "0,12"]),
    st.sampled_from(["*", "1", "L", "LW", "29", "*/9", "28-30"]),
    st.sampled_from(["*", "2", "FEB,APR", "*/6"]),
    st.sampled_from(["*", "0", "7", "MON-FRI", "1#1", "5L", "SUN#4", "*/4"]),
)


@given(FIELDS, st.integers(0, 40 * 365 * 86_400))
def test_expressions_mean_what_cronsim_says(fields, after):
    expression = " ".join(fields)
    trigger, start = cron(expression), datetime.fromtimestamp(after, UTC)
    expected = [from_datetime(due) for due in islice(CronSim(expression, start), 10)]

    assert upcoming(trigger, after * SECOND, 10) == expected


@given(FIELDS, st.integers(0, 40 * 365 * DAY))
def test_the_last_due_time_comes_right_before_the_next(fields, until):
    trigger = cron(" ".join(fields))
    last = last_due(trigger, -1, until)

    assert last is None or next_due(trigger, last - 1) == last <= until
    assert next_due(trigger, until) == next_due(trigger, -1 if last is None else last)


def test_a_rare_date_is_found_however_far_off():
    on_a_monday = cron("0 0 */28 2 1#5", "Asia/Gaza")

    assert local_times(on_a_monday, "2026-01-01T00:00:00Z", "2130-01-01T00:00:00Z") == [
        "2044-02-29T00:00+02:00",
        "2072-02-29T00:00+02:00",
        "2112-02-29T00:00+02:00",
    ]


# Cron, where clocks change: the table of docs/decisions/0004


@pytest.mark.parametrize(
    ("timezone", "day", "expression", "before_five"),
    [
        # The clocks of New York jump over 02:00-03:00 ...
        ("America/New_York", "2025-03-09", "30 2 * * *", "03:00-04"),
        ("America/New_York", "2025-03-09", "0 30 2 * * *", "03:00-04"),
        ("America/New_York", "2025-03-09", "0,30 2,3 * * *", "03:00-04 03:30-04"),
        ("America/New_York", "2025-03-09", "*/30 2 * * *", ""),
        ("America/New_York", "2025-03-09", "0 */2 * * *", "00:00-05 04:00-04"),
        # ... and show 01:00-02:00 twice.
        ("America/New_York", "2025-11-02", "30 1 * * *", "01:30-04"),
        ("America/New_York", "2025-11-02", "0 30 1 * * *", "01:30-04"),
        ("America/New_York", "2025-11-02", "0,30 1 * * *", "01:00-04 01:30-04"),
        ("America/New_York", "2025-11-02", "*/30 1 * * *", "01:00-04 01:30-04 01:00-05 01:30-05"),
        ("America/New_York", "2025-11-02", "30 * 2 * *", "00:30-04 01:30-04 01:30-05 02:30-05 03:30-05 04:30-05"),
        # Half an hour, to and fro.
        ("Australia/Lord_Howe", "2025-10-05", "15 2 * * *", "02:30+11"),
        ("Australia/Lord_Howe", "2025-04-06", "45 1 * * *", "01:45+11"),
        (
            "Australia/Lord_Howe",
            "2025-04-06",
            "*/15 1 * * *",
            "01:00+11 01:15+11 01:30+11 01:45+11 01:30+10:30 01:45+10:30",
        ),
        ("Australia/Lord_Howe", "2025-04-06", "0 */2 * * *", "00:00+11 02:00+10:30 04:00+10:30"),
        # Midnight itself is missing.
        ("America/Havana", "2025-03-09", "0 0 * * *", "01:00-04"),
        ("America/Havana", "2025-03-09", "*/20 0 * * SUN", ""),
    ],
)
def test_fixed_times_run_once_a_day_and_wildcards_follow_real_time(timezone, day, expression, before_five):
    midnight = parse_instant(f"{day}T00:00:00Z")
    trigger = cron(expression, timezone)
    shown = [local_time(trigger, due) for due in upcoming(trigger, midnight - DAY, 500, midnight + DAY)]
    clocks = [text[11:16] + text[19:].removesuffix(":00") for text in shown if text.startswith(day)]

    assert " ".join(clock for clock in clocks if clock < "05") == before_five


@pytest.mark.parametrize("earlier", [1, 10 * MINUTE, 2 * HOUR])
def test_what_fell_into_a_gap_is_found_however_close_one_looks(earlier):
    trigger = cron("5 2 * * *", "America/New_York")
    end_of_gap = parse_instant("2025-03-09T07:00:00Z")

    assert next_due(trigger, end_of_gap - earlier) == end_of_gap
    assert last_due(trigger, end_of_gap - earlier, end_of_gap) == end_of_gap
    assert count_due(trigger, end_of_gap - earlier, end_of_gap) == 1
    assert count_due(trigger, end_of_gap, end_of_gap + HOUR) == 0


def test_a_day_that_never_was_is_made_up_for_when_the_next_one_begins():
    trigger = cron("30 2 * * *", "Pacific/Apia")

    assert local_times(trigger, "2011-12-29T00:00:00Z", "2012-01-01T00:00:00Z") == [
        "2011-12-29T02:30-10:00",
        "2011-12-31T00:00+14:00",
        "2011-12-31T02:30+14:00",
        "2012-01-01T02:30+14:00",
    ]


# Speed: generous bounds that only the wrong algorithm misses


def quickest(action):
    """Return the shortest of five timings, in seconds: the least disturbed one."""
    timings = []
    for _ in range(5):
        start = perf_counter()
        action()
        timings.append(perf_counter() - start)
    return min(timings)


def test_a_year_of_seconds_is_counted_without_going_through_it():
    trigger = cron("* * * * * *", "Europe/Berlin")

    assert count_due(trigger, NOW - YEAR, NOW) == 365 * 86_400
    assert quickest(lambda: count_due(trigger, NOW - YEAR, NOW)) < 0.01


def test_a_rare_date_is_found_without_walking_there():
    trigger = cron("0 0 29 2 *", "Europe/Berlin")

    assert len(upcoming(trigger, NOW, 200)) == 200
    assert quickest(lambda: upcoming(trigger, NOW, 200)) < 0.2
