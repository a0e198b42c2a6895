"""`Prefer: wait` (RFC 7240): an answer that waits for the instance to be over, if that is soon enough."""

import re
from contextlib import suppress
from functools import partial
from uuid import UUID

from quart import Response, request

from callsheet import models
from callsheet.errors import Unknown
from storage.queries import instances as queries
from web import representations as show
from web.replies import Reply
from web.site import Site, site

LONGEST_WAIT = 60  # seconds


async def whole_instance(wanted: UUID) -> models.Instance:
    """Return an instance with its first outputs."""
    return await instance_as_seen(site(), wanted)


async def instance_as_seen(here: Site, wanted: UUID) -> models.Instance:
    """Return an instance with its first outputs, as the TIPMan and the database know it."""
    found = await here.looks.ask(wanted)
    if found is None:
        raise Unknown("instance", wanted)
    return show.instance_whole(*found)


async def finished(started: Reply) -> Response:
    """Answer 200 with the instance that was started once it is over, if the client prefers to wait; else as it is."""
    seconds = preferred_wait()
    if not seconds:
        return started.response()
    wanted = UUID(started.headers["Location"].rpartition("/")[2])
    answer = started
    with suppress(Unknown):  # a request that comes again after its instance was cleared away
        if await site().room.wait(wanted, seconds, partial(_is_over, wanted)):
            answer = started.showing(await whole_instance(wanted), 200)
    response = answer.response()
    response.headers["Preference-Applied"] = f"wait={seconds}"
    return response


def preferred_wait() -> int | None:
    """Return the seconds of the first `wait` in Prefer, at most LONGEST_WAIT; what cannot be understood is ignored."""
    for preference in ",".join(request.headers.getlist("Prefer")).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            found = re.fullmatch(r"[0-9]{1,9}", value.strip().strip('"'), re.ASCII)
            return min(int(found[0]), LONGEST_WAIT) if found else None
    return None


async def _is_over(wanted: UUID) -> bool:
    record = await site().read(queries.get_instance, wanted)
    return record.outcome is not None
