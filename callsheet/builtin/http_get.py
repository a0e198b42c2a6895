"""The task `http_get`: fetch one address, and tell its status and how long it took.

Whoever may start a task chooses where this process connects to: `fetching.py` sees to it that it goes nowhere else.
"""

from math import inf
from typing import Annotated

import msgspec

from callsheet import Out, task

MOST_SECONDS = 30.0


class Get(msgspec.Struct, forbid_unknown_fields=True):
    """Fetch one address."""

    url: Annotated[str, msgspec.Meta(pattern="^https?://", max_length=2048)]


class Reply(msgspec.Struct):
    """The HTTP status, and the seconds until the body was read (at most 1 MiB of it)."""

    status: int
    seconds: float


@task(timeout="30s")
async def http_get(_in: Get, out: Out[Reply]) -> None:
    """Fetch one address with GET; an HTTP error status is a result, too."""
    # A fifth of all imports, which the service has loaded and simulations never need.
    from callsheet.builtin.fetching import fetch  # noqa: PLC0415

    # Whoever set another timeout meant it; our own limit is for attempts without any.
    await out.send(await fetch(_in.url, within=MOST_SECONDS if out.deadline == inf else inf))
