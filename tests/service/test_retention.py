"""A real process whose history comes and goes."""

from pathlib import Path
from typing import Any

import pytest

TASKS = """
@task
async def hello(_in: None, out: Out[str]) -> None:
    await out.send("hello")
"""
ROUNDS, BATCH = 5, 10_000  # the first three still fill the caches of the database's connections
ROOM = 8 * 1024  # KiB


def memory(service: Any) -> int:
    """Return the resident memory of a service in KiB."""
    lines = Path(f"/proc/{service.process.pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS:")))


def ended(service: Any) -> bool:
    """Tell whether nothing runs or waits."""
    stats = service.get("/v1/stats").body
    return stats["running"] == stats["queued"] == 0


@pytest.mark.timeout(180)
def test_memory_stays_flat_while_history_comes_and_goes(launch: Any, until: Any) -> None:
    service = launch("--keep-for", "5s", "--keep-events", "5s", tasks=TASKS)
    after: list[int] = []
    for _ in range(ROUNDS):
        items = [{"task": "hello"}] * BATCH
        assert service.post("/v1/instances/batch", {"items": items}).status == 202
        until(lambda: ended(service), 60)
        after.append(memory(service))

    assert after[-1] <= after[-2] + ROOM, after
    until(lambda: not service.get("/v1/instances?limit=1")["items"], 60)
    assert service.stop() == 0


def test_what_retention_took_is_not_found_any_more(launch: Any, until: Any) -> None:
    service = launch("--keep-for", "1s", tasks=TASKS)
    first = service.start("hello")
    page = service.get("/v1/instances?limit=1")
    until(lambda: service.get(first).status == 404)

    for path in ("outputs", "log", "stack"):
        assert service.get(f"{first}/{path}").status == 404
    for order in ("cancel", "rerun"):
        assert service.post(f"{first}/{order}").status == 404
    assert page["items"][0]["uri"] == first
    assert service.get("/v1/instances").body == {"items": [], "next": None}
