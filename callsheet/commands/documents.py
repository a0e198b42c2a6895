"""Documents of schedules as people write them, made what the service takes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from callsheet.client.call import TRIGGER_WORDS
from callsheet.commands.common import Usage

_SERVICE = frozenset((
    "id", "uri", "state", "state_reason", "state_errors", "paused_until", "version", "description", "next_due",
    "next_due_local", "last_due", "run_count", "skips", "created_at", "updated_at",
))  # fmt: skip


def plain_document(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document as it is put: the trigger whole, times as text, without what only the service sets."""
    strange = {"name", "new", "if_match"} & given.keys()
    if strange:
        raise Usage(f"{strange.pop()} is not a field of a schedule.")
    rest = {name: _plain(value) for name, value in given.items() if name not in _SERVICE and name not in TRIGGER_WORDS}
    words = {name: _plain(value) for name, value in given.items() if name in TRIGGER_WORDS}
    if words and "trigger" in rest:
        raise Usage("A schedule takes either trigger, or one of every, cron, at and after.")
    return {**rest, "trigger": words} if words else rest


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise Usage(f"The time {value} needs an offset, like {value}Z.")
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value
