"""callsheet, a scheduler service: all that authors of tasks, and of programs that start some, need to import.

The names are loaded when first used, so that `callsheet --help` does not wait for Trio.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callsheet.client import AsyncClient, Client
    from callsheet.embedded import Engine, engine
    from callsheet.tasks import Out, Result, Retry, SyncOut, Task, run, run_sync, task

__version__ = "0.1.0"
__all__ = [
    "AsyncClient", "Client", "Engine", "Out", "Result", "Retry", "SyncOut", "Task", "__version__", "engine", "run",
    "run_sync", "task",
]  # fmt: skip

_MODULES = {
    "AsyncClient": "callsheet.client",
    "Client": "callsheet.client",
    "Engine": "callsheet.embedded",
    "engine": "callsheet.embedded",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'callsheet' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES.get(name, "callsheet.tasks")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
