"""Cases with a name: places whose clocks did something strange, dates that are rare, and what cron's fields mean."""

import sys
from contextlib import contextmanager
from itertools import pairwise

import pytest

from callsheet.errors import Invalid
from callsheet.instants import DAY, HOUR, LAST, SECOND, parse_instant
from callsheet.timetable import count_due, last_due, local_time, next_due, parse_trigger, upcoming


def cron(expression, timezone="UTC"):
    return parse_trigger({"cron": expression, "timezone": timezone}, anchor=0)


def due_on(expression, zone, *days):
    """Return the due times of some civil days, as the clocks there show them."""
    trigger, start = cron(expression, zone), parse_instant(f"{days[0]}T00:00:00Z")
    times = [
        local_time(trigger, due) for due in upcoming(trigger, start - 2 * DAY, 5000, start + (len(days) + 2) * DAY)
    ]
    return [time for time in times if time[:10] in days]


def clocks(times):
    """Write times of day in short: "02:30+01 02:30+00"."""
    return " ".join(time[11:19].removesuffix(":00") + time[19:].removesuffix(":00") for time in times)


def dates(expression, start, number, timezone="UTC"):
    """Return the dates of the next due times after midnight of `start`, month and day only."""
    trigger = cron(expression, timezone)
    due = upcoming(trigger, parse_instant(f"{start}T00:00:00Z") - 1, number)
    return " ".join(local_time(trigger, instant)[5:10] for instant in due)


# Places


@pytest.mark.parametrize(
    ("zone", "day", "time", "fixed", "wild"),
    [
        # Half an hour, in both directions.
        ("Australia/Lord_Howe", "2026-10-04", "15 2", "02:30+11", ""),
        ("Australia/Lord_Howe", "2026-04-05", "45 1", "01:45+11", "01:45+11 01:45+10:30"),
        # Ramadan: clocks go back before it and forward after it, against the rest of the year.
        ("Africa/Casablanca", "2026-02-15", "30 2", "02:30+01", "02:30+01 02:30+00"),
        ("Africa/Casablanca", "2026-03-22", "30 2", "03:00+01", ""),
        ("Africa/El_Aaiun", "2026-02-15", "30 2", "02:30+01", "02:30+01 02:30+00"),
        ("Africa/El_Aaiun", "2026-03-22", "30 2", "03:00+01", ""),
        # Winter is the exception in Ireland, by law; its clocks do what others do.
        ("Europe/Dublin", "2026-03-29", "30 1", "02:00+01", ""),
        ("Europe/Dublin", "2026-10-25", "30 1", "01:30+01", "01:30+01 01:30+00"),
        ("Europe/Dublin", "1971-10-31", "30 2", "02:30+01", "02:30+01 02:30+00"),
        # Two hours at once: what is fixed for either of them is due in the same instant, once.
        ("Antarctica/Troll", "2026-03-29", "30 1,2", "03:00+02", ""),
        ("Antarctica/Troll", "2026-10-25", "30 1,2", "01:30+02 02:30+02", "01:30+02 02:30+02 01:30+00 02:30+00"),
        # A new standard time by half an hour, in both directions.
        ("America/Caracas", "2007-12-09", "45 2", "02:45-04", "02:45-04 02:45-04:30"),
        ("America/Caracas", "2016-05-01", "45 2", "03:00-04", ""),
        ("Asia/Pyongyang", "2015-08-14", "45 23", "23:45+09", "23:45+09 23:45+08:30"),
        ("Asia/Pyongyang", "2018-05-05", "45 23", "00:00+09 23:45+09", "23:45+09"),  # of the day before
        # A minute past midnight; the day before is entered again.
        ("America/St_Johns", "2010-11-06", "30 23", "23:30-02:30", "23:30-02:30 23:30-03:30"),
        ("America/St_Johns", "2010-11-07", "0 0", "00:00-02:30", "00:00-02:30 00:00-03:30"),
        ("America/St_Johns", "2010-03-14", "30 0", "01:01-02:30", ""),
        # 44 minutes and 30 seconds.
        ("Africa/Monrovia", "1972-01-07", "20 0", "00:44:30+00", ""),
    ],
)
def test_a_fixed_time_is_due_once_and_a_wildcard_as_often_as_it_is_shown(zone, day, time, fixed, wild):
    minute, hour = time.split()
    stars = [
        shown for shown in due_on(f"{minute} * * * *", zone, day) if int(shown[11:13]) in map(int, hour.split(","))
    ]

    assert clocks(due_on(f"{time} * * *", zone, day)) == fixed
    assert clocks(stars) == wild


@pytest.mark.parametrize(
    ("zone", "before", "missing", "after"),
    [
        ("Pacific/Apia", "2011-12-29", "2011-12-30", "2011-12-31"),
        ("Pacific/Fakaofo", "2011-12-29", "2011-12-30", "2011-12-31"),
        ("Pacific/Kwajalein", "1993-08-20", "1993-08-21", "1993-08-22"),
        ("Pacific/Kiritimati", "1994-12-30", "1994-12-31", "1995-01-01"),
        ("Pacific/Kanton", "1994-12-30", "1994-12-31", "1995-01-01"),
    ],
)
def test_where_the_date_line_moved_the_missing_day_is_made_up_for_once(zone, before, missing, after):
    days = before, missing, after
    assert [time[:16] for time in due_on("30 2 * * *", zone, *days)] == [
        f"{before}T02:30",
        f"{after}T00:00",
        f"{after}T02:30",
    ]
    assert {time[:10] for time in due_on("*/30 2 * * *", zone, *days)} == {before, after}


def test_a_schedule_for_the_missing_day_only_is_made_up_for_too():
    days = "2011-12-29", "2011-12-30", "2011-12-31"

    assert due_on("0 12 30 12 *", "Pacific/Apia", *days) == ["2011-12-31T00:00:00+14:00"]
    assert due_on("0 * 30 12 *", "Pacific/Apia", *days) == []


# Dates


def test_leap_days_leave_out_the_year_2100():
    trigger = cron("0 0 29 2 *")
    due = upcoming(trigger, parse_instant("2090-01-01T00:00:00Z"), 4)

    assert [local_time(trigger, instant)[:10] for instant in due] == [
        *("2092-02-29", "2096-02-29"),
        *("2104-02-29", "2108-02-29"),
    ]


@pytest.mark.parametrize(
    "expression",
    ["0 0 30 2 *", "0 0 31 2 *", "0 0 31 4 *", "0 0 30,31 FEB *", "0 0 31 6,9,11 *", "0 0 31 2 */1", "0 0 0 30 2 *"],
)
def test_a_date_that_never_comes_is_refused_at_creation(expression):
    with pytest.raises(Invalid, match="names no date that ever comes"):
        cron(expression)


def test_an_impossible_day_beside_a_weekday_is_no_mistake_for_either_will_do():
    assert dates("0 0 30 2 MON", "2026-02-01", 4) == "02-02 02-09 02-16 02-23"


def test_the_last_moment_of_a_year_is_found_in_that_year():
    trigger = cron("59 59 23 31 12 *", "Pacific/Kiritimati")
    due = upcoming(trigger, parse_instant("1999-12-31T00:00:00Z"), 3)

    assert [local_time(trigger, at)[:19] for at in due] == [f"{year}-12-31T23:59:59" for year in (1999, 2000, 2001)]


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Niue", "Europe/London", "Africa/Monrovia"])
def test_the_first_and_the_last_year_are_like_any_other(zone):
    trigger = cron("0 12 * * *", zone)
    start = parse_instant("1970-01-01T00:00:00Z")

    assert 0 <= next_due(trigger, start - 1) < DAY
    assert count_due(trigger, -1, 30 * DAY - 1) == 30
    turn = parse_instant("2038-01-01T00:00:00Z")
    around = upcoming(trigger, turn - 20 * DAY, 60)
    assert all(later - early == DAY for early, later in pairwise(around))
    assert last_due(trigger, 0, LAST) > LAST - 2 * DAY


def test_clocks_change_in_the_far_future_by_the_rule_that_holds_now():
    assert clocks(due_on("30 2 * * *", "Europe/Berlin", "2150-03-29")) == "03:00+02"
    assert clocks(due_on("0 */12 * * *", "Europe/Berlin", "2150-07-01")) == "00:00+02 12:00+02"
    assert clocks(due_on("0 */12 * * *", "Europe/Berlin", "9998-12-01")) == "00:00+01 12:00+01"


# Fields


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 0 L * *", "01-31 02-28 03-31 04-30"),
        ("0 0 LW * *", "01-30 02-27 03-31 04-30"),
        ("0 0 * * 1#1", "01-05 02-02 03-02 04-06"),
        ("0 0 * * FRI#5", "01-30 05-29 07-31 10-30"),
        ("0 0 * * 5L", "01-30 02-27 03-27 04-24"),
        ("0 0 * * 0L", "01-25 02-22 03-29 04-26"),
        ("0 0 * * 7L", "01-25 02-22 03-29 04-26"),
        ("0 0 * * 0", "01-04 01-11 01-18 01-25"),
        ("0 0 * * 7", "01-04 01-11 01-18 01-25"),
        ("0 0 * * sun", "01-04 01-11 01-18 01-25"),
        ("0 0 * * 5-7", "01-02 01-03 01-04 01-09"),
        ("0 0 * * 0-2", "01-04 01-05 01-06 01-11"),
        ("0 0 1-5/2 feb,Mar *", "02-01 02-03 02-05 03-01"),
        ("0 0 28-31 * *", "01-28 01-29 01-30 01-31"),
        # Both days are named: either will do ...
        ("0 0 13 * FRI", "01-02 01-09 01-13 01-16"),
        ("0 0 1-7 * MON", "01-01 01-02 01-03 01-04"),
        # ... but one that begins with a star must fit as well, as in Debian's cron.
        ("0 0 */2 * MON", "01-05 01-19 02-09 02-23"),
        ("0 0 13 * */5", "02-13 03-13 09-13 11-13"),
        ("0 0 *,13 * FRI", "01-02 01-09 01-16 01-23"),
    ],
)
def test_fields_name_these_dates_in_2026(expression, expected):
    assert dates(expression, "2026-01-01", 4) == expected


def test_the_seconds_come_first_where_there_are_six_fields():
    trigger = cron("15,45 30 2 * * *")
    assert [local_time(trigger, due)[11:19] for due in upcoming(trigger, 0, 3)] == ["02:30:15", "02:30:45", "02:30:15"]


@pytest.mark.parametrize("expression", ["0 22-2 * * *", "0 0 * * FRI-MON", "0 0 * NOV-FEB *", "50-10 * * * *"])
def test_a_range_does_not_wrap_around_and_says_so(expression):
    with pytest.raises(Invalid, match="runs backwards"):
        cron(expression)


# Work


@contextmanager
def at_most(calls):
    """Hold what happens inside against a number of Python calls: a bound that no busy machine can break."""
    seen = 0

    def count(_frame, event, _argument):
        nonlocal seen
        seen += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(before)
    assert seen <= calls, seen


@pytest.mark.parametrize(
    "expression", ["0 0 29 2 1#5", "59 59 23 31 12 *", "0 0 29 2 *", "* * * * * *", "0 0 31 12 MON"]
)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Africa/Casablanca", "Pacific/Apia"])
def test_the_next_due_time_is_found_in_few_steps_from_anywhere(expression, zone):
    trigger = cron(expression, zone)
    starts = [0, parse_instant("2011-12-30T09:00:00Z"), parse_instant("2026-03-29T00:59:59Z"), LAST - 400 * DAY]
    for start in starts:
        next_due(trigger, start)  # which reads the zone, once
        with at_most(400):
            found = next_due(trigger, start)
        assert found is None or found > start


def test_an_outage_of_decades_is_counted_in_few_steps_for_each_change_of_the_clocks():
    trigger = cron("* * * * * *", "Europe/Berlin")
    span = parse_instant("2000-01-01T00:00:00Z"), parse_instant("2030-01-01T00:00:00Z")
    count_due(trigger, *span)
    with at_most(40_000):
        assert count_due(trigger, *span) == (span[1] - span[0]) // SECOND
    with at_most(400):
        assert last_due(trigger, *span) == span[1]
    assert span[1] - span[0] > 10**5 * HOUR
