"""When a request is sent again, and after how long: never when that could do something twice."""

import random
from typing import Any

from attrs import frozen

from callsheet.client.call import Call
from callsheet.client.errors import ClientError, RateLimited, Refused, Unavailable, Unreachable

AGAIN = (502, 503, 504)


@frozen
class Patience:
    """How often, and how long, to try again."""

    tries: int = 4
    first: float = 0.2  # seconds before the second try, doubled for each further one
    most: float = 30.0  # a longer Retry-After is not waited for

    def pause(self, call: Call[Any], tried: int, error: ClientError, *, keyed: bool) -> float | None:
        """Return the seconds to wait before the next try, None to give up; `keyed`: it had an Idempotency-Key."""
        if tried >= self.tries or not call.patient or not _may_repeat(call, error, keyed):
            return None
        wanted = getattr(error, "retry_after", None)
        if wanted is not None:
            return float(wanted) if wanted <= self.most else None
        return self.backoff(tried)

    def backoff(self, tried: int) -> float:
        """Return the pause after so many tries: longer each time, and not the same for everybody."""
        return float(min(self.first * 2 ** min(tried - 1, 20), self.most) * random.uniform(0.5, 1))  # noqa: S311


def _may_repeat(call: Call[Any], error: ClientError, keyed: bool) -> bool:
    if isinstance(error, RateLimited):
        return True  # it was turned away at the door
    if isinstance(error, Unreachable):
        return not error.sent or call.repeatable or keyed
    return isinstance(error, Unavailable) and error.status in AGAIN and (call.repeatable or keyed)


def knows_no_keys(error: ClientError) -> bool:
    """Tell whether a service refused an Idempotency-Key because it does not have such a thing."""
    return isinstance(error, Refused) and error.status == 501
