"""What a simulation is about: a plan as one document, so that it can be made in one process and run in another.

Instants and durations are microseconds, as everywhere inside.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from msgspec import Struct

from callsheet.definition import Definition, check_slug, define
from callsheet.errors import FieldError, Invalid
from callsheet.instants import MINUTE, SECOND, format_instant, parse_duration
from callsheet.tasks import Task
from callsheet.timetable import Every, count_due, trigger_of, upcoming
from callsheet.timetable import Plan as When
from callsheet.validation import pointer

MOST_FIRINGS = 1_000_000
MOST_SCHEDULES = 10_000
MOST_SEED = 2**53
FINENESS = 300
RESOLUTIONS = tuple(SECOND // part for part in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000))
DEFAULT_SECONDS = 1.0  # of a run of which nobody knows how long it takes

Fate = tuple[float, str]
"""How one run went, or is to go: the seconds it took, and its outcome."""


class Policy(Struct, forbid_unknown_fields=True):
    """What of a task matters to a simulation: everything but its body."""

    name: str
    timeout: int | None = None
    retries: int = 0
    first_delay: int = SECOND
    longest_delay: int = SECOND
    max_running: int | None = None
    state: str | None = None

    @classmethod
    def of(cls, task: Task[Any, Any]) -> "Policy":
        """Return the policy of a task in the code."""
        state = task.state_scope if task.stateful else None
        policy = cls(task.name, task.timeout, max_running=task.max_running, state=state)
        if task.retries is not None:
            policy.retries = task.retries.count
            policy.first_delay, policy.longest_delay = task.retries.first, task.retries.longest
        return policy


class Planned(Struct, forbid_unknown_fields=True):
    """A schedule to simulate: its document, and what is known of how its runs go.

    `source` says where the fates come from: "given", "schedule", "task" or "default".
    """

    id: str
    document: dict[str, Any]
    fates: list[Fate]
    source: str
    paused_until: int | None = None
    skips: list[int] = []


class Plan(Struct, forbid_unknown_fields=True):
    """A simulation: all due times in [start, end). `notes` are sentences on what was assumed or left out,
    `max_running` bounds the instances of all tasks together.

    What lies closer together than `resolution` (a duration) may happen together.
    """

    start: int
    end: int
    schedules: list[Planned]
    tasks: list[Policy]
    seed: int = 0
    resolution: int = 0
    max_running: int | None = None
    notes: list[str] = []


def check_span(start: int, end: int) -> None:
    """Refuse a span of time that is none."""
    if end <= start:
        raise Invalid(FieldError("/to", f"must be later than from, which is {format_instant(start)}"))


def check_size(start: int, end: int, triggers: Sequence[When]) -> None:
    """Refuse what is too much to simulate, before anything is done."""
    if len(triggers) > MOST_SCHEDULES:
        raise Invalid(
            FieldError("", f"there are {len(triggers):,} schedules, more than the {MOST_SCHEDULES:,} allowed")
        )
    firings = 0
    for trigger in triggers:
        firings += count_due(trigger, start - 1, end - 1)
        if firings > MOST_FIRINGS:
            break
    else:
        return
    raise Invalid(FieldError("/to", f"means more than {MOST_FIRINGS:,} due times: choose a shorter span"))


def choose_resolution(plan: Plan, triggers: Sequence[When]) -> int:
    """Return how finely to simulate a plan: exactly where runs wait for each other, for there delays add up."""
    return 0 if _has_lines(plan) else fit_resolution(plan.start, triggers)


def _has_lines(plan: Plan) -> bool:
    documents = (planned.document for planned in plan.schedules)
    return (
        plan.max_running is not None
        or any(task.max_running is not None or task.state is not None or task.retries for task in plan.tasks)
        or any("after" in document["trigger"] or document.get("overlap") == "queue" for document in documents)
    )


def fit_resolution(start: int, triggers: Sequence[When]) -> int:
    """Return how finely to simulate: a three-hundredth of the shortest time between two due times, but at most 1 s.

    Whole seconds are always met exactly, and each interval is a multiple of it: were it not, what ends before the next
    due time could end after it.
    """
    gaps = [SECOND * FINENESS]
    for trigger in triggers:
        soon = upcoming(trigger, start - 1, 5)
        gaps += [later - earlier for earlier, later in pairwise(soon)]
    shortest = min(gaps) // FINENESS
    intervals = [inner.interval for inner in map(trigger_of, triggers) if isinstance(inner, Every)]
    fitting = (step for step in RESOLUTIONS if step <= shortest and not any(interval % step for interval in intervals))
    return next(fitting, 0)


def check_seed(value: object) -> int:
    """Return a seed; ValueError says what is wrong."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_SEED:
        raise ValueError("must be a whole number from 0 to 2^53")
    return value


def check_resolution(value: object) -> int:
    """Return a resolution as a duration; ValueError says what is wrong."""
    resolution = parse_duration(value)
    if resolution > MINUTE:
        raise ValueError("must be at most one minute")
    return resolution


def read_schedules(value: object, tasks: Mapping[str, Task[Any, Any]], now: int) -> dict[str, Definition]:
    """Read documents of schedules by id, that are to be tried; Invalid lists what is wrong with any of them."""
    if not isinstance(value, dict):
        raise Invalid(FieldError("", "must be an object: ids of schedules, and their documents"))
    found: dict[str, Definition] = {}
    errors: list[FieldError] = []
    for name, document in value.items():
        try:
            check_slug(name, "")
            found[name] = define(document, tasks, now=now)
        except Invalid as error:
            errors.extend(error.under(pointer(name)).errors)
    if errors:
        raise Invalid(*errors)
    return found


def read_durations(given: object) -> dict[str, list[Fate]]:
    """Read durations by names of tasks or schedules, each one or a list to draw from; Invalid lists what is wrong."""
    if not isinstance(given, dict):
        raise Invalid(FieldError("", "must be an object: names of tasks or schedules, and how long a run takes"))
    fates: dict[str, list[Fate]] = {}
    errors: list[FieldError] = []
    for name, value in given.items():
        try:
            fates[name] = [(parse_duration(one) / SECOND, "succeeded") for one in _several(value)]
        except ValueError as error:
            errors.append(FieldError(pointer(name), str(error)))
    if errors:
        raise Invalid(*errors)
    return fates


def _several(value: object) -> list[object]:
    values = value if isinstance(value, list) else [value]
    if not values or len(values) > 1000:
        raise ValueError("must be a duration, or a list of 1 to 1,000 of them")
    return values


def fates_of(
    slug: str, task: str, given: Mapping[str, list[Fate]], own: Sequence[Fate], shared: Sequence[Fate]
) -> tuple[list[Fate], str]:
    """Choose how the runs of a schedule go: as given, else as its own runs did, else as those of its task did."""
    history, source = (own, "schedule") if own else (shared, "task")
    for name in (slug, task):
        if name in given:
            return given[name], "given"
    return (list(history), source) if history else ([(DEFAULT_SECONDS, "succeeded")], "default")
