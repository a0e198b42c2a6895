"""Triggers as text: how they stand in the database."""

from functools import lru_cache

import msgspec

from callsheet.timetable import Trigger, parse_trigger, trigger_document


@lru_cache(maxsize=8192)
def load_trigger(text: str) -> Trigger:
    """Read a trigger that `dump_trigger` wrote; reading one is dear for cron, so the latest are kept."""
    return parse_trigger(msgspec.json.decode(text), anchor=0)


def dump_trigger(trigger: Trigger) -> str:
    """Write a trigger as JSON with its defaults filled in."""
    return msgspec.json.encode(trigger_document(trigger)).decode()
