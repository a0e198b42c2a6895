"""Every kind of page that the API lists, as storage reads it: how long each takes, wherever in history it begins."""

import time
from collections.abc import Callable, Iterator
from statistics import median
from uuid import UUID

from attrs import frozen

from benchmarks.history_file import LOUDEST, TAG, TASKS, Shape, name_of
from callsheet.ids import lowest_id
from storage.database import Database
from storage.queries.audit import AuditFilter, list_audit
from storage.queries.events import Wanted, extent, read_events
from storage.queries.instances import Filter, list_instances, list_log, list_outputs
from storage.queries.ledger import ledger
from storage.queries.nodes import list_nodes
from storage.queries.reading import encode_cursor
from storage.queries.schedules import list_schedules, upcoming_of_all

LIMIT = 200  # the largest page
PLACES = (1.0, 0.75, 0.5, 0.25, 0.001)  # how much of the history lies before the page, from all of it to hardly any
TIMES = 3  # that each page is read
HOUR = 3_600_000_000

Page = Callable[[Database, float], object]


@frozen
class Read:
    """What reading one kind of page took, in milliseconds: the median of the slowest place, and the span of all."""

    kind: str
    fastest: float
    slowest: float
    worst: float


def kinds(shape: Shape, loudest: UUID) -> dict[str, Page]:
    """Return all kinds of pages, each a function of where in the history it begins."""

    def instant(place: float) -> int:
        return shape.end - round((shape.end - shape.begin) * (1 - place))

    def before(place: float) -> str | None:
        return None if place == 1 else encode_cursor(lowest_id(instant(place)))

    def listed(**wanted: object) -> Page:
        return lambda database, place: list_instances(database, Filter(**wanted), LIMIT, before(place))  # type: ignore[arg-type]

    def audited(**wanted: str) -> Page:
        return lambda database, place: list_audit(database, AuditFilter(**wanted), LIMIT, before(place))  # type: ignore[arg-type]

    def hour(database: Database, place: float) -> object:
        wanted = Filter(since=instant(place) - HOUR, until=instant(place))
        return list_instances(database, wanted, LIMIT, None)

    def told(wanted: Wanted) -> Page:
        def read(database: Database, place: float) -> object:
            reach = extent(database)
            first, last = reach.first or 0, reach.last or 0
            return read_events(database, wanted, round(last - (last - first) * place), LIMIT)

        return read

    job, task = name_of(1), TASKS[0]
    return {
        "all instances": listed(),
        "instances of a state": listed(states=("failed",)),
        "instances of a rare state of a task": listed(task=task, states=("timed_out",)),
        "instances of a task": listed(task=task),
        "instances of a schedule": listed(schedule=job),
        "failed instances of a schedule": listed(schedule=job, states=("failed",)),
        "instances with a tag": listed(tag=TAG),
        "instances with a tag, of a state": listed(tag=TAG, states=("timed_out",)),
        "instances with a tag, of a task that never has it": listed(tag=TAG, task=TASKS[1]),
        "instances of an hour": hour,
        "a ledger": lambda database, place: ledger(
            database, job, LIMIT, None if place == 1 else encode_cursor(instant(place))
        ),
        "outputs": lambda database, place: list_outputs(
            database, loudest, LIMIT, encode_cursor(round(LOUDEST * (1 - place)))
        ),
        "log": lambda database, place: list_log(database, loudest, LIMIT, encode_cursor(round(LOUDEST * (1 - place)))),
        "events": told(Wanted()),
        "events of a kind": told(Wanted(types=("schedule.*",))),
        "events of a schedule": told(Wanted(schedule=job)),
        "the audit": audited(),
        "the audit of a caller": audited(by="deploy"),
        "the audit of an action": audited(action="instance.start"),
        "schedules": lambda database, _: list_schedules(
            database, task=None, state=None, tag=None, limit=LIMIT, cursor=None
        ),
        "schedules with a tag": lambda database, _: list_schedules(
            database, task=None, state=None, tag=TAG, limit=LIMIT, cursor=None
        ),
        "upcoming": lambda database, _: upcoming_of_all(database, LIMIT, None),
        "nodes": lambda database, _: list_nodes(database),
    }


def read_all(database: Database, shape: Shape, loudest: UUID) -> Iterator[Read]:
    """Read every kind of page at every place, and tell what it took."""
    for kind, page in kinds(shape, loudest).items():
        places = [[_timed(page, database, place) for _ in range(TIMES)] for place in PLACES]
        every = [took for times in places for took in times]
        yield Read(kind, min(every), max(median(times) for times in places), max(every))


def _timed(page: Page, database: Database, place: float) -> float:
    began = time.perf_counter()
    page(database, place)
    return (time.perf_counter() - began) * 1000
