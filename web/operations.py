"""/v1/tasks, /v1/nodes, /v1/stats and the probes: what there is, and how it does."""

from msgspec.structs import asdict
from quart import Blueprint, Response

from callsheet import bodies, models
from callsheet.errors import Unknown
from storage.queries import nodes as node_queries
from storage.queries import stats as stat_queries
from storage.queries.reading import decode_cursor, encode_cursor
from web import representations as show
from web.asking import Query, no_query
from web.documented import PAGED, documented
from web.problems import problem
from web.site import site

operations = Blueprint("operations", __name__)

LAG_LIMIT = 10.0  # seconds of a blocked event loop after which the process is not alive


@operations.get("/v1/tasks")
@documented({200: models.Page[models.Task]}, query=PAGED)
async def tasks() -> Response:
    """List the tasks that there are in the code, by name."""
    query = Query()
    limit, cursor = query.limit(), query.cursor()
    query.close()
    after = decode_cursor(cursor, str)[0] if cursor else ""
    names = sorted(name for name in site().tasks if name > after)
    following = encode_cursor(names[limit - 1]) if len(names) > limit else None
    return show.respond(show.page([show.task(site().tasks[name]) for name in names[:limit]], following))


@operations.get("/v1/tasks/<name>")
@documented({200: models.Task})
async def task(name: str) -> Response:
    """Return one task."""
    no_query()
    found = site().tasks.get(name)
    if found is None:
        raise Unknown("task", name)
    return show.respond(show.task(found))


@operations.get("/v1/nodes")
@documented({200: models.Page[models.Node]}, query=PAGED)
async def nodes() -> Response:
    """List the nodes, by boot, newest first."""
    query = Query()
    limit, cursor = query.limit(), query.cursor()
    query.close()
    page = await site().read(node_queries.list_nodes, limit, cursor)
    return show.respond(show.page([show.node(item) for item in page.items], page.next))


@operations.get("/v1/stats")
@documented(
    {200: models.Stats},
    query={"task": bodies.Text, "schedule": bodies.Text, "since": (models.Time, "created then or later")},
)
async def stats() -> Response:
    """Return figures over the history."""
    query = Query()
    wanted = {"task": query.text("task"), "schedule": query.text("schedule"), "since": query.instant("since")}
    query.close()
    return show.respond(models.Stats(**asdict(await site().read(stat_queries.stats, **wanted))))


@operations.get("/livez")
@documented({200: models.Probe})
async def livez() -> Response:
    """Tell whether the process works at all."""
    if site().lag() > LAG_LIMIT:
        return problem(503, "not-alive", "The event loop is blocked", "A task blocks the event loop; see the log.")
    return show.respond(models.Probe("ok"))


@operations.get("/readyz")
@documented({200: models.Probe})
async def readyz() -> Response:
    """Tell whether new work is welcome."""
    engine = site().engine
    if engine.draining:
        return problem(503, "not-ready", "Not ready", "The service is stopping.")
    if not engine.ready:
        return problem(503, "not-ready", "Not ready", "The service is starting.")
    if engine.health.storage is not None:
        return problem(503, "not-ready", "Not ready", str(engine.health.storage))
    return show.respond(models.Probe("ready"))
