"""Schedules put through the API, by several clients at once."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any

from benchmarks.client import Client, encode
from callsheet.instants import format_instant

CLIENTS = 32

Documents = dict[str, dict[str, Any]]


def every_second(count: int, anchor: int | None = None, step: int = 0) -> Documents:
    """Return schedules that fire each second: when in it is left to chance, or set by an anchor, each `step` later."""
    return {
        f"tick-{number}": {"task": "noop", "input": None, "trigger": _trigger(anchor, number * step)}
        for number in range(count)
    }


def _trigger(anchor: int | None, later: int) -> dict[str, str]:
    return {"every": "1s"} | ({} if anchor is None else {"anchor": format_instant(anchor + later)})


def once(numbers: range, first: int) -> Documents:
    """Return schedules that are due once, a millisecond after each other, number 0 at an instant."""
    return {
        f"once-{number}": {"task": "noop", "input": None, "trigger": {"at": format_instant(first + number * 1000)}}
        for number in numbers
    }


def put(port: int, documents: Documents) -> tuple[dict[str, Any], float]:
    """Put all; gives what the service made of each, and how many it took a second."""
    items = iter(documents.items())
    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        parts = list(pool.map(partial(_put_some, port), [items] * CLIENTS))
    rate = len(documents) / (time.perf_counter() - began)
    return {name: record for part in parts for name, record in part.items()}, rate


def _put_some(port: int, items: Iterator[tuple[str, Any]]) -> dict[str, Any]:
    """Put what is left of the schedules, one by one."""
    with closing(Client(port)) as client:
        return {name: client.ask("PUT", f"/v1/schedules/{name}", encode(document)) for name, document in items}
