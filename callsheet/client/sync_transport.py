"""Calls become requests. Made from `aio_transport.py` by tests/client/test_faces.py; change that."""

import time
from collections.abc import Generator
from contextlib import closing
from types import TracebackType
from typing import Any, TypeVar
from uuid import uuid4

import httpx2
import msgspec

from callsheet.client import sse
from callsheet.client.call import Call
from callsheet.client.connection import Target
from callsheet.client.errors import ClientError, Refused, Unreachable, error_of, in_words
from callsheet.client.retrying import Patience, knows_no_keys
from callsheet.models import Page

T = TypeVar("T")

SILENCE = 45.0  # seconds without even a heartbeat after which a stream counts as lost
NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


class Transport:
    """Sends calls to one service, again where that is safe."""

    def __init__(self, target: Target, timeout: float, patience: Patience, *, idempotency: bool) -> None:
        self.target = target
        self.patience = patience
        self._timeout = timeout
        self._idempotency = idempotency
        self._http = httpx2.Client(
            base_url=target.url,
            headers=target.headers,
            timeout=timeout,
            verify=target.is_encrypted,
            trust_env=not target.is_local,
        )

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> "Transport":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def do(self, call: Call[T]) -> T:
        """Send a call until it is answered or may not be tried again; raise what the service said."""
        key = uuid4().hex if call.creates and self._idempotency else None
        tried = 0
        while True:
            tried += 1
            try:
                return _read(call, self._send(call, key), self.target)
            except ClientError as error:
                if key is not None and knows_no_keys(error):
                    self._idempotency, key, pause = False, None, 0.0
                else:
                    wanted = self.patience.pause(call, tried, error, keyed=key is not None)
                    if wanted is None:
                        raise
                    pause = wanted
            time.sleep(pause)

    def walk(self, call: Call[Page[T]]) -> Generator[T, None, None]:
        """Yield the items of all pages."""
        page = self.do(call)
        while True:
            for item in page.items:
                yield item
            if page.next is None:
                return
            page = self.do(call.at(page.next))

    def messages(self, call: Call[Page[T]], last: str | None = None) -> Generator[sse.Message, None, None]:
        """Yield the messages of a stream until it ends; nothing at all where the service has only pages."""
        headers = {**call.headers, "Accept": "text/event-stream"} | ({} if last is None else {"Last-Event-ID": last})
        parser, limits = sse.Parser(), httpx2.Timeout(self._timeout, read=SILENCE)
        try:
            with self._http.stream(
                call.method, call.path, params=dict(call.query), headers=headers, timeout=limits
            ) as answer:
                if not answer.is_success:
                    raise error_of(answer.status_code, answer.read(), answer.headers.get("Retry-After"))
                if "text/event-stream" not in answer.headers.get("Content-Type", ""):
                    raise NoStream
                stream: Any = answer.iter_raw()
                with closing(stream) as chunks:
                    for chunk in chunks:
                        for message in parser.feed(chunk):
                            yield message
        except httpx2.TransportError as error:
            raise _unreachable(self.target, error) from error

    def _send(self, call: Call[T], key: str | None) -> bytes:
        headers = dict(call.headers) | ({} if key is None else {"Idempotency-Key": key})
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        try:
            answer = self._http.request(
                call.method, call.path, params=dict(call.query), content=call.body, headers=headers,
                timeout=max(self._timeout, call.takes),
            )  # fmt: skip
        except httpx2.TransportError as error:
            raise _unreachable(self.target, error) from error
        if not answer.is_success:
            raise error_of(answer.status_code, answer.content, answer.headers.get("Retry-After"))
        return answer.content


class NoStream(Exception):
    """The service answers with pages only."""


def _read(call: Call[T], body: bytes, target: Target) -> T:
    try:
        return call.read(body)
    except msgspec.MsgspecError as error:
        raise ClientError(f"What {target.url} answers is not callsheet's: {error}.") from error


def _unreachable(target: Target, error: httpx2.TransportError) -> Unreachable:
    sent = not isinstance(error, NOT_SENT)
    what = "The connection broke" if sent else "Nobody answers"
    return Unreachable(f"{what} at {target.url}: {in_words(error)}.", sent=sent)


def is_temporary(error: ClientError) -> bool:
    """Tell whether a stream that ended so may be taken up again."""
    return isinstance(error, Unreachable) or (isinstance(error, Refused) and error.status in (429, 502, 503, 504))
