"""What the web counts of itself: connections, requests by route, and how long they took."""

import time
from collections import Counter
from functools import partial
from typing import Any

from attrs import define, field
from quart import Quart, Response, g, request

from callsheet.figures import SHORT, Histogram


@define
class Traffic:
    """Counts since the start of the process."""

    connections: set[Any] = field(factory=set)  # those that are open now
    requests: Counter[tuple[str, str, str]] = field(factory=Counter)  # method, route, status
    seconds: Histogram = field(factory=partial(Histogram, SHORT))

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer."""
        self.requests[method, route, str(status)] += 1
        self.seconds.add(seconds)


def install(app: Quart, traffic: Traffic) -> None:
    """Count every request to `app`: install it first, so that what the others take is counted, too."""

    @app.before_request
    async def begin() -> None:
        g.began = time.perf_counter()

    @app.after_request
    async def note(response: Response) -> Response:
        rule = request.url_rule
        route = "none" if rule is None else rule.rule  # never the path: anybody could make up new ones
        method = request.method if rule is not None else "any"
        traffic.count(method, route, response.status_code, time.perf_counter() - g.began)
        return response
