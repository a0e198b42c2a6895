"""Figures over the history: counts by outcome and omission, and how late and how long the latest runs were."""

from typing import Any

from callsheet.ids import lowest_id
from callsheet.instants import SECOND
from callsheet.lifecycle import OUTCOMES, UNFINISHED
from storage.database import Database
from storage.queries.instances import Filter, listing
from storage.queries.reading import read, rows
from storage.records import Stats

SAMPLE = 1000  # the latest ended runs from which percentiles are taken
_KNOWN_ENDS = tuple(outcome for outcome in OUTCOMES if outcome != "lost")  # of those the times are known
_LAST_ID = lowest_id(1 << 57)


def stats(database: Database, *, task: str | None, schedule: str | None, since: int | None) -> Stats:
    """Return the figures for a task, a schedule or all, since an instant or ever."""
    counts = _counts(database, task, schedule, since)
    lateness, durations = _sample(database, Filter(task, schedule, _KNOWN_ENDS, None, since))
    return Stats(
        outcomes={state: counts.get(state, 0) for state in OUTCOMES},
        running=counts.get("running", 0),
        queued=counts.get("queued", 0),
        omissions=_omissions(database, task, schedule, since),
        lateness=_percentiles(lateness),
        durations=_percentiles(durations),
        sample=len(durations),
    )


def _counts(database: Database, task: str | None, schedule: str | None, since: int | None) -> dict[str, int]:
    """Count each state by its index: no row is read."""
    given = [("task = ?", task), ("schedule = ?", schedule), ("id >= ?", None if since is None else lowest_id(since))]
    terms = ["state = ?"] + [term for term, value in given if value is not None]
    values = [value for _, value in given if value is not None]
    sql = f"SELECT count(*) FROM instance WHERE {' AND '.join(terms)}"

    def count(db: Database) -> dict[str, int]:
        return {state: rows(db, sql, state, *values)[0][0] for state in UNFINISHED + OUTCOMES}

    return read(database, count)


def _omissions(database: Database, task: str | None, schedule: str | None, since: int | None) -> dict[str, int]:
    given = [("o.schedule = ?", schedule), ("s.task = ?", task), ("o.last_due >= ?", since)]
    terms = ["1 = 1"] + [term for term, value in given if value is not None]
    join = " JOIN schedule s ON s.id = o.schedule" if task is not None else ""
    sql = f"SELECT o.fate, sum(o.count) FROM omission o{join} WHERE {' AND '.join(terms)} GROUP BY o.fate"
    values = [value for _, value in given if value is not None]
    found = dict.fromkeys(("skipped", "missed", "dropped", "rejected"), 0)
    return found | {fate: int(count) for fate, count in read(database, lambda db: rows(db, sql, *values))}


def _sample(database: Database, wanted: Filter) -> tuple[list[float], list[float]]:
    """Return lateness and duration in seconds of the latest ended runs."""
    inner, values = listing(wanted, _LAST_ID, SAMPLE)
    sql = f"SELECT due_at, started_at, finished_at, attempt, cause FROM ({inner}) latest"
    found: list[Any] = read(database, lambda db: rows(db, sql, *values))
    timed = [row for row in found if row[1] is not None and row[2] is not None]
    lateness = [
        max(start - due, 0) / SECOND
        for due, start, _, attempt, cause in timed
        if due is not None and attempt == 1 and cause != "backfill"  # which was not asked for any earlier
    ]
    return lateness, [max(end - start, 0) / SECOND for _, start, end, *_ in timed]


def _percentiles(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    ordered = sorted(values)
    last = len(ordered) - 1
    marks = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    return {name: ordered[round(last * mark)] for name, mark in marks.items()} | {"max": ordered[-1]}
