"""The answer of a simulation: what its parts have counted, put together as JSON built-ins."""

from collections import Counter
from typing import Any

from attrs import frozen

from callsheet.instants import format_instant, to_seconds
from callsheet.simulation import DEFAULT_SECONDS, Plan, Planned
from callsheet.virtual.tally import Line, Rush

MOST_OMITTED = 1000  # rows of omissions that an answer lists
BUSIEST = 10  # minutes that it lists
_SOURCES = {
    "given": "durations as given",
    "schedule": "drawn from the latest runs of this schedule",
    "task": "drawn from the latest runs of its task, as this schedule has none",
    "default": f"nothing is known: {DEFAULT_SECONDS:g} s each, and none fails",
}

OmittedRow = tuple[Any, ...]
"""schedule, fate, reason, first_due, last_due, count."""


@frozen
class Part:
    """What one engine has counted: a line for each schedule, when all began and ended, the first omissions.

    `flashes` says how many ran at once in the instants in which some both began and ended.
    """

    lines: dict[str, Line]
    starts: list[int]
    ends: list[int]
    flashes: dict[int, int]
    omitted: list[OmittedRow]
    running: int
    queued: int
    left_out: list[str]


def answer(plan: Plan, parts: list[Part]) -> dict[str, Any]:
    """Put the parts of a simulation together."""
    by_id = {slug: line for part in parts for slug, line in part.lines.items()}
    lines = [by_id[planned.id] for planned in plan.schedules]
    rush = _rush(parts)
    omitted = sorted((row for part in parts for row in part.omitted), key=lambda row: (row[3], row[0]))
    return {
        "from": format_instant(plan.start),
        "to": format_instant(plan.end),
        "seed": plan.seed,
        "resolution": to_seconds(plan.resolution),
        "max_running": plan.max_running,
        "firings": sum(line.firings for line in lines),
        "retries": sum(line.retries for line in lines),
        "queued": sum(line.queued for line in lines),
        "outcomes": _counts(*(line.outcomes for line in lines)),
        "omissions": _reasons(*(line.omissions for line in lines)),
        "unfinished": {"running": sum(part.running for part in parts), "queued": sum(part.queued for part in parts)},
        "peak": {"running": rush.peak, "at": None if rush.peak_at is None else format_instant(rush.peak_at)},
        "busy_seconds": round(sum(line.busy for line in lines), 3),
        "busiest": [
            {"minute": format_instant(minute), "running": peak, "started": started}
            for minute, peak, started in rush.busiest
        ],
        "schedules": [_schedule(planned, by_id[planned.id]) for planned in plan.schedules],
        "omitted": [_omitted(row) for row in omitted[:MOST_OMITTED]],
        "omitted_complete": len(omitted) <= MOST_OMITTED,
        "assumptions": [*plan.notes, *sorted(note for part in parts for note in part.left_out)],
    }


def _rush(parts: list[Part]) -> Rush:
    flashes: Counter[int] = Counter()
    for part in parts:
        flashes.update(part.flashes)
    starts, ends = [at for part in parts for at in part.starts], [at for part in parts for at in part.ends]
    return Rush.of(starts, ends, flashes, BUSIEST)


def _counts(*counts: Counter[str]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(sorted(total.items()))


def _reasons(*counts: Counter[tuple[str, str]]) -> list[dict[str, Any]]:
    total: Counter[tuple[str, str]] = Counter()
    for one in counts:
        total.update(one)
    return [{"fate": fate, "reason": reason, "count": count} for (fate, reason), count in sorted(total.items())]


def _schedule(planned: Planned, line: Line) -> dict[str, Any]:
    seconds = sorted(fate[0] for fate in planned.fates)
    return {
        "schedule": planned.id,
        "task": planned.document["task"],
        "firings": line.firings,
        "retries": line.retries,
        "queued": line.queued,
        "outcomes": _counts(line.outcomes),
        "omissions": _reasons(line.omissions),
        "peak_running": line.peak,
        "busy_seconds": round(line.busy, 3),
        "latest_by": to_seconds(line.latest),
        "assumed": {
            "source": planned.source,
            "text": _SOURCES[planned.source],
            "runs": 0 if planned.source == "default" else len(planned.fates),
            "median_seconds": seconds[len(seconds) // 2],
            "longest_seconds": seconds[-1],
            "unlucky": round(sum(fate[1] != "succeeded" for fate in planned.fates) / len(seconds), 4),
        },
    }


def _omitted(row: OmittedRow) -> dict[str, Any]:
    schedule, fate, reason, first, last, count = row
    return {
        "schedule": schedule,
        "fate": fate,
        "reason": reason,
        "first_due": format_instant(first),
        "last_due": format_instant(last),
        "count": count,
    }
