"""Due times: of one schedule and of all, past and to come; which to skip, which to make up for, and why."""

from functools import partial

from quart import Blueprint, Response

from callsheet import bodies, models
from callsheet.definition import OVERLAPS
from callsheet.errors import FieldError
from callsheet.timetable import describe, parse_trigger, trigger_document, upcoming
from storage.journal.backfills import MOST, Filled
from storage.journal.commands import BackfillSchedule, SkipDue, UnskipDue
from storage.journal.skips import MOST_SKIPS
from storage.queries import ledger as ledgers
from storage.queries import schedules as queries
from storage.queries.explain import explain
from web import representations as show
from web.asking import Fields, Query, body_object, choice_of, flag, if_match, instant, no_query, slug, whole_number
from web.documented import PAGED, documented
from web.replies import Reply, reply
from web.schedules import shown
from web.site import site

due_times = Blueprint("due_times", __name__)


@due_times.get("/v1/schedules/<name>/ledger")
@documented({200: models.Page[models.LedgerRow]}, query=PAGED)
async def ledger(name: str) -> Response:
    """Return the account of all due times, newest first."""
    query = Query()
    limit, cursor = query.limit(), query.cursor()
    query.close()
    page = await site().read(ledgers.ledger, slug(name), limit, cursor)
    return show.respond(show.page([show.ledger_entry(item) for item in page.items], page.next))


@due_times.get("/v1/schedules/<name>/upcoming")
@documented({200: models.Page[models.DueTime]}, query={"limit": PAGED["limit"]})
async def upcoming_of_one(name: str) -> Response:
    """Return the next due times."""
    query = Query()
    limit = query.limit()
    query.close()
    found = await site().read(queries.upcoming_of, slug(name), limit)
    return show.respond(show.page([show.coming(item) for item in found], None))


@due_times.get("/v1/upcoming")
@documented({200: models.Page[models.DueTime]}, query={"limit": PAGED["limit"], "until": (models.Time, "due by then")})
async def upcoming_of_all() -> Response:
    """Return the next due times of all schedules, soonest first."""
    query = Query()
    limit, until = query.limit(), query.instant("until")
    query.close()
    found = await site().read(queries.upcoming_of_all, limit, until)
    return show.respond(show.page([show.coming(item) for item in found], None))


@due_times.post("/v1/schedules/preview")
@documented({200: models.Preview}, body=bodies.PreviewAsked, changes=False)
async def preview() -> Response:
    """Tell the due times of a trigger without saving anything."""
    no_query()
    now = site().clock.now()
    fields = Fields(await body_object())
    after = fields.read("after", instant)
    limit = fields.read("limit", whole_number(200)) or 10
    wanted = fields.read(
        "trigger", lambda value: parse_trigger(value, anchor=now if after is None else after), required=True
    )
    fields.close()
    assert wanted is not None
    times = upcoming(wanted, now if after is None else after, limit)
    items = show.due_times(wanted, times)
    return show.respond(models.Preview(items, describe(wanted), trigger_document(wanted)))


@due_times.post("/v1/schedules/<name>/skip")
@documented(
    {200: models.Schedule},
    body=bodies.Skip,
    optional=True,
    conditions=("If-Match",),
    headers={"ETag": (200,)},
    problems=(409,),
)
async def skip(name: str) -> Response:
    """Leave out the next due times, or one; to ask again changes nothing more."""
    no_query()
    fields = Fields(await body_object(optional=True))
    count, at = fields.read("count", whole_number(MOST_SKIPS)), fields.read("at", instant)
    if fields.document.keys() >= {"count", "at"}:
        fields.errors.append(FieldError("/at", "cannot be given together with count"))
    fields.close()
    return (await site().change(SkipDue(slug(name), count, at, if_match()), shown)).response()


@due_times.delete("/v1/schedules/<name>/skip")
@documented(
    {200: models.Schedule},
    query={"at": (models.Time, "the due time; all of them if none is given")},
    conditions=("If-Match",),
    headers={"ETag": (200,)},
    problems=(409,),
)
async def unskip(name: str) -> Response:
    """Let run after all what was to be skipped: the due time `at`, or all."""
    query = Query()
    at = query.instant("at")
    query.close()
    return (await site().change(UnskipDue(slug(name), at, if_match()), shown)).response()


@due_times.post("/v1/schedules/<name>/backfill")
@documented(
    {200: models.Backfill, 202: models.Backfill},
    query={"dry_run": (bool, "only tell what would be done")},
    body=bodies.BackfillRange,
    problems=(409,),
)
async def backfill(name: str) -> Response:
    """Run what never ran of a range of the past; a dry run only tells what it would do."""
    query = Query()
    dry_run = query.flag("dry_run")
    query.close()
    fields = Fields(await body_object())
    start, end = fields.read("from", instant, required=True), fields.read("to", instant, required=True)
    overlap, dry = fields.read("overlap", choice_of(OVERLAPS)), fields.read("dry_run", flag) or bool(dry_run)
    fields.close()
    assert start is not None
    assert end is not None
    command = BackfillSchedule(slug(name), start, end, overlap, dry)
    return (await site().change(command, partial(_backfilled, dry=dry), starts=not dry)).response()


@due_times.get("/v1/schedules/<name>/explain")
@documented({200: models.Explanation}, query={"at": (models.Time, "the latest due time unless given")})
async def explanation(name: str) -> Response:
    """Tell whether it was due at an instant, what happened and why, what comes next and what could stop it."""
    query = Query()
    at = query.instant("at")
    query.close()
    return show.respond(show.explanation(await site().read(explain, slug(name), at, site().clock.now())))


def _backfilled(found: list[Filled], *, dry: bool) -> Reply:
    started = sum(one.left_out is None for one in found)
    items = [show.filled(one) for one in found]
    body = models.Backfill(dry_run=dry, count=started, left_out=len(found) - started, most=MOST, items=items)
    return reply(body, 200 if dry else 202)
