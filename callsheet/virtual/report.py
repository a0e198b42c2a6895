"""The answer of a simulation as text for people."""

from collections.abc import Iterator
from typing import Any

_MOST_ROWS = 20


def report(answer: dict[str, Any]) -> str:
    """Write an answer as a page of text."""
    return "\n".join(_lines(answer)) + "\n"


def _lines(answer: dict[str, Any]) -> Iterator[str]:
    yield f"{answer['from']} to {answer['to']}, seed {answer['seed']}"
    outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in answer["outcomes"].items())
    yield f"firings    {answer['firings']:,}" + (f": {outcomes}" if outcomes else "")
    for one in answer["omissions"]:
        yield f"{one['fate']:<10} {one['count']:,} ({one['reason']})"
    yield f"queued     {answer['queued']:,}"
    peak = answer["peak"]
    yield f"peak       {peak['running']:,} at once" + (f", at {peak['at']}" if peak["at"] else "")
    yield f"busy       {answer['busy_seconds']:,.0f} s of work"
    left = answer["unfinished"]
    if any(left.values()):
        yield f"unfinished {left['running']:,} still run, {left['queued']:,} wait"
    yield from _busiest(answer["busiest"])
    yield from _schedules(answer["schedules"])
    yield from _omitted(answer)
    if answer["assumptions"]:
        yield "\nAssumed"
        yield from (f"  {note}" for note in answer["assumptions"])


def _busiest(minutes: list[dict[str, Any]]) -> Iterator[str]:
    if minutes:
        yield "\nBusiest minutes"
    for one in minutes:
        yield f"  {one['minute']}  {one['running']:,} at once, {one['started']:,} started"


def _schedules(schedules: list[dict[str, Any]]) -> Iterator[str]:
    if schedules:
        yield "\nSchedules"
    for one in schedules:
        omitted = sum(reason["count"] for reason in one["omissions"])
        yield (
            f"  {one['schedule']} ({one['task']}): {one['firings']:,} firings, {omitted:,} omitted, "
            f"{one['queued']:,} queued, {one['busy_seconds']:,.0f} s"
        )
        assumed = one["assumed"]
        yield f"    {assumed['text']}: median {assumed['median_seconds']:g} s, longest {assumed['longest_seconds']:g} s"


def _omitted(answer: dict[str, Any]) -> Iterator[str]:
    rows = answer["omitted"]
    if rows:
        yield "\nOmitted"
    for one in rows[:_MOST_ROWS]:
        times = "" if one["count"] == 1 else f" to {one['last_due']} ({one['count']:,})"
        yield f"  {one['first_due']}{times}  {one['schedule']}: {one['fate']}, {one['reason']}"
    if len(rows) > _MOST_ROWS or not answer["omitted_complete"]:
        yield "  … and more; -o json lists up to 1,000"
