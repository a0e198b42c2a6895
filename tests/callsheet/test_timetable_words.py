"""A trigger can be read aloud, and the zone of a cron expression is always named."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from callsheet.errors import Invalid
from callsheet.instants import SECOND, parse_instant
from callsheet.timetable import Every, describe, local_time, parse_trigger, upcoming


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
        ("*/7 * * * *", "Every 7 minutes from the start of every hour"),
        ("*/22 * * * *", "At minutes 0, 22, and 44 of every hour"),
        ("*/45 * * * *", "At minutes 0 and 45 of every hour"),
        ("*/10,7 * * * *", "At minutes 0, 7, 10, 20, 30, 40, and 50 of every hour"),
        ("1-59/2 * * * *", "Every 2 minutes from minute 1 through 59 of every hour"),
        ("0-30/5 * * * *", "At minutes 0, 5, 10, 15, 20, 25, and 30 of every hour"),
        ("5-5/2 * * * *", "At minute 5 of every hour"),
        ("*/90 * * * *", "At the start of every hour"),
        ("*/15 9-17 * * MON-FRI", "Every 15 minutes from 09:00 through 17:59, Monday through Friday"),
        ("*/5 */2 * * *", "Every 5 minutes in every second hour"),
        ("* * 9 * * *", "Every second from 09:00 through 09:59"),
        ("@hourly", "At the start of every hour"),
        ("0 */2 * * *", "Every 2 hours"),
        ("0 */5 * * *", "At 00:00, 05:00, 10:00, 15:00, and 20:00 every day"),
        ("30 */2 * * *", "Every 2 hours from 00:30"),
        ("15,45 */12 * * *", "At 00:15, 00:45, 12:15, and 12:45 every day"),
        ("0,30 0 9 * * *", "At 09:00:00 and 09:00:30 every day"),
        ("30 9-17 * * *", "Every hour from 09:30 through 17:30"),
        ("5 9-17,22 * * *", "At minute 5 past every hour from 9 through 17 and hour 22"),
        ("*/10 * 9-17 * * *", "Every 10 seconds from 09:00 through 17:59"),
        ("* 5 9 * * *", "Every second from 09:05:00 through 09:05:59"),
        ("*/10 9 * * * *", "Every 10 seconds in minute 9 of every hour"),
        ("*/2 */2 * * * *", "Every 2 seconds in every second minute"),
        ("0 9-17 * * *", "Every hour from 09:00 through 17:00"),
        ("0 8,12,16,18,20 * * *", "At 08:00, 12:00, 16:00, 18:00, and 20:00 every day"),
        ("@DAILY", "At 00:00 every day"),
        ("@weekly", "At 00:00 on Sunday"),
        ("30 2 21 * *", "At 02:30 on the 21st day of every month"),
        ("0 9 1,15 * MON", "At 09:00 on the first and the 15th day of the month, and also on Monday"),
        ("0 0 13 6 FRI", "At 00:00 on the 13th day of the month, and also on Friday, in June"),
        ("0 0 1-31 * */3", "At 00:00 on Sunday, Wednesday, and Saturday"),
        ("0 0 1-31 * MON", "At 00:00 every day"),  # for either day will do
        ("0 0 1 * */2", "At 00:00 on the first day of the month if it is Sunday, Tuesday, Thursday, or Saturday"),
        ("0 0 31 * *", "At 00:00 on the 31st day of every month that has one"),
        ("0 0 29 2 *", "At 00:00 on February 29 (in leap years)"),
        ("0 0 * * FRI#5", "At 00:00 on the fifth Friday of every month that has one"),
        ("0 0 * * 5L", "At 00:00 on the last Friday of the month"),
        ("0 0 LW * *", "At 00:00 on the last weekday of every month"),
        ("0 0 * * FRI,7", "At 00:00 on Friday and Sunday"),
        ("0 0 * * 1-5/2", "At 00:00 on Monday, Wednesday, and Friday"),
        ("0 0 * * 0-6", "At 00:00 every day"),
        ("0 0 1 */3 *", "At 00:00 on the first day of January, April, July, and October"),
        ("0 9 * 1-6 MON-FRI", "At 09:00, Monday through Friday, from January through June"),
        ("0 9 */2 * MON", "At 09:00 on every second day of the month if it is Monday"),
        ("0 0 1-7 * *", "At 00:00 on days 1 through 7 of the month"),
        ("5 4 * 1-6 *", "At 04:05 every day from January through June"),
        ("0 12 * * 1#2", "At 12:00 on the second Monday of the month"),
        ("0 12 L * *", "At 12:00 on the last day of every month"),
    ],
)
def test_an_expression_reads_as_people_say_it(cron, words):
    assert describe(parse_trigger({"cron": cron}, anchor=0)) == f"{words} (UTC)"


SIMPLE = ("*", "*/2", "*/5", "*/7", "*/12", "*/20", "*/31", "*/45", "1-20/3")
LISTS = st.lists(st.integers(0, 23), min_size=1, max_size=4, unique=True).map(lambda some: ",".join(map(str, some)))
RANGES = st.tuples(st.integers(0, 10), st.integers(11, 23)).map(lambda ends: f"{ends[0]}-{ends[1]}")
FIELD = st.sampled_from(SIMPLE) | LISTS | RANGES
STEP = r"Every (?:(\d+) )?(second|minute|hour)s?"
UNITS = {"second": 1, "minute": 60, "hour": 3600}
DAY = range(86_400)


def seconds(clock):
    """Read "09:30" or "09:30:15" as seconds since midnight."""
    hours, minutes, *rest = map(int, clock.split(":"))
    return hours * 3600 + minutes * 60 + sum(rest)


def understood(words):
    """Return the times of day that a reader takes from a description, or None where it would take more than this."""
    if words == "At the start of every hour":
        return set(DAY[::3600])
    if found := re.fullmatch(r"At (.*\d) every day", words):
        return {seconds(clock) for clock in re.findall(r"[\d:]+", found[1])}
    if found := re.fullmatch(r"At minutes? (.*\d) of every hour", words):
        return {hour + int(minute) * 60 for hour in DAY[::3600] for minute in re.findall(r"\d+", found[1])}
    if found := re.fullmatch(rf"{STEP}", words):
        return set(DAY[:: int(found[1] or 1) * UNITS[found[2]]])
    if found := re.fullmatch(rf"{STEP} from ([\d:]+)(?: through ([\d:]+))?", words):
        step, first = int(found[1] or 1) * UNITS[found[2]], seconds(found[3])
        final = seconds(found[4] or "23:59:59") + (59 if (found[4] or "").count(":") == 1 else 0)
        return {time for time in DAY if first <= time <= final and (time - first) % step == 0}
    if found := re.fullmatch(r"Every (\d+) (second|minute)s from the start of every (minute|hour)", words):
        whole, unit = UNITS[found[3]], UNITS[found[2]]
        return {time for time in DAY if time % whole % (int(found[1]) * unit) == 0}
    return None


@given(st.just("0") | FIELD, FIELD, FIELD)
@settings(max_examples=300, deadline=None)
@example("0", "30", "2")
@example("0", "0", "*/6")
@example("15", "30", "2,14")
def test_a_description_never_misstates_the_times(second, minute, hour):
    trigger = parse_trigger({"cron": f"{second} {minute} {hour} * * *"}, anchor=0)
    told = understood(describe(trigger).removesuffix(" (UTC)"))

    if told is not None:
        due = upcoming(trigger, -1, 10**6, 86_400 * SECOND - 1)
        assert sorted(told) == [instant // SECOND for instant in due], describe(trigger)


def test_most_descriptions_are_understood_by_the_reader_above():
    expressions = ["30 2 * * *", "0 * * * *", "*/5 * * * *", "*/7 * * * *", "*/45 * * * *", "0 */5 * * *",
                   "30 */2 * * *", "0 9-17 * * *", "* 9 * * *", "* 5 9 * * *", "*/10 * 9-17 * * *"]  # fmt: skip
    for cron in expressions:
        assert understood(describe(parse_trigger({"cron": cron}, anchor=0)).removesuffix(" (UTC)")), cron


DAYS = ["*", "*/2", "1", "13", "1-31", "*,13", "L", "29,30"]
WEEKDAYS = ["*", "*/3", "MON", "0-6", "1-7", "5-7", "2#1", "5L", "*,FRI"]


@pytest.mark.parametrize("day", DAYS)
@pytest.mark.parametrize("weekday", WEEKDAYS)
def test_every_day_is_said_of_what_is_due_every_day_and_of_nothing_else(day, weekday):
    trigger = parse_trigger({"cron": f"0 6 {day} * {weekday}"}, anchor=0)
    words, due = describe(trigger), upcoming(trigger, -1, 10**4, 365 * 86_400 * SECOND - 1)

    assert (words == "At 06:00 every day (UTC)") == (len(due) == 365), words
    if day[0] == "*" or weekday[0] == "*":
        assert ", and also on" not in words
    elif len(due) < 365:
        assert ", and also on" in words


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
