"""A trigger's document is read or refused whole: every wrong field, in one answer, in plain words."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.errors import Invalid
from callsheet.instants import DAY, LAST, SECOND, parse_instant
from callsheet.timetable import At, Cron, Every, next_due, parse_trigger, trigger_document

NOW = parse_instant("2026-11-23T12:00:00Z")


def complaints(document):
    """Return {pointer: detail} of what is wrong with a trigger's document."""
    with pytest.raises(Invalid) as refusal:
        parse_trigger(document, anchor=NOW)
    return {error.pointer: error.detail for error in refusal.value.errors}


@pytest.mark.parametrize(
    ("document", "trigger"),
    [
        ({"every": "30s"}, Every(30 * SECOND, NOW)),
        ({"every": 1}, Every(SECOND, NOW)),
        ({"every": 1.5, "anchor": "1970-01-01T01:00:00+01:00"}, Every(1_500_000, 0)),
        ({"every": "36525d"}, Every(36_525 * DAY, NOW)),
        ({"cron": "0 2 * * *"}, Cron("0 2 * * *", "UTC")),
        ({"cron": "@Daily", "timezone": "Europe/Berlin"}, Cron("@Daily", "Europe/Berlin")),
        ({"cron": " 0\t2 *\n* mon-FRI "}, Cron("0 2 * * mon-FRI", "UTC")),
        ({"at": "2026-11-23T13:00:00+01:00"}, At(NOW)),
    ],
)
def test_a_trigger_is_read_and_its_defaults_filled_in(document, trigger):
    assert parse_trigger(document, anchor=NOW) == trigger


@pytest.mark.parametrize(
    ("trigger", "document"),
    [
        (Every(30 * SECOND, NOW), {"every": 30, "anchor": "2026-11-23T12:00:00Z"}),
        (Every(1_500_000, 1), {"every": 1.5, "anchor": "1970-01-01T00:00:00.000001Z"}),
        (Cron("@daily", "UTC"), {"cron": "@daily", "timezone": "UTC"}),
        (At(NOW), {"at": "2026-11-23T12:00:00Z"}),
    ],
)
def test_the_canonical_document_has_its_defaults_filled_in(trigger, document):
    assert trigger_document(trigger) == document


TRIGGERS = st.one_of(
    st.builds(Every, st.integers(SECOND, 36_525 * DAY), st.integers(0, LAST)),
    st.builds(At, st.integers(0, LAST)),
    st.sampled_from([Cron("@weekly", "Asia/Tokyo"), Cron("*/5 0 2 L * *", "America/New_York")]),
)


@given(TRIGGERS)
def test_a_trigger_survives_its_document(trigger):
    assert parse_trigger(trigger_document(trigger), anchor=NOW) == trigger


@given(TRIGGERS)
def test_a_trigger_can_be_a_key(trigger):
    twin = parse_trigger(trigger_document(trigger), anchor=NOW)

    assert {trigger: 1}[twin] == 1


@pytest.mark.parametrize("document", [None, [], "@daily", 30, True])
def test_a_trigger_is_an_object(document):
    assert complaints(document).keys() == {""}


@pytest.mark.parametrize(
    ("document", "pointers"),
    [
        ({}, {""}),
        ({"anchor": "2026-11-23T12:00:00Z"}, {""}),
        ({"every": 30, "cron": "@daily"}, {""}),
        ({"after": "other schedule", "on": "monday", "every": 30}, {""}),
        ({"after": "other schedule", "on": "monday"}, {"/after", "/on"}),
        ({"before": "other"}, {"", "/before"}),
        ({"every": 30, "at": "x", "a/b~c": 1}, {"", "/a~1b~0c"}),
        ({"every": "0.9s", "anchor": "yesterday", "zone": 1}, {"/every", "/anchor", "/zone"}),
        ({"every": 30, "anchor": None}, {"/anchor"}),
        ({"every": 30, "timezone": "UTC"}, {"/timezone"}),
        ({"cron": "61 * * * *", "timezone": "Nowhere"}, {"/cron", "/timezone"}),
        ({"cron": ["* * * * *"], "anchor": 1}, {"/cron", "/anchor"}),
        ({"at": "2026-11-23T12:00:00", "timezone": "UTC"}, {"/at", "/timezone"}),
        ({"at": 1_795_435_200}, {"/at"}),
    ],
)
def test_all_wrong_fields_are_named_at_once(document, pointers):
    assert complaints(document).keys() == pointers


@pytest.mark.parametrize("every", ["0s", "999ms", 0.5, -1, "36525d1s", "soon", True, None, 10**400])
def test_an_interval_is_a_second_at_least_and_a_century_at_most(every):
    assert complaints({"every": every})["/every"].startswith("must ")


@pytest.mark.parametrize(
    ("cron", "says"),
    [
        ("61 * * * *", "minute: 61 is outside 0-59"),
        ("* 24 * * *", "hour: 24 is outside 0-23"),
        ("60 * * * * *", "second: 60 is outside 0-59"),
        ("0 0 0 13 *", "day of month: 0 is outside 1-31; month: 13 is outside 1-12"),
        ("0 0 * * 8", "day of week: 8 is outside 0-7"),
        ("0 0 * * 9L", "day of week: 9 is outside 0-7"),
        ("30-10 * * * *", "minute: the range '30-10' runs backwards"),
        ("0 0 * * FRI-MON", "day of week: the range 'FRI-MON' runs backwards"),
        ("5-5/0 * * * *", "minute: the step of"),
        ("*/0 * * * *", r"minute: the step of '\*/0' must be a whole number from 1"),
        ("1-5/x * * * *", "minute: the step of '1-5/X' must be"),
        ("1,,2 * * * *", "minute: there is nothing beside a comma"),
        ("0 0 * FOO *", "month: 'FOO' is not understood; use 1-12, JAN-DEC"),
        ("0 0 15W * *", "day of month: '15W' is not understood; use 1-31, L, LW"),
        ("0 0 * * 1#6", "day of week: '1#6' is not understood"),
        ("0 0 30 2 *", "names no date that ever comes"),
        ("0 0 31 4,6,9,11 *", "names no date that ever comes"),
        ("0 0 */31 2 1#5", "names no date that ever comes"),
        ("* * *", "has 3 fields; it takes 5"),
        ("* * * * * * *", "has 7 fields; it takes 5"),
        ("", "has 0 fields"),
        ("@reboot", "is none of the nicknames @yearly"),
        ("@daily 5", "nicknames .* stand alone"),
        ("0 0 ? * *", r"characters that cron does not use: '\?'"),
        ("٣ * * * *", r"characters that cron does not use: '\\u0663'"),
        ("\x00 * * * *", r"characters that cron does not use: '\\x00'"),
        ("9" * 900 + " * * * *", "minute: 9{20} is outside 0-59"),
        ("," * 5000 + " * * * *", "is longer than 1000 characters"),
        (None, "must be a cron expression"),
        (5, "must be a cron expression"),
    ],
)
def test_a_wrong_expression_is_told_which_field_and_what_it_takes(cron, says):
    with pytest.raises(Invalid, match=says):
        parse_trigger({"cron": cron}, anchor=NOW)


@pytest.mark.parametrize(
    "timezone",
    [
        *("", "Nowhere", "Europe", "Europe/", "localtime", "posixrules", "Factory", "zone.tab"),
        *("/etc/localtime", "../UTC", "Europe/../UTC", "UTC\x00", "\ud800", "x" * 100_000),
        *(None, 5, ["UTC"]),
    ],
)
def test_a_zone_is_an_iana_name_and_never_a_path(timezone):
    detail = complaints({"cron": "@daily", "timezone": timezone})["/timezone"]

    assert "time zone" in detail
    assert len(detail) < 200


@pytest.mark.parametrize(
    ("timezone", "meant"),
    [("europe/berlin", "Europe/Berlin"), ("New York", "America/New_York"), ("utc", "UTC")],
)
def test_a_misspelt_zone_is_told_what_was_meant(timezone, meant):
    detail = complaints({"cron": "@daily", "timezone": timezone})["/timezone"]

    assert f"There is no time zone {timezone!r}. Did you mean {meant!r}?" == detail


@pytest.mark.parametrize(
    ("nickname", "expression"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@MIDNIGHT", "0 0 * * *"),
        ("@Hourly", "0 * * * *"),
    ],
)
def test_a_nickname_means_its_expression(nickname, expression):
    short = parse_trigger({"cron": nickname}, anchor=NOW)
    long = parse_trigger({"cron": expression}, anchor=NOW)

    assert next_due(short, NOW) == next_due(long, NOW)


EXPRESSIONS = st.lists(st.text("0123456789,*/#-LWMONJAN", max_size=5) | st.just("*"), min_size=4, max_size=7).map(
    " ".join
)


@given(st.text(max_size=40) | EXPRESSIONS)
def test_any_text_is_read_or_refused_and_what_is_read_comes_due(cron):
    with suppress(Invalid):
        assert next_due(parse_trigger({"cron": cron}, anchor=NOW), NOW) > NOW
