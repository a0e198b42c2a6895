"""/v1/simulate: what would happen, with nothing changed."""

from typing import Any

from quart import Blueprint, Response

from callsheet import bodies, models
from callsheet.definition import check_positive
from callsheet.instants import parse_duration
from callsheet.simulation import check_resolution, check_seed, check_span, read_durations, read_schedules
from storage.queries.simulation import make_plan
from web.asking import Fields, body_object, instant, no_query
from web.documented import documented
from web.site import site

simulation = Blueprint("simulation", __name__)


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
    seed = fields.read("seed", check_seed) or 0
    resolution = fields.read("resolution", check_resolution)
    most = fields.read("max_running", check_positive) if "max_running" in fields.document else here.max_running
    given = fields.read("durations", read_durations) or {}
    tried = fields.read("schedules", lambda value: read_schedules(value, here.tasks, start)) or {}
    fields.close()
    assert end is not None
    check_span(start, end)
    plan = await here.read(
        make_plan, here.tasks, start=start, end=end, seed=seed, resolution=resolution, max_running=most, given=given,
        tried=tried,
    )  # fmt: skip
    return Response(await here.simulator.run(plan, here.engine.stopped), 200, content_type="application/json")


def _end(value: Any, start: int) -> int:
    """Read an instant, or how long after the start that is."""
    if isinstance(value, str) and "T" in value.upper():
        return instant(value)
    try:
        return start + parse_duration(value)
    except ValueError:
        raise ValueError('must be an RFC 3339 time with an offset, or a duration like "7d" after from') from None
