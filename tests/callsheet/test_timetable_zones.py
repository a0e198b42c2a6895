"""What the timetable takes for granted about zones, held against the bundled data."""

import re
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from callsheet.errors import Invalid
from callsheet.timetable import parse_trigger
from callsheet.timetable.zones import load_zone, spell_at, tzdata_version

DAY = 86_400
ZONES = sorted(set(files("tzdata").joinpath("zones").read_text("ascii").split()) - {"Factory"})


def transitions(key):
    """Return [(second, offset from then on)] as the 64-bit block of the zone's file lists them."""
    data = files("tzdata").joinpath("zoneinfo", *key.split("/")).read_bytes()
    for width in (4, 8):
        ut, std, leap, times, types, chars = (int.from_bytes(data[at : at + 4], "big") for at in range(20, 44, 4))
        body, data = data[44:], data[44 + times * (width + 1) + types * 6 + chars :]
        data = data[leap * (width + 4) + std + ut :]
    number = lambda at, size: int.from_bytes(body[at : at + size], "big", signed=True)  # noqa: E731
    kinds = body[times * 8 : times * 9]
    offsets = [number(times * 9 + kind * 6, 4) for kind in range(types)]
    return [(number(at * 8, 8), offsets[kinds[at]]) for at in range(times)]


def changes_since_1970(key):
    """Return [(second, offset before, offset after)] where the offset really changes."""
    listed = transitions(key)
    return [
        (second, before, after) for (_, before), (second, after) in pairwise(listed) if second >= 0 and before != after
    ]


@pytest.mark.parametrize("key", ["Europe/Berlin", "Africa/Casablanca", "Pacific/Apia", "Asia/Gaza"])
def test_each_change_of_offset_is_found_to_the_second(key):
    for second, before, after in changes_since_1970(key):
        assert spell_at(key, second - 1).offset == before
        spell = spell_at(key, second)
        assert (spell.changed, spell.before, spell.offset) == (second, before, after)


def test_no_zone_changes_twice_within_a_day_nor_by_more_than_one():
    for key in ZONES:
        changes = changes_since_1970(key)
        moments = [second for second, _, _ in changes]
        gaps = [late - early for early, late in pairwise(moments)]
        assert min(gaps, default=DAY * 2) > DAY, key
        assert all(abs(after - before) <= DAY for _, before, after in changes), key


def test_spells_follow_each_other_without_a_hole():
    second, end = 0, 5 * 365 * DAY
    while second < end:
        spell = spell_at("America/New_York", second)
        assert spell.start == second
        assert spell.changed <= spell.start < spell.end
        second = spell.end


def test_every_zone_of_the_bundled_data_can_be_used():
    for key in ZONES:
        trigger = parse_trigger({"cron": "@daily", "timezone": key}, anchor=0)
        assert trigger.timezone == load_zone(key).key == key


def test_zones_are_those_of_the_bundled_data_and_not_of_the_machine():
    with files("tzdata").joinpath("zoneinfo", "Europe", "Berlin").open("rb") as data:
        bundled = ZoneInfo.from_file(data)
    year = datetime(2026, 1, 1, tzinfo=UTC)

    for day in range(365):
        moment = year + timedelta(days=day)
        assert moment.astimezone(load_zone("Europe/Berlin")).utcoffset() == (moment.astimezone(bundled).utcoffset())


def test_the_placeholder_zone_is_refused():
    with pytest.raises(Invalid, match="no time zone 'Factory'"):
        parse_trigger({"cron": "@daily", "timezone": "Factory"}, anchor=0)


@pytest.mark.parametrize(
    ("alias", "zone"),
    [
        *(("US/Pacific", "America/Los_Angeles"), ("Asia/Calcutta", "Asia/Kolkata"), ("Zulu", "UTC")),
        *(("Europe/Kiev", "Europe/Kyiv"), ("America/Buenos_Aires", "America/Argentina/Buenos_Aires"), ("GB", "Eire")),
    ],
)
def test_former_names_are_kept_as_written_and_mean_what_they_meant(alias, zone):
    trigger = parse_trigger({"cron": "30 2 * * *", "timezone": alias}, anchor=0)
    summer = datetime(2026, 7, 1, tzinfo=UTC)

    assert trigger.timezone == alias
    assert summer.astimezone(load_zone(alias)).utcoffset() == summer.astimezone(load_zone(zone)).utcoffset()


@pytest.mark.parametrize(
    "name",
    [
        *("../etc/passwd", "../../etc/passwd", "/etc/passwd", "Europe/../../etc/passwd", "./UTC", "Europe//Berlin"),
        *(
            "Europe/Berlin/",
            " Europe/Berlin",
            "Europe/Berlin\n",
            "Europe\\Berlin",
            "EUROPE/BERLIN",
            "utc",
            "%45urope/Berlin",
        ),
        *(
            "CET-1CEST",
            "CET-1CEST,M3.5.0,M10.5.0/3",
            "EST5EDT4",
            ":Europe/Berlin",
            "<+03>-3",
            "UTC+1",
            "GMT+25",
            "+02:00",
        ),
        *("tzdata.zi", "__init__.py", "zone1970.tab", "leapseconds", "right/UTC", "posix/UTC", "CEST", "Mars/Olympus"),
    ],
)
def test_whatever_is_no_name_in_the_list_is_refused_with_a_word_of_advice(name):
    with pytest.raises(Invalid, match=r"There is no time zone .*(Did you mean|Use an IANA name)"):
        parse_trigger({"cron": "@daily", "timezone": name}, anchor=0)


def test_the_version_of_the_bundled_data_can_be_told():
    lines = files("tzdata").joinpath("zones").read_text("ascii")

    assert re.fullmatch(r"20\d\d\.\d+", tzdata_version())
    assert "Europe/Kyiv" in lines  # 2022.2 and later
