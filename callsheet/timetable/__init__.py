"""The timetable: the rules of `when`, as pure functions from triggers to times."""

from callsheet.timetable.due import count_due, last_due, local_time, next_due, upcoming
from callsheet.timetable.triggers import (
    ENDS,
    KINDS,
    SLUG,
    After,
    At,
    Bounded,
    Cron,
    Every,
    Plan,
    Trigger,
    bounded,
    parse_trigger,
    trigger_document,
    trigger_of,
)
from callsheet.timetable.words import describe

__all__ = [
    "ENDS",
    "KINDS",
    "SLUG",
    "After",
    "At",
    "Bounded",
    "Cron",
    "Every",
    "Plan",
    "Trigger",
    "bounded",
    "count_due",
    "describe",
    "last_due",
    "local_time",
    "next_due",
    "parse_trigger",
    "trigger_document",
    "trigger_of",
    "upcoming",
]
