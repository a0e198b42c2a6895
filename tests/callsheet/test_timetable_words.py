"""A trigger can be read aloud, and the zone of a cron expression is always named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.errors import Invalid
from callsheet.instants import parse_instant
from callsheet.timetable import Every, describe, local_time, parse_trigger


@pytest.mark.parametrize(
    ("every", "words"),
    [
        ("30s", "Every 30 seconds"),
        ("1s", "Every second"),
        ("1.5s", "Every 1.5 seconds"),
        ("1m", "Every minute"),
        ("90s", "Every 1 minute 30 seconds"),
        ("1h", "Every hour"),
        ("1h30m", "Every 1 hour 30 minutes"),
        ("1d", "Every day"),
        ("8d1h", "Every 8 days 1 hour"),
    ],
)
def test_an_interval_reads_as_people_say_it(every, words):
    assert describe(parse_trigger({"every": every}, anchor=0)) == words


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("* * * * *", "Every minute"),
        ("* * * * * *", "Every second"),
        ("*/5 * * * *", "Every 5 minutes"),
        ("*/10 * * * * *", "Every 10 seconds"),
        ("*/7 * * * *", "Every seventh minute of every hour"),
        ("*/22 * * * *", "Every 22nd minute of every hour"),
        ("0-30/5 * * * *", "Every fifth minute from 0 through 30 of every hour"),
        ("5-5/2 * * * *", "At minute 5 of every hour"),
        ("*/90 * * * *", "At the start of every hour"),
        ("*/15 9-17 * * MON-FRI", "Every 15 minutes from 09:00 through 17:59, Monday through Friday"),
        ("*/5 */2 * * *", "Every 5 minutes in every second hour"),
        ("* * 9 * * *", "Every second from 09:00 through 09:59"),
        ("@hourly", "At the start of every hour"),
        ("0 */2 * * *", "Every 2 hours"),
        ("0 */5 * * *", "At minute 0 past every fifth hour"),
        ("0 9-17 * * *", "Every hour from 09:00 through 17:00"),
        ("0 8,12,16,18,20 * * *", "At 08:00, 12:00, 16:00, 18:00, and 20:00 every day"),
        ("@DAILY", "At 00:00 every day"),
        ("@weekly", "At 00:00 on Sunday"),
        ("30 2 21 * *", "At 02:30 on the 21st day of every month"),
        ("0 9 1,15 * MON", "At 09:00 on the first and the 15th day of the month and on Monday"),
        ("0 9 */2 * MON", "At 09:00 on every second day of the month if it is Monday"),
        ("0 0 1-7 * *", "At 00:00 on days 1 through 7 of the month"),
        ("5 4 * 1-6 *", "At 04:05 every day from January through June"),
        ("0 12 * * 1#2", "At 12:00 on the second Monday of the month"),
        ("0 12 L * *", "At 12:00 on the last day of every month"),
    ],
)
def test_an_expression_reads_as_people_say_it(cron, words):
    assert describe(parse_trigger({"cron": cron}, anchor=0)) == f"{words} (UTC)"


def test_the_zone_of_an_expression_is_named():
    trigger = parse_trigger({"cron": "0 2 * * *", "timezone": "Europe/Berlin"}, anchor=0)

    assert describe(trigger) == "At 02:00 every day (Europe/Berlin)"


def test_one_instant_reads_as_once():
    trigger = parse_trigger({"at": "2027-08-08T19:35:00+02:00"}, anchor=0)

    assert describe(trigger) == "Once at 2027-08-08T17:35:00Z"


@given(st.lists(st.from_regex(r"\*|[0-9,*/#L-]{1,4}", fullmatch=True), min_size=5, max_size=6))
def test_whatever_can_be_read_can_be_described(fields):
    try:
        trigger = parse_trigger({"cron": " ".join(fields)}, anchor=0)
    except Invalid:
        return
    assert describe(trigger).endswith(" (UTC)")


def test_local_time_carries_the_offset_of_that_instant():
    berlin = parse_trigger({"cron": "@daily", "timezone": "Europe/Berlin"}, anchor=0)
    summer, winter = parse_instant("2026-07-01T00:00:00Z"), parse_instant("2026-12-01T00:00:00Z")

    assert local_time(berlin, summer) == "2026-07-01T02:00:00+02:00"
    assert local_time(berlin, winter) == "2026-12-01T01:00:00+01:00"
    assert local_time(Every(1, 0), summer) == "2026-07-01T00:00:00+00:00"


def test_both_passes_of_a_repeated_hour_can_be_told_apart():
    trigger = parse_trigger({"cron": "0 * * * *", "timezone": "Europe/Berlin"}, anchor=0)
    first = parse_instant("2026-10-25T00:00:00Z")

    assert local_time(trigger, first) == "2026-10-25T02:00:00+02:00"
    assert local_time(trigger, first + 3_600_000_000) == "2026-10-25T02:00:00+01:00"
