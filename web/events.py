"""/v1/events: every committed fact, as pages or as a stream."""

import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Annotated
from uuid import UUID

from msgspec import Meta
from quart import Blueprint, Response

from callsheet import bodies, models
from callsheet.errors import Unknown
from storage.database import Database
from storage.journal.facts import EVENTS
from storage.queries.events import Extent, Wanted, extent, last_event, read_events
from web import representations as show
from web.asking import Query, instance_id
from web.documented import PAGED, STREAM, documented
from web.site import site
from web.streams import EventStream, last_event_id, position_of, stream, wants_stream

events = Blueprint("events", __name__)

MOST_TYPES = 50
_TYPE = re.compile(r"[a-z_]+\.([a-z_]+|\*)", re.ASCII)


@events.get("/v1/events")
@documented(
    {200: (models.Page[models.Event], STREAM)},
    query={
        "after": (Annotated[int, Meta(ge=0)], "an id: what came later"),
        "types": (bodies.Text, "such as `instance.ended,due.*`"),
        "schedule": bodies.Text,
        "instance": (bodies.Text, "its id or URI"),
        **PAGED,
    },
    problems=(410,),
)
async def index() -> Response:
    """Tell what happened after an id, in order: a page of it, or all of it and what is still to come."""
    query = Query()
    after = query.number("after")
    wanted = Wanted(query.items("types", _type, MOST_TYPES), query.text("schedule"), query.checked("instance", _id))
    if wants_stream():
        query.close()
        return await _stream(wanted, after)
    limit, cursor = query.limit(), query.number("cursor")
    query.close()
    begin = after if cursor is None else cursor
    page = await site().read(read_events, wanted, begin or 0, limit, checked=True)
    return show.respond(show.page([show.event(item) for item in page.items], str(page.upto) if page.more else None))


async def _stream(wanted: Wanted, after: int | None) -> Response:
    """Begin after the id that the client saw last, else after `after`, else now."""
    seen = last_event_id()
    if seen is not None:
        after = position_of(seen)
    begin = await site().read_for_stream(_beginning, after)
    return stream(EventStream(site(), wanted, begin))


def _beginning(database: Database, after: int | None) -> int:
    if after is None:
        return last_event(database)
    reach: Extent = extent(database)
    reach.check(after)
    return after


def with_families(types: Iterable[str]) -> frozenset[str]:
    """Return types of events, and the families that they are of: `instance.ended`, `instance.*`."""
    named = frozenset(types)
    return named | {f"{kind.partition('.')[0]}.*" for kind in named}


def check_event(name: str, known: Collection[str]) -> str:
    """Check a type of events, or a family of them: one that is mistyped would never come, and nobody would notice."""
    if name not in known:
        near = get_close_matches(name, known, 1)
        raise ValueError(f"there is no event {name!r}" + (f"; did you mean {near[0]}?" if near else ""))
    return name


_KNOWN = with_families(EVENTS)


def _type(text: str) -> str:
    if not _TYPE.fullmatch(text):
        raise ValueError("must be types like instance.ended, or families like instance.*")
    return check_event(text, _KNOWN)


def _id(text: str) -> UUID:
    try:
        return instance_id(text.removeprefix("/v1/instances/"))
    except Unknown:
        raise ValueError("must be the id of an instance, or its URI") from None
