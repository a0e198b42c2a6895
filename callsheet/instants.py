"""Instants and durations as whole microseconds: exact, cheap, the same in both databases.

An *instant* is an `int` of microseconds since 1970-01-01T00:00:00Z, a *duration* an `int` of
microseconds. Text and seconds live at the edges only (docs/decisions/0003).
"""

import re
from datetime import UTC, datetime, timedelta

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
LAST = (datetime(9999, 12, 30, tzinfo=UTC) - _EPOCH) // _MICROSECOND
"""The last instant we know: short of where datetimes end, so that any zone can show it."""

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-][0-2]\d:[0-5]\d)", re.ASCII)
_PARTS = re.compile(
    r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})(?:\.(\d{1,6}))?s)?(?:(\d{1,9})ms)?",
    re.ASCII,
)


def parse_instant(text: str) -> int:
    """Read an RFC 3339 time with an offset (`2027-08-08T17:35:00+02:00`).

    What is finer than a microsecond is cut off. ValueError says what is wrong.
    """
    if not _RFC_3339.fullmatch(text):
        raise ValueError("must be an RFC 3339 time with an offset, like 2027-08-08T17:35:00Z")
    try:
        instant = from_datetime(datetime.fromisoformat(text.upper()))
    except (ValueError, OverflowError):
        raise ValueError("names a time that does not exist") from None
    if not 0 <= instant <= LAST:
        raise ValueError("must lie between 1970 and 9999")
    return instant


def format_instant(instant: int) -> str:
    """Write an instant as RFC 3339 in UTC, with six decimals or none: as msgspec writes a datetime."""
    return to_datetime(instant).isoformat().replace("+00:00", "Z")


def from_datetime(moment: datetime) -> int:
    """Turn an aware datetime into an instant."""
    return (moment - _EPOCH) // _MICROSECOND


def to_datetime(instant: int) -> datetime:
    """Turn an instant into an aware UTC datetime."""
    return _EPOCH + timedelta(microseconds=instant)


def parse_duration(value: object) -> int:
    """Read "30s", "2m", "1h30m", "1d", "250ms", or seconds as a number; else ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError('must be a duration like "30s", "2m", "1h30m", or seconds as a number')  # noqa: TRY004
    duration = _from_text(value) if isinstance(value, str) else round(_finite(value) * SECOND)
    if not 0 <= duration <= 36_525 * DAY:
        raise ValueError("must lie between 0 and 100 years")
    return duration


def _finite(value: float) -> float:
    if not -1e10 < value < 1e10:
        raise ValueError("must lie between 0 and 100 years")
    return value


def _from_text(text: str) -> int:
    found = _PARTS.fullmatch(text.strip().lower())
    if found is None or not any(found.groups()):
        raise ValueError('must be a duration like "30s", "2m", "1h30m", or seconds as a number')
    days, hours, minutes, seconds, fraction, milliseconds = found.groups(default="0")
    whole = int(days) * DAY + int(hours) * HOUR + int(minutes) * MINUTE + int(seconds) * SECOND
    return whole + int(fraction.ljust(6, "0")) + int(milliseconds) * 1000


def to_seconds(duration: int) -> int | float:
    """Give a duration as JSON shows it: whole seconds as an int, else a float."""
    return duration // SECOND if duration % SECOND == 0 else duration / SECOND
