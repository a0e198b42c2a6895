"""Looking at one instance, which is what is asked most: who looks at the same time shares a question and a reading."""

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from actors.inbox import ask
from actors.messages import Sighting, WhereAre
from actors.supervisor import Engine
from storage.database import Database
from storage.door import Door
from storage.queries.instances import get_whole
from storage.records import InstanceRecord
from web.together import Together

MOST = 4 * 1024 * 1024  # characters, or so, of all that is read at once

Seen = tuple[InstanceRecord, list[str], Sighting | None]
"""An instance, what it sent first, and what only memory knows while it runs."""


def looks_at(engine: Engine, database: Database, door: Door) -> Together[UUID, Seen | None]:
    """Return whom to ask for an instance; None is one that is not there."""

    async def look(wanted: Sequence[UUID]) -> list[Seen | None]:
        # in this order: what ends between the two is in the database
        seen = await ask(engine.tipman, partial(WhereAre, tuple(wanted)))
        found = await door.read(get_whole, database, wanted, MOST)
        return [one and (*one, sighting) for one, sighting in zip(found, seen, strict=False)]

    return Together(look)
