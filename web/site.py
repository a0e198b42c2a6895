"""What the views have in hand: the engine to tell, the database to read, and nothing else."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

import trio
from attrs import field, frozen
from quart import current_app, request

from actors.inbox import order
from actors.supervisor import Engine
from callsheet.apart import Simulator
from callsheet.clock import Clock
from callsheet.errors import CallsheetError, Unavailable
from callsheet.figures import SHORT, Histogram
from callsheet.tasks import Registry
from storage.database import Database
from storage.door import Door
from storage.journal.commands import Command
from web.traffic import Traffic

T = TypeVar("T")

ANSWER = 25.0  # seconds that a client waits for a commit before it is told that nobody knows


class NotYet(CallsheetError):
    """The request relies on something that is not there yet."""

    status = 501
    kind = "not-there-yet"
    title = "That is not there yet"


@frozen
class Site:
    """Everything a view may use."""

    engine: Engine
    database: Database
    door: Door
    tasks: Registry
    clock: Clock
    node: str
    lag: Callable[[], float]  # seconds by which the event loop was late lately
    lags: Histogram = field(factory=partial(Histogram, SHORT))  # of the loop, since the start (seconds)
    traffic: Traffic = field(factory=Traffic)
    max_running: int | None = None  # of all tasks together
    simulator: Simulator = field(factory=Simulator)

    async def read(self, query: Callable[..., T], *args: Any, **options: Any) -> T:
        """Run a query; the first argument it gets is the database."""
        return await self.door.read(lambda: query(self.database, *args, **options))

    async def order(self, command: Command, *, starts: bool = False) -> Any:
        """Have a change written down; one that starts work is refused while the service stops."""
        if "Idempotency-Key" in request.headers:
            raise NotYet("Idempotency-Key is not there yet: without it, a request that is sent twice is done twice.")
        if starts and not self.engine.takes_orders:
            raise Unavailable("The service is stopping and starts nothing new.")
        with trio.move_on_after(ANSWER):
            return await order(self.engine.bus, command)
        raise Unavailable("The database has not answered yet: whether this was done is not known.")


def site() -> Site:
    """Return the site of the request at hand."""
    return cast("Site", current_app.config["SITE"])
