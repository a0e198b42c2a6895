"""Time zones: the bundled IANA data, cut into spells of one UTC offset each.

`zoneinfo` tells offsets but not when they change, so a zone is asked once a day and each change is
then found by bisection. That is exact while no zone changes twice within a day; since 1970 none has
done so within six (tests/callsheet/test_timetable_zones.py holds this against the bundled data).
"""

from collections.abc import Iterator
from datetime import datetime
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

import tzdata
from attrs import frozen

from callsheet.instants import LAST, SECOND

_DAY = 86_400
_CHUNK = 128 * _DAY
_LOOK_BACK = 2 * _DAY  # more than any change ever moved a clock
_LONGEST_KEY = 64


@frozen
class Spell:
    """Seconds [start, end) since the epoch in which a zone keeps one `offset` from UTC.

    `changed` is when that offset replaced `before`: at `start`, or earlier, for long spells come
    in pieces.
    """

    changed: int
    start: int
    end: int
    offset: int
    before: int


def tzdata_version() -> str:
    """Return the version of the bundled data, like "2026.2": what governments had decided by then."""
    version: str = tzdata.__version__
    return version


def read_zone(key: object) -> str:
    """Return the key of a zone that exists; ValueError says what is wrong."""
    if not isinstance(key, str):
        raise ValueError('must be the name of a time zone, like "Europe/Berlin"')  # noqa: TRY004
    if key not in _keys():
        raise ValueError(f"There is no time zone {key[:_LONGEST_KEY]!r}.{_advice(key)}")
    return key


def _advice(key: str) -> str:
    wanted = key[:_LONGEST_KEY].strip().lower().replace(" ", "_")
    close = get_close_matches(wanted, _places(), n=1, cutoff=0.8)
    if not close:
        return ' Use an IANA name like "Europe/Berlin".'
    return f" Did you mean {_places()[close[0]]!r}?"


@lru_cache(maxsize=1)
def _places() -> dict[str, str]:
    """Return the zones worth proposing: cities, but never Etc/GMT+1, which means UTC-1."""
    cities = sorted(key for key in _keys() if "/" in key and not key.startswith("Etc/"))
    short = {key.rpartition("/")[2].lower(): key for key in cities}
    return short | {key.lower(): key for key in [*cities, "UTC"]}


@lru_cache(maxsize=1)
def _keys() -> frozenset[str]:
    # Asking this list, and never the file system, leaves no room for "../x" or "localtime".
    return frozenset(files("tzdata").joinpath("zones").read_text("ascii").split()) - {"Factory"}


@lru_cache(maxsize=1024)
def load_zone(key: str) -> ZoneInfo:
    """Return a zone that `read_zone` let pass, from the bundled data: the same on every machine."""
    with files("tzdata").joinpath("zoneinfo", *key.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=key)


def spell_at(key: str, second: int) -> Spell:
    """Return the spell of a zone that holds `second` (seconds since the epoch)."""
    spells = _spells(key, second // _CHUNK)
    return next(spell for spell in spells if second < spell.end)


@lru_cache(maxsize=4096)
def _spells(key: str, number: int) -> tuple[Spell, ...]:
    opening, end = number * _CHUNK, (number + 1) * _CHUNK
    zone, changed = load_zone(key), opening - _LOOK_BACK
    before = offset = _offset(zone, changed)
    spells: list[Spell] = []
    for until in [*_changes(zone, changed, end), end]:
        if until > opening:
            spells.append(Spell(changed, max(changed, opening), until, offset, before))
        changed, before, offset = until, offset, _offset(zone, until)
    return tuple(spells)


def _changes(zone: ZoneInfo, start: int, end: int) -> Iterator[int]:
    """Yield each second in (start, end) at which a new offset comes into force."""
    offset = _offset(zone, start)
    for early in range(start, end, _DAY):
        late = min(early + _DAY, end - 1)
        new = _offset(zone, late)
        if new != offset:
            yield _moment_of_change(zone, early, late)
        offset = new


def _moment_of_change(zone: ZoneInfo, early: int, late: int) -> int:
    old = _offset(zone, early)
    while late - early > 1:
        middle = (early + late) // 2
        early, late = (middle, late) if _offset(zone, middle) == old else (early, middle)
    return late


def _offset(zone: ZoneInfo, second: int) -> int:
    offset = datetime.fromtimestamp(min(second, LAST // SECOND), zone).utcoffset()
    return 0 if offset is None else offset.days * _DAY + offset.seconds
