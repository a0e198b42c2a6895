"""A load of HTTP requests on kept-alive connections, from one process that costs little: raw sockets, no library.

    python benchmarks/load.py --port 8080 --requests FILE [--connections 32] [--seconds 5] [--warm-up 1]

FILE holds a JSON list of requests, each a list of method, path and body (null: none); the connections take turns
through it. Each connection sends its next request when the answer to the one before is complete. The last line of the
output is JSON: requests a second, latencies in milliseconds, and how much of a core the load itself took, which should
be well below one, or it was the load that was measured.
"""

import argparse
import json
import os
import select
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import Any

READ = 256 * 1024
PATIENCE = 30.0  # seconds without any answer


def encode(method: str, path: str, body: str | None = None) -> bytes:
    """Return a request as it goes over the wire."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if body is None:
        return f"{head}\r\n".encode()
    raw = body.encode()
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw


def length_of(answer: bytes) -> int | None:
    """Return how long an answer is in all, None while its head is not complete; RuntimeError unless it is a 2xx."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return None
    if answer[9:10] != b"2":
        raise RuntimeError(f"not what was asked for: {answer[:300].decode(errors='replace')}")
    head = answer[:end].lower()
    start = head.find(b"\r\ncontent-length:")
    if start < 0:
        raise RuntimeError("an answer without a Content-Length")
    return end + 4 + int(head[start + 17 :].split(b"\r\n", 1)[0])


class Connection:
    """One connection: what it has read of the answer that it waits for, and since when it waits."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.since = 0.0
        self.is_last = False
        self._port, self._read = port, b""

    def renew(self) -> None:
        """Connect again, under the same file descriptor: a server gives a connection only so many answers."""
        with socket.create_connection(("127.0.0.1", self._port)) as fresh:
            os.dup2(fresh.fileno(), self.socket.fileno())
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> None:
        """Send a request; it is small enough for the socket to take it whole."""
        self.since = time.perf_counter()
        self.socket.sendall(request)

    def answered(self) -> bool:
        """Read what has come; True when the answer is complete."""
        part = self.socket.recv(READ)
        if not part:
            raise RuntimeError("the server hung up")
        self._read = self._read + part if self._read else part
        length = length_of(self._read)
        if length is None or len(self._read) < length:
            return False
        if len(self._read) > length:
            raise RuntimeError("more than one answer to a request")
        self.is_last = b"\r\nconnection: close\r\n" in self._read.lower()
        self._read = b""
        return True


def load(port: int, requests: Iterable[bytes], connections: int, warm_up: float, seconds: float) -> dict[str, Any]:
    """Send requests for some seconds after a warm-up; return what came of those that were answered in that time."""
    turns = cycle(requests)
    with ExitStack() as stack:
        every = [Connection(port) for _ in range(connections)]
        for each in every:
            stack.enter_context(each.socket)
        poll = stack.enter_context(select.epoll())
        return _loaded(poll, {each.socket.fileno(): each for each in every}, turns, warm_up, seconds)


def _loaded(
    poll: select.epoll, opened: dict[int, Connection], turns: Iterator[bytes], warm_up: float, seconds: float
) -> dict[str, Any]:
    for number, connection in opened.items():
        poll.register(number, select.EPOLLIN)
        connection.ask(next(turns))
    began = time.perf_counter() + warm_up
    warmed = sum(1 for _ in _answers(poll, opened, turns, began))
    cpu = time.process_time()
    began = time.perf_counter()
    latencies = list(_answers(poll, opened, turns, began + seconds))
    took = time.perf_counter() - began
    return _summed(latencies, took) | {
        "answered_in_all": warmed + len(latencies),
        "load_cpu_share": round((time.process_time() - cpu) / took, 3),
    }


def _answers(
    poll: select.epoll, opened: dict[int, Connection], turns: Iterator[bytes], until: float
) -> Iterator[float]:
    """Give the seconds that each answer took, and send the next request, until it is time."""
    while time.perf_counter() < until:
        ready = poll.poll(PATIENCE)
        if not ready:
            raise RuntimeError(f"no answer for {PATIENCE:g} s")
        for number, _ in ready:
            connection = opened[number]
            if connection.answered():
                took = time.perf_counter() - connection.since
                if connection.is_last:
                    connection.renew()
                    poll.register(number, select.EPOLLIN)  # of the one before, nothing is left
                connection.ask(next(turns))
                yield took


def _summed(latencies: list[float], seconds: float) -> dict[str, Any]:
    ordered = sorted(latencies)
    return {
        "requests": len(ordered),
        "seconds": round(seconds, 3),
        "requests_per_second": round(len(ordered) / seconds, 1),
        "p50_ms": percentile(ordered, 0.5) * 1000,
        "p99_ms": percentile(ordered, 0.99) * 1000,
        "worst_ms": ordered[-1] * 1000 if ordered else 0.0,
    }


def percentile(ordered: list[float], share: float) -> float:
    """Return the value that this share of the values, in rising order, does not exceed; 0 when there are none."""
    return ordered[round((len(ordered) - 1) * share)] if ordered else 0.0


def main() -> None:
    """Send the load that is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--requests", type=Path, required=True)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--warm-up", type=float, default=1.0)
    options = parser.parse_args()
    requests = [encode(*each) for each in json.loads(options.requests.read_text())]
    try:
        found = load(options.port, requests, options.connections, options.warm_up, options.seconds)
    except RuntimeError as error:
        sys.exit(f"load: {error}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
