"""/v1/schedules: rules, their due times and their ledgers."""

from functools import partial
from typing import Any, Literal, NoReturn
from uuid import UUID

import msgspec
from quart import Blueprint, Response

from callsheet import bodies, models
from callsheet.definition import OVERLAPS, check_slug, define
from callsheet.errors import FieldError, Invalid, Outdated, Refused
from callsheet.instants import DAY
from callsheet.lifecycle import SCHEDULE_STATES
from storage.journal.commands import (
    CreateSchedules,
    DeleteSchedule,
    PatchSchedule,
    PauseSchedule,
    PlanChange,
    PutSchedule,
    ResumeSchedule,
    TriggerSchedule,
)
from storage.queries import schedules as queries
from storage.queries.comparing import compare
from storage.records import ScheduleRecord
from web import representations as show
from web.asking import (
    MAX_BATCH_BODY,
    PAGE_BYTES,
    Fields,
    Query,
    body_object,
    choice_of,
    if_match,
    instant_or_none,
    no_query,
    only_if_new,
    reason,
    slug,
)
from web.documented import PAGED, documented
from web.replies import Reply, reply
from web.schedule_batch import New, all_created, read_schedules
from web.site import site
from web.waits import finished

schedules = Blueprint("schedules", __name__)

_TAGGED = {"ETag": (200, 201)}
_CREATED = {"ETag": (200, 201), "Location": (201,)}
_SHOWN = (models.Schedule, models.Comparison)  # with and without `dry_run`

COMPARED = 7 * DAY  # what a dry run looks at


@schedules.get("/v1/schedules")
@documented(
    {200: models.Page[models.Schedule]},
    query={"task": bodies.Text, "state": models.ScheduleState, "tag": bodies.Text} | PAGED,
)
async def index() -> Response:
    """List schedules by id."""
    query = Query()
    wanted = {
        "task": query.text("task"),
        "state": query.choice("state", SCHEDULE_STATES[:-1]),
        "tag": query.text("tag"),
        "limit": query.limit(),
        "cursor": query.cursor(),
        "most": PAGE_BYTES,
    }
    query.close()
    page = await site().read(queries.list_schedules, **wanted)
    return show.respond(show.page([show.schedule(item) for item in page.items], page.next))


@schedules.post("/v1/schedules")
@documented({201: models.Schedule}, body=bodies.ScheduleDocument, headers=_CREATED, problems=(409,))
async def create() -> Response:
    """Create a schedule under an id of the client's or our own."""
    no_query()
    document = await body_object()
    name = document.pop("id", None)
    if name is not None:
        _check_id(name, document)
    return (await site().change(PutSchedule(name, document, create_only=True), _put)).response()


@schedules.post("/v1/schedules/batch")
@documented({201: models.BatchCreated}, body=bodies.ScheduleBatch, problems=(409,))
async def create_batch() -> Response:
    """Create up to 10,000 schedules, all or none."""
    no_query()
    fields = Fields(await body_object(MAX_BATCH_BODY))
    wanted: tuple[New, ...] = ()
    try:
        items = fields.read("items", lambda value: value)
        wanted = await read_schedules(site().tasks, items, site().clock.now())
    except Invalid as error:
        fields.errors.extend(error.errors)
    fields.close()
    return (await site().change(CreateSchedules(wanted), all_created)).response()


@schedules.put("/v1/schedules/<name>")
@documented(
    {200: _SHOWN, 201: models.Schedule},
    query={"dry_run": (bool, "only tell what would become of the due times")},
    body=bodies.ScheduleDocument,
    conditions=("If-Match", "If-None-Match"),
    problems=(409,),
)
async def put(name: str) -> Response:
    """Create a schedule, or replace it whole; a dry run only tells what would become of its due times."""
    dry_run = _dry_run()
    document = await body_object()
    if document.pop("id", name) != name:
        _refuse_id("must be the id in the path", document)
    _check_id(name, document)
    new_only = only_if_new()
    command = PutSchedule(name, document, if_match(), create_only=new_only)
    try:
        if dry_run:
            return await _compared(name, command)
        return (await site().change(command, _put)).response()
    except Refused as error:
        if not new_only:
            raise
        raise Outdated(str(error)) from None


@schedules.get("/v1/schedules/<name>")
@documented({200: models.Schedule}, headers=_TAGGED)
async def get(name: str) -> Response:
    """Return a schedule."""
    no_query()
    return shown(await site().read(queries.get_schedule, slug(name))).response()


@schedules.patch("/v1/schedules/<name>")
@documented(
    {200: _SHOWN},
    query={"dry_run": (bool, "only tell what would become of the due times")},
    body=bodies.SchedulePatch,
    merge_patch=True,
    conditions=("If-Match",),
    problems=(409,),
)
async def patch(name: str) -> Response:
    """Change a schedule by a merge patch; a dry run only tells what would become of its due times."""
    dry_run = _dry_run()
    document = await body_object(merge_patch=True)
    if document.get("id") == name:
        del document["id"]
    if dry_run:
        return await _compared(name, PatchSchedule(slug(name), document, if_match()))
    return (await site().change(PatchSchedule(slug(name), document, if_match()), shown)).response()


@schedules.delete("/v1/schedules/<name>")
@documented(
    {204: None},
    query={"running": (Literal["cancel", "finish"], "what becomes of what runs; finish unless given")},
    conditions=("If-Match",),
    problems=(409,),
)
async def delete(name: str) -> Response:
    """Delete a schedule; `?running=cancel` cancels what runs."""
    query = Query()
    running = query.choice("running", ("cancel", "finish"))
    query.close()
    command = DeleteSchedule(slug(name), running == "cancel", if_match())
    return (await site().change(command, lambda _: Reply(204))).response()


@schedules.post("/v1/schedules/<name>/pause")
@documented(
    {200: models.Schedule},
    body=bodies.Pause,
    optional=True,
    conditions=("If-Match",),
    headers=_TAGGED,
    problems=(409,),
)
async def pause(name: str) -> Response:
    """Plan nothing until resumed."""
    no_query()
    fields = Fields(await body_object(optional=True))
    why, until = fields.read("reason", reason), fields.read("until", instant_or_none)
    fields.close()
    return (await site().change(PauseSchedule(slug(name), why, until, if_match()), shown)).response()


@schedules.post("/v1/schedules/<name>/resume")
@documented(
    {200: models.Schedule},
    body=bodies.Nothing,
    optional=True,
    conditions=("If-Match",),
    headers=_TAGGED,
    problems=(409,),
)
async def resume(name: str) -> Response:
    """Plan again, strictly in the future."""
    no_query()
    Fields(await body_object(optional=True)).close()
    return (await site().change(ResumeSchedule(slug(name), if_match()), shown)).response()


@schedules.post("/v1/schedules/<name>/trigger")
@documented(
    {200: models.Instance, 202: models.Started},
    body=bodies.TriggerNow,
    optional=True,
    waits=True,
    headers={"Location": (200, 202)},
    problems=(409,),
)
async def trigger(name: str) -> Response:
    """Run a schedule now."""
    no_query()
    fields = Fields(await body_object(optional=True))
    given = fields.read("input", msgspec.json.encode)
    overlap = fields.read("overlap", choice_of(OVERLAPS))
    fields.close()
    command = TriggerSchedule(slug(name), given, overlap)
    return await finished(await site().change(command, partial(_triggered, name), starts=True))


def _triggered(name: str, started: UUID) -> Reply:
    uri = show.instance_uri(started)
    return reply(models.Started(id=str(started), uri=uri, schedule=name), 202, Location=uri)


def _dry_run() -> bool:
    query = Query()
    asked = query.flag("dry_run")
    query.close()
    return bool(asked)


async def _compared(name: str, change: PutSchedule | PatchSchedule) -> Response:
    """Tell which due times of the next days a change would add and take away; nothing is changed."""
    before, definition = await site().order(PlanChange(change))
    now = site().clock.now()
    found = await site().read(lambda _: compare(before, definition, now, now + COMPARED))
    return show.respond(show.comparison(name, before, definition, found, now))


def _check_id(name: object, document: dict[str, Any]) -> None:
    """Refuse a new schedule's id that is none, together with whatever else is wrong."""
    try:
        if not isinstance(name, str):
            raise Invalid(FieldError("/id", "must be a text"))
        check_slug(name)
    except Invalid as error:
        _refuse_id(error.errors[0].detail, document)


def _refuse_id(why: str, document: dict[str, Any]) -> NoReturn:
    others: tuple[FieldError, ...] = ()
    try:
        define(document, site().tasks, now=site().clock.now())
    except Invalid as error:
        others = error.errors
    raise Invalid(FieldError("/id", why), *others)


def _put(answer: tuple[bool, ScheduleRecord]) -> Reply:
    created, record = answer
    return shown(record, 201 if created else 200)


def shown(record: ScheduleRecord, status: int = 200) -> Reply:
    """Return a schedule with its ETag."""
    headers: dict[str, str] = {"ETag": f'"{record.version}"'}
    if status == 201:
        headers["Location"] = f"/v1/schedules/{record.id}"
    return reply(show.schedule(record), status, **headers)
