"""How a service comes to have very many schedules: by batches through its API."""

import time
from pathlib import Path

from benchmarks.client import encode
from benchmarks.schedules import once
from benchmarks.service import serving

ROUTE = "/v1/schedules/batch"
BATCH = 10_000  # schedules in one request


def seed(folder: Path, count: int, first: int) -> float:
    """Make `count` schedules that are each due once, from the instant `first` on; gives how many a second."""
    seconds = 0.0
    with serving(folder) as service:
        for start in range(0, count, BATCH):
            documents = once(range(start, min(start + BATCH, count)), first)
            body = encode({"items": [{"id": name, **rest} for name, rest in documents.items()]})
            began = time.perf_counter()
            service.client.ask("POST", ROUTE, body)
            seconds += time.perf_counter() - began
    return count / seconds
