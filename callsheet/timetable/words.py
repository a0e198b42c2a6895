"""Triggers in words. cronsim's sentence is the base; what reads badly in it is put right here."""

import re
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any, assert_never

from cronsim import CronSim

from callsheet.instants import DAY, HOUR, MINUTE, SECOND, format_instant
from callsheet.timetable.expressions import ANY_DATE, spelled_out
from callsheet.timetable.triggers import After, At, Bounded, Cron, Every, Plan

_ORDINALS = ["second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"]
_ENDINGS = {"success": "succeeds", "failure": "fails", "any": "ends"}
_UNITS = {"second": 60, "minute": 60, "hour": 24}
_WHOLES = {"second": "minute", "minute": "hour", "hour": "day"}
_SIZES = {0: 60, 1: 60, 2: 24}  # of the fields in which a step may divide its whole evenly
_FEW = 8  # as many values as can be read in a row


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
    fields = _written_out(spelled_out(expression))
    times = _few_times(fields[:3])
    sentence = CronSim(" ".join(["0 0 0", *fields[3:]] if times else fields), ANY_DATE).explain()
    if not fields[3].startswith("*") and not fields[5].startswith("*"):
        sentence = _either(sentence)
    for pattern, better in _BETTER:
        sentence = pattern.sub(better, sentence)
    return sentence.replace("At 00:00", times, 1) if times else sentence


def _written_out(fields: list[str]) -> list[str]:
    """Replace steps and lists by the few values that they mean: "0,45" for "*/45", which is not every 45 minutes.

    Steps that divide their hour or day evenly read well as they are. Of days, a `*` also means that both fields must
    fit, so it stays where the other one says something too.
    """
    rule = CronSim(" ".join(fields), ANY_DATE)
    fields = _without_idle_days(fields, rule)
    parsed: tuple[set[Any], ...] = (rule.seconds, rule.minutes, rule.hours, rule.days, rule.months, rule.weekdays)
    both = fields[3] != "*" and fields[5] != "*"
    out = []
    for place, (field, values) in enumerate(zip(fields, parsed, strict=True)):
        stays = field.startswith("*") and (both if place in (3, 5) else _evenly(fields, place))
        few = "/" in field or ("," in field and place < 3)
        plain = few and not stays and all(isinstance(value, int) and value >= 0 for value in values)
        out.append(_values(values, place) if plain and len(values) <= _FEW else field)
    return out


def _evenly(fields: list[str], place: int) -> bool:
    """Tell whether a step divides its whole, and is all that there is to say of the time of day."""
    size, step = _SIZES.get(place), fields[place].removeprefix("*/")
    if size is None or not step.isdigit() or int(step) >= size or size % int(step):
        return False
    return place < 2 or fields[:2] == ["0", "0"]


def _values(values: Iterable[int], place: int) -> str:
    return ",".join(map(str, sorted({value % 7 if place == 5 else value for value in values})))


def _without_idle_days(fields: list[str], rule: CronSim) -> list[str]:
    """Write "*" for days that leave nothing out: "0 0 1-31 * MON" is due every day, as either day will do."""
    *others, day, month, weekday = fields
    any_day = set(range(1, 32)) <= rule.days
    any_weekday = {value % 7 for value in rule.weekdays if isinstance(value, int)} == set(range(7))
    either = not day.startswith("*") and not weekday.startswith("*")
    if either and (any_day or any_weekday):
        return [*others, "*", month, "*"]
    return [*others, "*" if any_day else day, month, "*" if any_weekday else weekday]


def _few_times(fields: list[str]) -> str:
    """Return "At 00:15, 00:45, and 06:15" for a time of day that names a few moments only, else nothing."""
    if not all(re.fullmatch(r"[\d,]+", field) for field in fields):
        return ""
    seconds, minutes, hours = (sorted(map(int, field.split(","))) for field in fields)
    if len(seconds) * len(minutes) * len(hours) > _FEW:
        return ""
    end = "" if seconds == [0] else ":{:02}"
    shown = "{:02}:{:02}" + end
    return "At " + _enumerated([shown.format(*time) for time in product(hours, minutes, seconds)])


def _enumerated(items: list[str]) -> str:
    head, last = items[:-1], items[-1]
    return f"{', '.join(head)}{',' if len(head) > 1 else ''} and {last}" if head else last


def _either(sentence: str) -> str:
    """Say that a date *or* a weekday is enough, which "on the 13th day and on Friday" would hide."""
    date, also, weekday = sentence.partition(" and on ")
    return sentence if not also else f"{date}, and also on " + re.sub(r" (in \w+)", r", \1", weekday)


def _ordinal(found: re.Match[str]) -> str:
    number = int(found[1])
    endings = {} if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{endings.get(number % 10, 'th')}"


def _step(ordinal: str) -> int:
    return _ORDINALS.index(ordinal) + 2 if ordinal in _ORDINALS else int(ordinal[:-2])


def _every_so_often(found: re.Match[str]) -> str:
    """Say "5 minutes" for "fifth minute"; where it is not always 5 minutes, say where it begins again."""
    step, unit = _step(found[1]), found[2]
    if _UNITS[unit] % step == 0:
        return f"Every {step} {unit}s"
    return f"Every {step} {unit}s from the start of every {_WHOLES[unit]}"


def _from_through(found: re.Match[str]) -> str:
    return f"Every {_step(found[1])} {found[2]}s from {found[2]} {found[3]} through {found[4]}"


def _whole_hour(found: re.Match[str]) -> str:
    return f"{found[1]} from {int(found[2]):02}:00 through {int(found[3] or found[2]):02}:59"


def _whole_minute(found: re.Match[str]) -> str:
    time = f"{int(found[3]):02}:{int(found[2]):02}"
    return f"{found[1]} from {time}:00 through {time}:59"


def _every_hour(found: re.Match[str]) -> str:
    minute = int(found[1])
    return f"Every hour from {int(found[2]):02}:{minute:02} through {int(found[3]):02}:{minute:02}"


def _hours_from(found: re.Match[str]) -> str:
    """Say "Every 2 hours from 00:30"; only steps that divide the day come here, the others are few enough to list."""
    return f"Every {_step(found[2])} hours from 00:{int(found[1]):02}"


def _weekdays(found: re.Match[str]) -> str:
    names = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"][:: _step(found[1])]
    return _enumerated(names).replace(" and ", " or ")


_NTH = r"(second|third|fourth|fifth|sixth|seventh|eighth|ninth|\d+th)"
_TIMES = r"^(At \d\d:[\d:, and]*\d)"
_SECONDLY = r"^(Every second|Every \d+ seconds)"
_RULES: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
    (r"second every minute past", "second past"),
    (rf"^Every {_NTH} (minute|second)(?: of every (?:hour|minute))?(?! from \d+ through)", _every_so_often),
    (rf"^Every {_NTH} (minute|second) from (\d+) through (\d+)", _from_through),
    (rf"^At minute 0 past every {_NTH} (hour)(?! from|,| and)", _every_so_often),
    (r"^At minute (\d+) past every hour from (\d+) through (\d+)\b(?!,| and)", _every_hour),
    (rf"{_SECONDLY} past (?:every )?hour (?:from )?(\d+)(?: through (\d+))?(?=$| on | in )", _whole_hour),
    (rf"{_SECONDLY} at minute (\d+) past hour (\d+)(?=$| on | in )", _whole_minute),
    (rf"{_SECONDLY} at minute (\d+) past every hour", r"\1 in minute \2 of every hour"),
    (rf"^At minute (\d+) past every {_NTH} hour(?! from|,| and)", _hours_from),
    (rf"^((?:Every|At) .*second\S*(?: \d+)?) every {_NTH} minute past every hour", r"\1 in every \2 minute"),
    (r"^(Every \d+ \w+s) past", r"\1 in"),
    (rf"{_TIMES}$", r"\1 every day"),
    (rf"{_TIMES} in ", r"\1 every day in "),
    (r"every day every day", "every day"),
    (r"in every month from", "from"),
    (rf"if it's on every {_NTH} day of week", lambda found: f"if it is {_weekdays(found)}"),
    (r"if it's on (\w+) and (\w+)$", r"if it is \1 or \2"),
    (r"if it's on", "if it is"),
    (r"(?<! also) on (\w+day through)", r", \1"),
    (r"(day through \w+day) from", r"\1, from"),
    (r"every day of month from (\d+) through (\d+)", r"days \1 through \2 of the month"),
    (r"the (29th|30th|31th) day of every month", r"the \1 day of every month that has one"),
    (r"the fifth (\w+day) of the month(?!,? in )", r"the fifth \1 of every month that has one"),
    (r"February 29\b", "February 29 (in leap years)"),
    (r"day of (month|week)", r"day of the \1"),
    (r"\b(\d+)th\b", _ordinal),
]
_BETTER = [(re.compile(pattern), better) for pattern, better in _RULES]
