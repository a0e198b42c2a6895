"""/metrics: what the service counts of itself, for Prometheus."""

from typing import Final

import trio
from attrs import frozen
from quart import Blueprint, Response

from actors.inbox import ask
from actors.messages import Attendance, RollCall
from actors.meter import Meter
from callsheet.errors import Unavailable
from callsheet.figures import Histogram
from storage.database import Database
from storage.queries.instances import count_queued
from storage.queries.schedules import count_schedules
from storage.queries.webhooks import count_messages
from web.asking import no_query
from web.documented import documented
from web.site import Site, site

metrics = Blueprint("metrics", __name__)

PATIENCE: Final = 2.0  # seconds for the database and the TIPMan: a scrape has 10, and what does not answer is left out


@frozen
class Snapshot:
    """All that one scrape tells, copied: nothing of it changes any more."""

    meter: Meter
    database: str
    ready: bool
    attendance: Attendance | None  # None: it could not be found out in time
    schedules: dict[str, int] | None
    queued: int | None
    messages: int | None
    audited: int  # rows
    broken: dict[str, int]  # kind -> how many
    streams: int
    queues: dict[str, tuple[int, float]]  # name -> depth and room
    calls: dict[str, int]
    lags: Histogram
    connections: int
    requests: dict[tuple[str, str, str], int]
    seconds: Histogram


@metrics.get("/metrics")
@documented({200: "text/plain"})
async def show_metrics() -> Response:
    """Return the metrics in the text format of Prometheus."""
    no_query()
    snapshot = await _take(site())
    text, kind = await trio.to_thread.run_sync(_render, snapshot)
    return Response(text, content_type=kind)


async def _take(here: Site) -> Snapshot:
    engine, traffic = here.engine, here.traffic
    attendance = schedules = queued = messages = None
    with trio.move_on_after(PATIENCE):
        try:
            attendance = await ask(engine.tipman, RollCall)
            schedules, queued, messages = await here.read(_counts)
        except Unavailable:
            pass  # the gauges that are missing tell that; the counters are worth having all the more
    return Snapshot(
        meter=engine.meter.copy(),
        database=here.database.dialect.name,
        ready=engine.takes_orders and engine.health.storage is None,
        attendance=attendance,
        schedules=schedules,
        queued=queued,
        messages=messages,
        audited=engine.audit.rows,
        broken=dict(engine.audit.broken),
        streams=here.streams.open,
        queues={name: _depth(channel) for name, channel in engine.queues.items()},
        calls=here.door.waiting(),
        lags=here.lags.copy(),
        connections=len(traffic.connections),
        requests=dict(traffic.requests),
        seconds=traffic.seconds.copy(),
    )


def _counts(database: Database) -> tuple[dict[str, int], int, int]:
    return count_schedules(database), count_queued(database), count_messages(database)


def _depth(channel: "trio.MemorySendChannel[object]") -> tuple[int, float]:
    found = channel.statistics()
    return found.current_buffer_used, found.max_buffer_size


def _render(snapshot: Snapshot) -> tuple[bytes, str]:
    from web.exposition import render  # noqa: PLC0415 - 50 ms of imports that only those who scrape need

    return render(snapshot)
