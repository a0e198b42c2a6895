"""UUIDv7 ids in strictly rising order, from a time that is passed in (RFC 9562, section 5.7)."""

import random
import threading
from collections.abc import Callable
from functools import partial
from uuid import UUID

Random = Callable[[], int]

_SEQUENCE_BITS = 12  # a fraction of the millisecond, then a counter: ids of one maker never go back
_VERSION = 7 << 76
_VARIANT = 2 << 62
_RANDOM = (1 << 62) - 1


def _seeded() -> Random:
    """Return a generator seeded by the system: ids must not collide, but they are no secrets."""
    return partial(random.Random().getrandbits, 62)  # noqa: S311


class IdMaker:
    """Makes the ids of one process; the birth time of an id is the instant it was made for."""

    def __init__(self, bits: Random | None = None) -> None:
        self._last = 0
        self._random = bits or _seeded()
        self._lock = threading.Lock()

    def make(self, now: int) -> UUID:
        """Return a new id, greater than every earlier one, even if `now` went back."""
        milliseconds, rest = divmod(now, 1000)
        tick = milliseconds << _SEQUENCE_BITS | (rest << _SEQUENCE_BITS) // 1000
        with self._lock:
            self._last = tick = tick if tick > self._last else self._last + 1
        head = tick >> _SEQUENCE_BITS << 80 | _VERSION | (tick & 0xFFF) << 64
        return UUID(int=head | _VARIANT | self._random() & _RANDOM)


def lowest_id(instant: int) -> UUID:
    """Return the least id that can be born at `instant`, for ranges of time over ids."""
    return UUID(int=max(instant, 0) // 1000 << 80 | _VERSION | _VARIANT)
