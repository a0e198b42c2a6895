"""A small HTTP client: one kept-alive connection, JSON in and out."""

import json
import time
from http.client import HTTPConnection
from typing import Any

IDLE = 2.0  # seconds after which a connection is not trusted any more: the server may be closing it


class Client:
    """Speaks to the service on a port of this machine."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=120)
        self._used = time.monotonic()

    def get(self, path: str) -> Any:
        """Read a resource."""
        return self.ask("GET", path)

    def ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        """Make one request; RuntimeError unless it succeeds."""
        if time.monotonic() - self._used > IDLE:
            self._connection.close()
        self._connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        response = self._connection.getresponse()
        answer = response.read()
        self._used = time.monotonic()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {answer.decode()[:500]}")
        return json.loads(answer)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def encode(document: object) -> bytes:
    """Return a body."""
    return json.dumps(document).encode()
