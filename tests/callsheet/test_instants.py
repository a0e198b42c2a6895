"""Instants and durations survive the way to text and back, and hostile text ends in one sentence."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.instants import (
    DAY,
    HOUR,
    LAST,
    MINUTE,
    SECOND,
    format_instant,
    from_datetime,
    parse_duration,
    parse_instant,
    to_datetime,
    to_seconds,
)

INSTANTS = st.integers(0, LAST)


@given(INSTANTS)
def test_an_instant_survives_text(instant):
    assert parse_instant(format_instant(instant)) == instant


@given(INSTANTS)
def test_an_instant_survives_a_datetime(instant):
    assert from_datetime(to_datetime(instant)) == instant


@given(st.integers(0, 36_525 * DAY))
def test_a_duration_survives_json_to_the_microsecond(duration):
    assert parse_duration(to_seconds(duration)) == duration


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1970-01-01t01:00:00z", HOUR),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1969-12-31T23:30:00-01:30", HOUR),
        ("1970-01-01T00:00:01.5Z", 1_500_000),
        ("1970-01-01T00:00:00.123456999Z", 123_456),
        ("9999-12-30T00:00:00Z", LAST),
    ],
)
def test_every_rfc_3339_form_is_read(text, instant):
    assert parse_instant(text) == instant


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "RFC 3339"),
        ("2027-08-08", "RFC 3339"),
        ("2027-08-08T17:35:00", "with an offset"),
        ("2027-08-08 17:35:00Z", "RFC 3339"),
        ("2027-08-08T17:35:00+0200", "RFC 3339"),
        ("2027-08-08T17:35:00+01:99", "RFC 3339"),
        ("2027-08-08T17:35:00Z\n", "RFC 3339"),
        ("2027-08-08T17:35:00." + "1" * 5000 + "Z", "RFC 3339"),
        ("٢٠٢٧-08-08T17:35:00Z", "RFC 3339"),
        ("2027-02-30T00:00:00Z", "does not exist"),
        ("2027-08-08T17:35:60Z", "does not exist"),
        ("2027-08-08T17:35:00+24:00", "does not exist"),
        ("0000-01-01T00:00:00Z", "does not exist"),
        ("0001-01-01T00:00:00+14:00", "does not exist|between 1970"),
        ("1969-12-31T23:59:59Z", "between 1970 and 9999"),
        ("9999-12-31T00:00:00Z", "between 1970 and 9999"),
    ],
)
def test_any_other_time_is_refused_with_a_reason(text, says):
    with pytest.raises(ValueError, match=says):
        parse_instant(text)


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (10 * SECOND, "1970-01-01T00:00:10Z"),
        (500_000, "1970-01-01T00:00:00.500000Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
    ],
)
def test_an_instant_shows_as_many_decimals_as_it_has(instant, text):
    assert format_instant(instant) == text


@pytest.mark.parametrize(
    ("value", "duration"),
    [
        ("30s", 30 * SECOND),
        ("1.5s", 1_500_000),
        ("0.000001s", 1),
        ("2m", 2 * MINUTE),
        ("1h30m", 90 * MINUTE),
        ("1d", DAY),
        ("250ms", 250_000),
        ("1d2h3m4s5ms", DAY + 2 * HOUR + 3 * MINUTE + 4 * SECOND + 5_000),
        (" 90M ", 90 * MINUTE),
        ("0s", 0),
        (30, 30 * SECOND),
        (0.25, 250_000),
        (36_525 * 86_400, 36_525 * DAY),
    ],
)
def test_a_duration_is_text_or_seconds(value, duration):
    assert parse_duration(value) == duration


@pytest.mark.parametrize(
    "value",
    [
        *("", "s", "30", "1 h", "1.5h", "-5s", "30m1h", "1.0000001s", "٣s", "9" * 5000 + "s", "PT30S"),
        *(True, None, [], {}, b"30s", float("nan"), float("inf"), 1e300, 10**400, -1, -0.001),
        *("36525d1s", "999999999d", 36_525 * 86_400 + 1),
    ],
)
def test_what_is_no_duration_is_refused_with_a_reason(value):
    with pytest.raises(ValueError, match=r"^must "):
        parse_duration(value)


@given(st.text(max_size=30) | st.from_regex(r"[0-9.dhms]{1,12}", fullmatch=True))
def test_text_never_breaks_the_readers(text):
    for read in (parse_duration, parse_instant):
        with suppress(ValueError):
            assert read(text) >= 0


@pytest.mark.parametrize(("duration", "seconds"), [(30 * SECOND, 30), (1_500_000, 1.5), (0, 0)])
def test_seconds_are_shown_whole_where_they_are(duration, seconds):
    shown = to_seconds(duration)

    assert shown == seconds
    assert type(shown) is type(seconds)
