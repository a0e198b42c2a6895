"""/v1/simulate: what would happen, with nothing changed."""

from typing import Any

from quart import Blueprint, Response

from callsheet import bodies, models
from callsheet.definition import Definition, check_positive, check_slug, define
from callsheet.errors import FieldError, Invalid
from callsheet.instants import MINUTE, parse_duration
from callsheet.simulation import check_span, read_durations
from storage.queries.simulation import make_plan
from web.asking import Fields, body_object, instant, no_query
from web.documented import documented
from web.site import Site, site

simulation = Blueprint("simulation", __name__)

_MOST_SEED = 2**53


@simulation.post("/v1/simulate")
@documented({200: models.Simulation}, body=bodies.Simulate, changes=False)
async def simulate() -> Response:
    """Simulate what is planned, or what would be."""
    no_query()
    here = site()
    fields = Fields(await body_object())
    start = fields.read("from", instant)
    start = here.clock.now() if start is None else start
    end = fields.read("to", lambda value: _end(value, start), required=True)
    seed = fields.read("seed", _seed) or 0
    resolution = fields.read("resolution", _resolution)
    most = fields.read("max_running", check_positive) if "max_running" in fields.document else here.max_running
    given = fields.read("durations", read_durations) or {}
    tried = fields.read("schedules", lambda value: _tried(value, here, start)) or {}
    fields.close()
    assert end is not None
    check_span(start, end)
    plan = await here.read(
        make_plan, here.tasks, start=start, end=end, seed=seed, resolution=resolution, max_running=most, given=given,
        tried=tried,
    )  # fmt: skip
    return Response(await here.simulator.run(plan), 200, content_type="application/json")


def _end(value: Any, start: int) -> int:
    """Read an instant, or how long after the start that is."""
    if isinstance(value, str) and "T" in value.upper():
        return instant(value)
    try:
        return start + parse_duration(value)
    except ValueError:
        raise ValueError('must be an RFC 3339 time with an offset, or a duration like "7d" after from') from None


def _seed(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_SEED:
        raise ValueError("must be a whole number from 0 to 2^53")
    return value


def _resolution(value: Any) -> int:
    resolution = parse_duration(value)
    if resolution > MINUTE:
        raise ValueError("must be at most one minute")
    return resolution


def _tried(value: Any, here: Site, start: int) -> dict[str, Definition]:
    """Check documents of schedules by id; Invalid lists what is wrong with any of them."""
    if not isinstance(value, dict):
        raise Invalid(FieldError("", "must be an object: ids of schedules, and their documents"))
    found: dict[str, Definition] = {}
    errors: list[FieldError] = []
    for name, document in value.items():
        pointer = "/" + name.replace("~", "~0").replace("/", "~1")
        try:
            check_slug(name, "")
            found[name] = define(document, here.tasks, now=start)
        except Invalid as error:
            errors.extend(error.under(pointer).errors)
    if errors:
        raise Invalid(*errors)
    return found
