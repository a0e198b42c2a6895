"""The account of due times: what the database holds against what the triggers say, by arithmetic of our own."""

import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from attrs import frozen

from callsheet.instants import SECOND

_RAN = "SELECT schedule, due_at, started_at, state FROM instance WHERE due_at > ? AND due_at <= ? AND attempt = 1"
_OMITTED = "SELECT schedule, fate, first_due, last_due, count FROM omission WHERE last_due > ? AND first_due <= ?"

Due = tuple[str, int]  # schedule, due time


@frozen
class Account:
    """What became of the due times of a window; `lateness` in seconds, in rising order."""

    expected: int
    accounted: int
    succeeded: int
    omitted: dict[str, int]
    wrong: int
    lateness: list[float]

    def late(self, share: float) -> float:
        """Return the lateness in milliseconds that this share of the runs does not exceed."""
        if not self.lateness:
            raise RuntimeError("nothing ran")
        return self.lateness[round((len(self.lateness) - 1) * share)] * 1000


def settle(database: Path, anchors: dict[str, int], start: int, end: int, *, alone: bool = True) -> Account:
    """Account for the due times in (start, end] of schedules that fire each second; the service has stopped.

    `alone`: there is no other schedule, so that whatever else is recorded is wrong; otherwise others are left out.
    """
    only = "" if alone else f" AND schedule IN ({', '.join('?' * len(anchors))})"
    values = (start, end) if alone else (start, end, *anchors)
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        ran = connection.execute(_RAN + only, values).fetchall()
        omitted = connection.execute(_OMITTED + only, values).fetchall()
    expected = {(name, due) for name, anchor in anchors.items() for due in due_times(anchor, start, end)}
    lost = Counter((name, fate, due) for name, fate, first, last, count in omitted for due in _span(first, last, count))
    found = Counter((name, due) for name, due, _, _ in ran) + Counter((name, due) for name, _, due in lost.elements())
    return Account(
        expected=len(expected),
        accounted=sum(found[due] == 1 for due in expected),
        succeeded=sum(state == "succeeded" for *_, state in ran),
        omitted=dict(Counter(fate for name, fate, due in lost.elements() if (name, due) in expected)),
        wrong=_wrong(found, expected, start, end),
        lateness=sorted((started - due) / SECOND for _, due, started, _ in ran if started is not None),
    )


def due_times(anchor: int, start: int, end: int) -> range:
    """Return the instants in (start, end] that lie whole seconds from an anchor."""
    return range(start + SECOND - (start - anchor) % SECOND, end + 1, SECOND)


def _span(first: int, last: int, count: int) -> Iterable[int]:
    """Return the due times of one omission; RuntimeError when its count is not what it spans."""
    dues = range(first, last + 1, SECOND)
    if len(dues) != count:
        raise RuntimeError(f"an omission from {first} to {last} counts {count} due times, not {len(dues)}")
    return dues


def _wrong(found: Counter[Due], expected: set[Due], start: int, end: int) -> int:
    """Count what is recorded twice, or at a time that no trigger names."""
    return sum(count > 1 or due not in expected for due, count in found.items() if start < due[1] <= end)
