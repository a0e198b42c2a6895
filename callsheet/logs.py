"""How log lines look: for people, or as JSON for machines."""

import json
import logging
import sys
from datetime import UTC, datetime


class _Console(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - logging's
        return datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.") + f"{int(record.msecs):03}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure(log_format: str) -> None:
    """Send our log lines to standard error; what tasks log goes to their instances instead."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _Json() if log_format == "json" else _Console("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    )
    for name in ("callsheet", "hypercorn.error", "quart.app"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO if name == "callsheet" else logging.WARNING)
