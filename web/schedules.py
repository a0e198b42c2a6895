"""/v1/schedules: rules, their due times and their ledgers."""

from typing import Any, NoReturn

import msgspec
from quart import Blueprint, Response, request

from callsheet.definition import check_slug, define
from callsheet.errors import FieldError, Invalid, Outdated, Refused
from callsheet.instants import format_instant
from callsheet.lifecycle import SCHEDULE_STATES
from callsheet.timetable import describe, local_time, parse_trigger, trigger_document, upcoming
from storage.journal.commands import (
    DeleteSchedule,
    PatchSchedule,
    PauseSchedule,
    PutSchedule,
    ResumeSchedule,
    TriggerSchedule,
)
from storage.journal.facts import instance_uri
from storage.queries import ledger as ledgers
from storage.queries import schedules as queries
from storage.records import ScheduleRecord
from web import representations as show
from web.asking import (
    Fields,
    Query,
    body_object,
    if_match,
    instant,
    instant_or_none,
    no_query,
    only_if_new,
    reason,
    slug,
    whole_number,
)
from web.site import site

schedules = Blueprint("schedules", __name__)

_OVERLAPS = ("skip", "allow")


@schedules.get("/v1/schedules")
async def index() -> Response:
    """List schedules by id."""
    query = Query()
    wanted = {
        "task": query.text("task"),
        "state": query.choice("state", SCHEDULE_STATES[:-1]),
        "tag": query.text("tag"),
        "limit": query.limit(),
        "cursor": query.cursor(),
    }
    query.close()
    page = await site().read(queries.list_schedules, **wanted)
    return show.respond(show.page([show.schedule(item) for item in page.items], page.next))


@schedules.post("/v1/schedules")
async def create() -> Response:
    """Create a schedule under an id of the client's or our own."""
    no_query()
    document = await body_object()
    name = document.pop("id", None)
    if name is not None:
        _check_id(name, document)
    _, record = await site().order(PutSchedule(name, document, create_only=True))
    return _shown(record, 201)


@schedules.put("/v1/schedules/<name>")
async def put(name: str) -> Response:
    """Create a schedule, or replace it whole."""
    no_query()
    document = await body_object()
    if document.pop("id", name) != name:
        _refuse_id("must be the id in the path", document)
    _check_id(name, document)
    new_only = only_if_new()
    try:
        created, record = await site().order(PutSchedule(name, document, if_match(), create_only=new_only))
    except Refused as error:
        if not new_only:
            raise
        raise Outdated(str(error)) from None
    return _shown(record, 201 if created else 200)


@schedules.get("/v1/schedules/<name>")
async def get(name: str) -> Response:
    """Return a schedule."""
    no_query()
    return _shown(await site().read(queries.get_schedule, slug(name)))


@schedules.patch("/v1/schedules/<name>")
async def patch(name: str) -> Response:
    """Change a schedule by a merge patch."""
    no_query()
    document = await body_object(merge_patch=True)
    if document.get("id") == name:
        del document["id"]
    return _shown(await site().order(PatchSchedule(slug(name), document, if_match())))


@schedules.delete("/v1/schedules/<name>")
async def delete(name: str) -> Response:
    """Delete a schedule; `?running=cancel` cancels what runs."""
    query = Query()
    running = query.choice("running", ("cancel", "finish"))
    query.close()
    await site().order(DeleteSchedule(slug(name), running == "cancel", if_match()))
    return Response(b"", 204)


@schedules.post("/v1/schedules/<name>/pause")
async def pause(name: str) -> Response:
    """Plan nothing until resumed."""
    no_query()
    fields = Fields(await body_object(optional=True))
    why, until = fields.read("reason", reason), fields.read("until", instant_or_none)
    fields.close()
    return _shown(await site().order(PauseSchedule(slug(name), why, until, if_match())))


@schedules.post("/v1/schedules/<name>/resume")
async def resume(name: str) -> Response:
    """Plan again, strictly in the future."""
    no_query()
    Fields(await body_object(optional=True)).close()
    return _shown(await site().order(ResumeSchedule(slug(name), if_match())))


@schedules.post("/v1/schedules/<name>/trigger")
async def trigger(name: str) -> Response:
    """Run a schedule now."""
    no_query()
    fields = Fields(await body_object(optional=True))
    given = fields.read("input", msgspec.json.encode)
    overlap = fields.read("overlap", _overlap)
    fields.close()
    started = await site().order(TriggerSchedule(slug(name), given, overlap), starts=True)
    uri = str(instance_uri(started))
    return show.respond({"id": str(started), "uri": uri, "schedule": name}, 202, Location=uri)


@schedules.get("/v1/schedules/<name>/ledger")
async def ledger(name: str) -> Response:
    """Return the account of all due times, newest first."""
    query = Query()
    limit, cursor = query.limit(), query.cursor()
    query.close()
    page = await site().read(ledgers.ledger, slug(name), limit, cursor)
    return show.respond(show.page([show.ledger_entry(item) for item in page.items], page.next))


@schedules.get("/v1/schedules/<name>/upcoming")
async def upcoming_of_one(name: str) -> Response:
    """Return the next due times."""
    query = Query()
    limit = query.limit()
    query.close()
    found = await site().read(queries.upcoming_of, slug(name), limit)
    return show.respond(show.page([show.coming(item) for item in found], None))


@schedules.get("/v1/upcoming")
async def upcoming_of_all() -> Response:
    """Return the next due times of all schedules, soonest first."""
    query = Query()
    limit, until = query.limit(), query.instant("until")
    query.close()
    found = await site().read(queries.upcoming_of_all, limit, until)
    return show.respond(show.page([show.coming(item) for item in found], None))


@schedules.post("/v1/schedules/preview")
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
    items = [{"due_at": format_instant(due), "local": local_time(wanted, due)} for due in times]
    return show.respond({"items": items, "description": describe(wanted), "trigger": trigger_document(wanted)})


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


def _shown(record: ScheduleRecord, status: int = 200) -> Response:
    headers: dict[str, str] = {"ETag": f'"{record.version}"'}
    if status == 201:
        headers["Location"] = f"{request.root_path}/v1/schedules/{record.id}"
    return show.respond(show.schedule(record), status, **headers)


def _overlap(value: Any) -> str:
    if value not in _OVERLAPS:
        raise ValueError("must be one of " + ", ".join(_OVERLAPS))
    return str(value)
