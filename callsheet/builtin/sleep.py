"""`sleep`: does nothing for a while; the smallest task, and good for trying things out."""

from typing import Annotated

import trio
from msgspec import Meta, Struct

from callsheet import Out, task

YEAR = 365 * 86_400


class Sleep(Struct, forbid_unknown_fields=True):
    """Sleep for some seconds."""

    seconds: Annotated[float, Meta(ge=0, le=YEAR, description="How long, in seconds")]


@task
async def sleep(_in: Sleep, out: Out[float]) -> None:
    """Sleep, then send how many seconds it really took."""
    start = trio.current_time()
    await trio.sleep(_in.seconds)
    await out.send(trio.current_time() - start)
