"""When a failed attempt is tried again, and how long it waits before that."""

from attrs import frozen

from callsheet.instants import parse_duration

_MANY = 10_000


@frozen(init=False)
class Retry:
    """`count` more attempts, waiting longer each time from the `first` to the `longest` backoff.

    `backoff` is a range ("1s..30s") or one duration ("5s"); `first` and `longest` are in
    microseconds. With `on`, only these exceptions are worth another attempt.
    """

    count: int
    first: int
    longest: int
    on: tuple[type[BaseException], ...] | None

    def __init__(
        self,
        count: int,
        backoff: str | float = "1s..30s",
        on: type[BaseException] | tuple[type[BaseException], ...] | None = None,
    ) -> None:
        first, longest = _range(backoff)
        self.__attrs_init__(_count(count), first, longest, _exceptions(on))

    def delay(self, attempt: int, random: float) -> int:
        """Give the wait in microseconds after the failed `attempt` (from 1); `random` is in 0..1.

        The wait is drawn from the upper half of a range that doubles with each attempt, so that
        what failed together does not come back together.
        """
        most = min(self.longest, self.first * (1 << min(attempt, 64)))
        least = max(self.first, most // 2)
        return least + round((most - least) * random)

    def retries_on(self, exception: BaseException) -> bool:
        """Whether this failure is one to try again after; of a group, every member must be."""
        if self.on is None:
            return True
        if isinstance(exception, BaseExceptionGroup) and not isinstance(exception, self.on):
            return all(self.retries_on(member) for member in exception.exceptions)
        return isinstance(exception, self.on)


def _count(count: object) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= _MANY:
        raise ValueError(f"retries must be a whole number from 0 to {_MANY}, got {count!r}")
    return count


def _range(backoff: str | float) -> tuple[int, int]:
    ends = backoff.split("..", 1) if isinstance(backoff, str) else [backoff]
    try:
        first, longest = parse_duration(ends[0]), parse_duration(ends[-1])
    except ValueError as error:
        raise ValueError(f"backoff {backoff!r} {error}") from None
    if first > longest:
        raise ValueError(f"backoff {backoff!r} must go from the shorter to the longer")
    return first, longest


def _exceptions(on: object) -> tuple[type[BaseException], ...] | None:
    if on is None:
        return None
    types = on if isinstance(on, tuple) else (on,)
    if not all(isinstance(type_, type) and issubclass(type_, BaseException) for type_ in types):
        raise TypeError(f"on must hold exception types, got {on!r}")
    return types
