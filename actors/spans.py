"""The span of one attempt of an instance: from the moment its body begins to the moment it is over.

One that is cut off with the whole process has none, as nobody knows when it ended.
"""

from typing import TYPE_CHECKING

import msgspec

from callsheet.instants import SECOND, format_instant
from storage.journal.commands import EndInstance
from storage.journal.facts import InstanceStarted

if TYPE_CHECKING:
    from callsheet.tracing import Span, Tracing

FAILURES = ("failed", "timed_out")  # outcomes that are errors; to be cancelled is none


def begin_attempt(tracing: "Tracing", run: InstanceStarted, at: int) -> "Span":
    """Begin the span of a run; what its body does in spans of its own becomes a part of it."""
    return tracing.attempt(
        run.task,
        at,
        run.trace,
        {
            "callsheet.task": run.task,
            "callsheet.schedule": run.schedule,
            "callsheet.instance.id": str(run.id),
            "callsheet.attempt": run.attempt,
            "callsheet.cause": run.cause,
            "callsheet.retry_of": None if run.retry_of is None else str(run.retry_of),
            "callsheet.due_at": _shown(run.due_at),
            "callsheet.queued_at": _shown(run.queued_at),
            "callsheet.started_at": _shown(at),
            "callsheet.late_by": None if run.due_at is None else (at - run.due_at) / SECOND,
        },
    )


def end_attempt(span: "Span", report: EndInstance) -> None:
    """End the span by what is reported of the run."""
    span.tell({"callsheet.outcome": report.outcome, "callsheet.ended_at": _shown(report.finished_at)})
    error: dict[str, str] = {} if report.error is None else msgspec.json.decode(report.error)
    if report.outcome in FAILURES:
        span.fail(error.get("message") or report.outcome, error, report.finished_at)
    span.end(report.finished_at)


def _shown(instant: int | None) -> str | None:
    return None if instant is None else format_instant(instant)
