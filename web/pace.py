"""How often somebody may do something: a bucket for each, which refills steadily. Pure; the time is passed in."""

from math import ceil

from attrs import define, field, frozen

from callsheet.instants import SECOND

MOST_BUCKETS = 10_000  # that are not full; more are only seen when somebody plays with addresses


@frozen
class Quota:
    """What is left to somebody (seconds): `wait` until the next request is welcome, `full` until all are again."""

    left: int
    wait: float
    full: float

    @property
    def welcome(self) -> bool:
        """Tell whether this request is."""
        return self.wait <= 0


@define
class Pace:
    """`rate` per second, and `burst` at once after a pause."""

    rate: float
    burst: int
    _full_at: dict[str, int] = field(factory=dict)  # when each bucket is full again (microseconds)

    def take(self, who: str, now: int) -> Quota:
        """Take one from the bucket of `who`, unless it is empty."""
        quota = self.look(who, now)
        if not quota.welcome:
            return quota
        if len(self._full_at) >= MOST_BUCKETS:
            self._tidy(now)
        self._full_at[who] = max(self._full_at.get(who, 0), now) + self._step
        return self.look(who, now, taken=True)

    def look(self, who: str, now: int, *, taken: bool = False) -> Quota:
        """Return what is left to `who`, and take nothing."""
        until_full = max(self._full_at.get(who, 0) - now, 0)
        room = self.burst * self._step - until_full
        wait = 0.0 if taken else max(self._step - room, 0) / SECOND
        return Quota(max(room // self._step, 0), wait, until_full / SECOND)

    @property
    def window(self) -> int:
        """Return the whole seconds in which an empty bucket gets full."""
        return max(ceil(self.burst / self.rate), 1)

    @property
    def _step(self) -> int:
        return max(round(SECOND / self.rate), 1)

    def _tidy(self, now: int) -> None:
        self._full_at = {who: full for who, full in self._full_at.items() if full > now}
        if len(self._full_at) >= MOST_BUCKETS:
            self._full_at.clear()
