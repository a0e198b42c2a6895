"""Three schedules to look at, one for each built-in task; they work offline."""

import logging

import trio

from actors.inbox import order
from actors.messages import Order
from callsheet.errors import Refused, Unavailable
from callsheet.logs import told
from storage.journal.commands import PutSchedule

log = logging.getLogger("callsheet.demo")


async def add(bus: trio.MemorySendChannel[Order], url: str) -> None:
    """Add the demo's schedules; those that are there already stay as they are."""
    for slug, document in demo_schedules(url).items():
        try:
            await order(bus, PutSchedule(slug, document, create_only=True))
        except Refused:
            log.debug("the schedule %s stays as it is", slug, extra=told("demo.kept", schedule=slug))
        except Unavailable as error:
            log.warning("the schedule %s was not added: %s", slug, error, extra=told("demo.not_added", schedule=slug))


def demo_schedules(url: str) -> dict[str, dict[str, object]]:
    """Return the demo's schedules by id; `url` is our own address."""
    return {
        "demo-counter": {"task": "counter", "input": {"by": 1}, "trigger": {"every": "2s"}, "tags": ["demo"]},
        "demo-sleep": {"task": "sleep", "input": {"seconds": 4}, "trigger": {"every": "3s"}, "tags": ["demo"]},
        "demo-http": {
            "task": "http_get", "input": {"url": f"{url}/livez"}, "trigger": {"every": "5s"}, "tags": ["demo"],
        },
    }  # fmt: skip
