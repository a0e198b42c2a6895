"""What the database knows that a simulation needs: the schedules that stand, and how their latest runs went."""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from itertools import chain
from typing import Any

from attrs import evolve

from callsheet.definition import Definition, document_of
from callsheet.errors import FieldError, Invalid
from callsheet.ids import lowest_id
from callsheet.instants import SECOND, format_instant
from callsheet.simulation import Fate, Plan, Planned, Policy, check_size, choose_resolution, fates_of
from callsheet.tasks import Task
from callsheet.timetable import After, trigger_of
from callsheet.validation import pointer
from storage.database import Database
from storage.queries.instances import Filter, listing
from storage.queries.reading import read, rows
from storage.queries.schedules import list_schedules
from storage.records import ScheduleRecord

SAMPLE = 200  # the latest runs of a schedule or task that say how the next ones go
_KNOWN = ("succeeded", "failed", "timed_out")
_LAST_ID = lowest_id(1 << 57)
_PAGE = 1000
_AFTER = "/schedules/{}/trigger/after"


def make_plan(
    database: Database,
    tasks: Mapping[str, Task[Any, Any]],
    *,
    start: int,
    end: int,
    seed: int = 0,
    resolution: int | None = None,
    max_running: int | None = None,
    given: Mapping[str, list[Fate]] | None = None,
    tried: Mapping[str, Definition] | None = None,
) -> Plan:
    """Plan to simulate what stands; `tried` are definitions to add, or to put in the place of those that stand.

    `given` are durations by task or schedule. Invalid when it is more than a simulation takes on, and for durations of
    what is not there.
    """
    tried, given = tried or {}, given or {}
    plan = Plan(start, end, [], [], seed, max_running=max_running)
    standing = [record for record in _standing(database) if record.id not in tried]
    kept = [record for record in standing if _acts(record, plan)]
    definitions = {record.id: _remainder(record) for record in kept} | dict(tried)
    triggers = [definition.plan for definition in definitions.values()]
    check_size(start, end, triggers)
    known = {record.id for record in standing} | set(tried)
    _check_chains(tried, definitions, known)
    if given:
        _check_names(given, known.union(tasks, _tasks_of(standing, definitions)))
    history = _history(database)
    records = {record.id: record for record in kept}
    for slug, definition in sorted(definitions.items()):
        own, shared = history(None, slug), history(definition.task, None)
        fates, source = fates_of(slug, definition.task, given, own, shared)
        plan.schedules.append(_planned(slug, definition, fates, source, records.get(slug), start))
    for name in sorted({definition.task for definition in definitions.values()}):
        plan.tasks.append(_policy(name, tasks, plan))
    plan.resolution = choose_resolution(plan, triggers) if resolution is None else resolution
    return plan


def _planned(
    slug: str, definition: Definition, fates: list[Fate], source: str, record: ScheduleRecord | None, start: int
) -> Planned:
    """Return what is to be simulated of one schedule; `record` is how it stands, if it does."""
    planned = Planned(slug, document_of(definition), fates, source)
    if record is not None:
        planned.paused_until = record.paused_until
        planned.skips = [due for due in record.skips if due >= start]
    return planned


def _tasks_of(standing: Iterable[ScheduleRecord], definitions: Mapping[str, Definition]) -> Iterable[str]:
    return chain((record.definition.task for record in standing), (one.task for one in definitions.values()))


def _check_chains(tried: Iterable[str], definitions: Mapping[str, Definition], known: Collection[str]) -> None:
    """Refuse what is tried after a schedule that is not there, or in the end after itself."""
    errors: list[FieldError] = []
    for slug in tried:
        line = [slug]
        while (upstream := _upstream(definitions.get(line[-1]))) is not None and upstream not in line:
            line.append(upstream)
        if upstream is not None:
            ring = " after ".join([*line, upstream])
            errors.append(FieldError(_AFTER.format(slug), f"would go round in a circle: {ring}"))
        elif len(line) > 1 and line[1] not in known:
            errors.append(FieldError(_AFTER.format(slug), f"there is no schedule {line[1]!r}"))
    if errors:
        raise Invalid(*errors)


def _check_names(given: Iterable[str], known: Collection[str]) -> None:
    """Refuse durations of what is not there: who misspells a name must not believe that they were heeded."""
    strangers = [name for name in given if name not in known]
    if strangers:
        raise Invalid(*(FieldError(pointer("durations", name), "is no schedule and no task") for name in strangers))


def _upstream(definition: Definition | None) -> str | None:
    trigger = None if definition is None else trigger_of(definition.plan)
    return trigger.schedule if isinstance(trigger, After) else None


def _standing(database: Database) -> list[ScheduleRecord]:
    found: list[ScheduleRecord] = []
    cursor: str | None = None
    while True:
        page = list_schedules(database, task=None, state=None, tag=None, limit=_PAGE, cursor=cursor)
        found += page.items
        cursor = page.next
        if cursor is None:
            return found


def _remainder(record: ScheduleRecord) -> Definition:
    """Return what is left of a schedule: the runs that it had count no more."""
    return evolve(record.definition, max_runs=record.runs_left)


def _acts(record: ScheduleRecord, plan: Plan) -> bool:
    """Tell whether a schedule may fire at all within the span; if not, it is noted why it is left out."""
    if record.state == "finished":
        return False
    if record.state == "active":
        return True
    ends = record.paused_until
    if record.state == "paused" and ends is not None and ends < plan.end:
        plan.notes.append(f"{record.id} is paused until {format_instant(ends)}, and fires from then on.")
        return True
    plan.notes.append(f"{record.id} is {record.state} and was left out.")
    return False


def _policy(name: str, tasks: Mapping[str, Task[Any, Any]], plan: Plan) -> Policy:
    if name in tasks:
        return Policy.of(tasks[name])
    plan.notes.append(f"The task {name} is not in the code at hand: it is taken to have no limits, retries or state.")
    return Policy(name)


def _history(database: Database) -> Callable[[str | None, str | None], list[Fate]]:
    @cache
    def history(task: str | None, schedule: str | None) -> list[Fate]:
        inner, values = listing(Filter(task, schedule, _KNOWN), _LAST_ID, SAMPLE)
        sql = f"SELECT started_at, finished_at, state FROM ({inner}) latest"
        found = read(database, lambda db: rows(db, sql, *values))
        return [(max(end - begin, 0) / SECOND, state) for begin, end, state in found if begin is not None]

    return history
