"""Spans in a worker process: those of a body become parts of the span of its attempt, which is the service's."""

import logging
from functools import cache

from callsheet.logs import told

log = logging.getLogger("callsheet.workers")

SENDERS = "OtelBatch"  # how the names of the threads begin that send spans: they are ours, not the body's


def follow_from_afar(traceparent: str) -> None:
    """Make what this task does a part of a span of the service."""
    if _sends():
        from callsheet.tracing import follow  # noqa: PLC0415 - only where there are spans

        follow(traceparent)


@cache
def _sends() -> bool:
    """Make this process send spans, at its first job that is traced."""
    try:
        from callsheet.tracing import start_tracing  # noqa: PLC0415 - as above

        return start_tracing(soon=True) is not None
    except Exception:  # the service could: whatever is in the way here must not hurt the body
        log.exception("spans of this worker process are not sent", extra=told("spans.none"))
        return False
