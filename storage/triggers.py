"""Triggers as text: how they stand in the database."""

from functools import lru_cache

import msgspec

from callsheet.timetable import Cron, Trigger, parse_trigger, trigger_document


@lru_cache(maxsize=8192)
def load_trigger(text: str) -> Trigger:
    """Read a trigger that `dump_trigger` wrote; the latest are kept.

    It was checked when it was written. Should its time zone or its expression mean nothing any more, it can still be
    shown, replaced and deleted: whoever asks it for due times finds out.
    """
    document = msgspec.json.decode(text)
    if "cron" in document:
        return Cron(document["cron"], document["timezone"])
    return parse_trigger(document, anchor=0)


def dump_trigger(trigger: Trigger) -> str:
    """Write a trigger as JSON with its defaults filled in."""
    return msgspec.json.encode(trigger_document(trigger)).decode()
