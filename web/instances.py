"""/v1/instances: runs, started, seen, cancelled."""

from functools import partial
from typing import Any
from uuid import UUID

from quart import Blueprint, Response

from actors.inbox import ask
from actors.messages import StackOf
from callsheet import bodies, models
from callsheet.errors import FieldError, Invalid, Unknown
from callsheet.lifecycle import INSTANCE_STATES, OUTCOMES
from storage.journal.commands import (
    CancelInstance,
    CancelInstances,
    RerunInstance,
    Start,
    StartInstances,
)
from storage.queries import instances as queries
from storage.records import Page
from web import representations as show
from web.asking import MAX_BATCH_BODY, PAGE_BYTES, Fields, Query, body_object, instance_id, no_query, reason
from web.documented import PAGED, STREAM, documented
from web.gate import caller_at_hand
from web.replies import Reply, reply
from web.site import site
from web.starts import accepted, read_start, read_starts
from web.streams import SaidStream, last_event_id, position_of, stream, wants_stream
from web.waits import finished, whole_instance

instances = Blueprint("instances", __name__)

_STARTED = {200: models.Instance, 202: models.Started}
_PLACED = {"Location": (200, 202)}


@instances.get("/v1/instances")
@documented(
    {200: models.Page[models.Instance]},
    query={
        "state": models.InstanceState,
        "outcome": models.Outcome,
        "task": bodies.Text,
        "schedule": bodies.Text,
        "tag": bodies.Text,
        "since": (models.Time, "created then or later"),
        "until": (models.Time, "created before"),
        **PAGED,
    },
)
async def index() -> Response:
    """List the history, newest first."""
    query = Query()
    state, outcome = query.choice("state", INSTANCE_STATES), query.choice("outcome", OUTCOMES)
    task, schedule, tag = query.text("task"), query.text("schedule"), query.text("tag")
    since, until = query.instant("since"), query.instant("until")
    limit, cursor = query.limit(), query.cursor()
    query.close()
    states = {one for one in (state, outcome) if one is not None}
    if len(states) > 1:
        return show.respond(show.page([], None))  # no instance is in two states
    wanted = queries.Filter(task, schedule, tuple(states), tag, since, until)
    page = await site().read(queries.list_instances, wanted, limit, cursor, PAGE_BYTES)
    return show.respond(show.page([show.instance(item) for item in page.items], page.next))


@instances.post("/v1/instances")
@documented(_STARTED, body=bodies.Start, waits=True, headers=_PLACED, problems=(404, 409))
async def start() -> Response:
    """Start an instance now."""
    no_query()
    document = await body_object()
    name = document.get("task")
    if isinstance(name, str) and name not in site().tasks:
        raise Unknown("task", name)
    wanted = read_start(site().tasks, document)
    command = StartInstances((wanted,))
    return await finished(await site().change(command, lambda ids: accepted(ids[0], wanted.task), starts=True))


@instances.post("/v1/instances/batch")
@documented({202: models.BatchStarted}, body=bodies.StartBatch, problems=(409,))
async def start_batch() -> Response:
    """Start up to 10,000 instances, all or none."""
    no_query()
    fields = Fields(await body_object(MAX_BATCH_BODY))
    wanted: tuple[Start, ...] = ()
    try:
        wanted = await read_starts(site().tasks, fields.read("items", lambda value: value))
    except Invalid as error:
        fields.errors.extend(error.errors)
    fields.close()
    return (await site().change(StartInstances(wanted), _all_accepted, starts=True)).response()


@instances.post("/v1/instances/cancel")
@documented({202: models.Count}, body=bodies.CancelMatching)
async def cancel_matching() -> Response:
    """Cancel every unfinished instance of a task, a schedule or a tag."""
    no_query()
    fields = Fields(await body_object())
    task, schedule, tag = (fields.read(name, _text) for name in ("task", "schedule", "tag"))
    why = fields.read("reason", reason)
    if not fields.document.keys() & {"task", "schedule", "tag"}:
        fields.errors.append(FieldError("", "must name a task, a schedule or a tag"))
    fields.close()
    command = CancelInstances(task, schedule, tag, why, caller_at_hand().name)
    return (await site().change(command, lambda count: reply(models.Count(count), 202))).response()


@instances.get("/v1/instances/<name>")
@documented({200: models.Instance})
async def get(name: str) -> Response:
    """Look an instance up as the TIPMan does: in memory it runs, in the database it is over, else there is none."""
    no_query()
    return show.respond(await whole_instance(instance_id(name)))


@instances.post("/v1/instances/<name>/cancel")
@documented({200: models.Instance, 202: models.Instance}, body=bodies.CancelReason, optional=True)
async def cancel(name: str) -> Response:
    """Cancel an instance; 200 when it is over already."""
    no_query()
    wanted = instance_id(name)
    fields = Fields(await body_object(optional=True))
    why = fields.read("reason", reason)
    fields.close()
    command = CancelInstance(wanted, why, caller_at_hand().name)
    ordered = await site().change(command, lambda ordered: Reply(202 if ordered else 200))
    return ordered.showing(await whole_instance(wanted)).response()


@instances.post("/v1/instances/<name>/rerun")
@documented(_STARTED, body=bodies.Nothing, optional=True, waits=True, headers=_PLACED, problems=(409,))
async def rerun(name: str) -> Response:
    """Start a new instance with the same task and input."""
    no_query()
    Fields(await body_object(optional=True)).close()
    command = RerunInstance(instance_id(name))
    return await finished(await site().change(command, lambda started: accepted(started, None), starts=True))


@instances.get("/v1/instances/<name>/outputs")
@documented({200: (models.Page[models.Output], STREAM), 204: None}, query=PAGED)
async def outputs(name: str) -> Response:
    """Return what an instance sent, in order."""
    if wants_stream():
        return await _follow(name, "output", queries.outputs_after, show.output)
    return await _said(name, queries.list_outputs, show.output)


@instances.get("/v1/instances/<name>/log")
@documented({200: (models.Page[models.LogLine], STREAM), 204: None}, query=PAGED)
async def log(name: str) -> Response:
    """Return what an instance logged, in order."""
    if wants_stream():
        return await _follow(name, "log", queries.log_after, show.log_line)
    return await _said(name, queries.list_log, show.log_line)


@instances.get("/v1/instances/<name>/stack")
@documented({200: models.Stack})
async def stack(name: str) -> Response:
    """Tell where an instance stands in its code right now."""
    no_query()
    wanted = instance_id(name)
    frames = await ask(site().engine.tipman, partial(StackOf, wanted))
    if frames is None:
        await site().read(queries.get_instance, wanted)
    return show.respond(models.Stack(frames is not None, frames or []))


async def _said(name: str, query: Any, representation: Any) -> Response:
    asked = Query()
    limit, cursor = asked.limit(), asked.cursor()
    asked.close()
    page: Page[Any] = await site().read(query, instance_id(name), limit, cursor, PAGE_BYTES)
    return show.respond(show.page([representation(item) for item in page.items], page.next))


async def _follow(name: str, kind: str, query: Any, representation: Any) -> Response:
    """Follow what an instance says; 204 tells a client that comes back after the end that this was all."""
    asked = Query()
    cursor, seen = asked.cursor(), last_event_id()
    asked.close()
    wanted = instance_id(name)
    await site().read_for_stream(queries.get_instance, wanted)
    if seen == "end":
        return Reply(204).response()
    after = queries.seq_after(cursor) if seen is None else position_of(seen)
    return stream(SaidStream(site(), wanted, kind, query, representation, after))


def _all_accepted(started: list[UUID]) -> Reply:
    return reply(
        models.BatchStarted([models.Started(id=one, uri=show.instance_uri(one)) for one in map(str, started)]), 202
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or len(value) > 512:
        raise ValueError("must be a text")
    return value
