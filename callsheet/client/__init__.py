"""The client: `Client` blocks, `AsyncClient` awaits, under Trio as well as asyncio; both raise the errors here.

The names are loaded when first used: an HTTP library takes longer to load than most commands to run.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callsheet.client.aio import AsyncClient
    from callsheet.client.errors import (
        ClientError,
        Conflict,
        Forbidden,
        Gone,
        Invalid,
        NotFound,
        PreconditionFailed,
        RateLimited,
        Refused,
        Unauthorized,
        Unavailable,
        Unreachable,
        WaitTimeout,
    )
    from callsheet.client.finished import Finished, RunFailed
    from callsheet.client.sync import Client
    from callsheet.client.values import Event

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "Conflict",
    "Event",
    "Finished",
    "Forbidden",
    "Gone",
    "Invalid",
    "NotFound",
    "PreconditionFailed",
    "RateLimited",
    "Refused",
    "RunFailed",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "WaitTimeout",
]

_MODULES = {"AsyncClient": "aio", "Client": "sync", "Finished": "finished", "RunFailed": "finished", "Event": "values"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'callsheet.client' has no attribute {name!r}")
    return getattr(importlib.import_module(f"callsheet.client.{_MODULES.get(name, 'errors')}"), name)
