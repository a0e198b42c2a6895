"""The service's own log: a sentence for people, an event with fields for machines. The table: docs/reference/logs.md.

log.warning("instance %s does not end", one, extra=told("instance.stuck", instance=one))
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("auto", "console", "json")

_OURS, _THEIRS = ("callsheet",), ("hypercorn.error", "quart.app", "opentelemetry")
_SELDOM = 60.0  # seconds between two lines that say the same of a collector, which may be dead for days
_MOST_SAID = 100  # different ones that are remembered


def told(event: str, **fields: object) -> dict[str, Any]:
    """Return the `extra` of a log line: what happened, and to what; a field that is None is left out."""
    return {"event": event, "fields": {name: value for name, value in fields.items() if value is not None}}


class Console(logging.Formatter):
    """Lines for people: time, level, event, sentence, fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with a traceback below it where there is one."""
        event = getattr(record, "event", record.name)
        fields = "".join(f"  {name}={_word(value)}" for name, value in _fields(record).items())
        line = f"{_time(record):%H:%M:%S}.{int(record.msecs):03} {record.levelname:7} {event}: {record.getMessage()}"
        first, *rest = line.split("\n")  # a sentence may have a stack below it
        trace = [self.formatException(record.exc_info)] if record.exc_info else []
        return "\n".join([first + fields, *rest, *trace])


class Json(logging.Formatter):
    """One JSON object for each line."""

    def __init__(self, node: str | None = None) -> None:
        super().__init__()
        self._bound = {} if node is None else {"node": node}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; what it tells of itself wins over its fields."""
        line = {
            "at": _time(record).isoformat(),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", record.name),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line | self._bound | {k: v for k, v in _fields(record).items() if k not in line}, default=str)


class Seldom(logging.Filter):
    """Lets a line of OpenTelemetry's through, and then for a while none that says the same."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the line is let through."""
        if not record.name.startswith("opentelemetry"):
            return True
        sentence = f"{record.name} {record.msg}"  # without its details
        if record.created < self._said.get(sentence, 0.0) + _SELDOM:
            return False
        if len(self._said) >= _MOST_SAID:
            self._said.clear()
        self._said[sentence] = record.created
        return True


def configure(log_format: str, level: str = "info", *, access_log: bool = False, node: str | None = None) -> None:
    """Send our log lines to standard error; what tasks log goes to their instances instead."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Seldom())
    plain = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    handler.setFormatter(Console() if plain else Json(node))
    for name in _OURS + _THEIRS:
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        least = logging.DEBUG if name in _OURS else logging.WARNING  # at info, theirs only say what we say better
        logger.setLevel(max(least, logging.getLevelNamesMapping()[level.upper()]))
    logging.getLogger("callsheet.access").setLevel(logging.INFO if access_log else logging.WARNING)


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    found: dict[str, Any] = getattr(record, "fields", {})
    return found


def _word(value: object) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if text.isprintable() and text and " " not in text else json.dumps(text)
