"""What a forked child must not keep: a lock or a port that outlives us would keep our successor from starting."""

import os
import weakref
from contextlib import suppress
from typing import Protocol


class Closable(Protocol):
    """A file or a socket."""

    def fileno(self) -> int:
        """Return its descriptor, negative or a ValueError once it is closed."""


_ours: weakref.WeakSet[Closable] = weakref.WeakSet()


def close_in_children(resource: Closable) -> None:
    """Close this in every child that a task forks, as multiprocessing does; programs it runs get nothing anyway."""
    _ours.add(resource)


def _close_all() -> None:
    for resource in list(_ours):
        with suppress(OSError, ValueError):
            os.close(resource.fileno())


os.register_at_fork(after_in_child=_close_all)
