"""Triggers in words. cronsim's sentence is the base; what reads badly in it is put right here."""

import re
from collections.abc import Callable
from typing import assert_never

from cronsim import CronSim

from callsheet.instants import DAY, HOUR, MINUTE, SECOND, format_instant
from callsheet.timetable.expressions import ANY_DATE, spelled_out
from callsheet.timetable.triggers import After, At, Bounded, Cron, Every, Plan

_ORDINALS = ["second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"]
_ENDINGS = {"success": "succeeds", "failure": "fails", "any": "ends"}
_UNITS = {"second": 60, "minute": 60, "hour": 24}


def describe(trigger: Plan) -> str:
    """Say when a trigger is due: "Every 30 seconds", "At 02:00 every day (Europe/Berlin)"."""
    match trigger:
        case Every():
            return f"Every {_in_words(trigger.interval)}"
        case Cron():
            return f"{_sentence(trigger.expression)} ({trigger.timezone})"
        case At():
            return f"Once at {format_instant(trigger.instant)}"
        case After():
            return f"When a run of {trigger.schedule} {_ENDINGS[trigger.on]}"
        case Bounded():
            return describe(trigger.trigger) + _bounds(trigger)
        case _:
            assert_never(trigger)


def _bounds(plan: Bounded) -> str:
    start = "" if plan.starts_at is None else f", from {format_instant(plan.starts_at)}"
    return start + ("" if plan.ends_at is None else f", until {format_instant(plan.ends_at)}")


def _in_words(duration: int) -> str:
    parts = []
    for unit, size in (("day", DAY), ("hour", HOUR), ("minute", MINUTE)):
        number, duration = divmod(duration, size)
        parts += [(str(number), unit)] if number else []
    if duration:
        parts.append((f"{duration / SECOND:.6f}".rstrip("0").rstrip("."), "second"))
    if len(parts) == 1 and parts[0][0] == "1":
        return parts[0][1]
    return " ".join(f"{number} {unit}{'' if number == '1' else 's'}" for number, unit in parts)


def _sentence(expression: str) -> str:
    second, minute, hour, *days = spelled_out(expression)
    times = [_without_idle_steps(field, size) for field, size in ((second, 60), (minute, 60), (hour, 24))]
    sentence = CronSim(" ".join([*times, *days]), ANY_DATE).explain()
    for pattern, better in _BETTER:
        sentence = pattern.sub(better, sentence)
    return sentence


def _without_idle_steps(field: str, size: int) -> str:
    """Write "0" for "*/90": a step past the end names the first value only."""
    return re.sub(r"\*/(\d+)", lambda step: "0" if int(step[1]) >= size else step[0], field)


def _ordinal(found: re.Match[str]) -> str:
    number = int(found[1])
    endings = {} if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{endings.get(number % 10, 'th')}"


def _evenly(found: re.Match[str]) -> str:
    """Say "5 minutes" for "fifth minute" where it always is 5 minutes."""
    ordinal, unit = found.groups()
    step = _ORDINALS.index(ordinal) + 2 if ordinal in _ORDINALS else int(ordinal[:-2])
    return f"Every {step} {unit}s" if _UNITS[unit] % step == 0 else found[0]


def _whole_hour(found: re.Match[str]) -> str:
    return f"{found[1]} from {int(found[2]):02}:00 through {int(found[2]):02}:59"


def _every_hour(found: re.Match[str]) -> str:
    return f"Every hour from {int(found[1]):02}:00 through {int(found[2]):02}:00"


def _times(found: re.Match[str]) -> str:
    return "At " + re.sub(r"\d+", lambda hour: f"{int(hour[0]):02}:{int(found[1]):02}", found[2])


_NTH = r"(second|third|fourth|fifth|sixth|seventh|eighth|ninth|\d+th)"
_TIMES = r"^(At \d\d:[\d:, and]*\d)"
_RULES: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
    (r"second every minute past", "second past"),
    (rf"^Every {_NTH} (minute|second)(?: of every (?:hour|minute))?(?! from \d+ through)", _evenly),
    (rf"^At minute 0 past every {_NTH} (hour)(?! from|,| and)", _evenly),
    (r"^At minute 0 past every hour from (\d+) through (\d+)(?!,| and)", _every_hour),
    (r"^At minute (\d+) past hours ([\d, and]*\d)", _times),
    (r"^(Every second|Every \d+ seconds) past hour (\d+)(?=$| on | in )", _whole_hour),
    (r"^(Every \d+ \w+s) past", r"\1 in"),
    (rf"{_TIMES}$", r"\1 every day"),
    (rf"{_TIMES} in every", r"\1 every day in every"),
    (r"in every month from", "from"),
    (r"if it's on", "if it is"),
    (r"(?<! and) on (\w+day through)", r", \1"),
    (r"every day of month from (\d+) through (\d+)", r"days \1 through \2 of the month"),
    (r"day of (month|week)", r"day of the \1"),
    (r"\b(\d+)th\b", _ordinal),
]
_BETTER = [(re.compile(pattern), better) for pattern, better in _RULES]
