"""The timetable: the rules of `when`, as pure functions from triggers to times."""

from callsheet.timetable.due import count_due, last_due, local_time, next_due, upcoming
from callsheet.timetable.triggers import At, Cron, Every, Trigger, parse_trigger, trigger_document
from callsheet.timetable.words import describe

__all__ = [
    "At",
    "Cron",
    "Every",
    "Trigger",
    "count_due",
    "describe",
    "last_due",
    "local_time",
    "next_due",
    "parse_trigger",
    "trigger_document",
    "upcoming",
]
