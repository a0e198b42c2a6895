"""The client for programs that block. Made from `aio.py` by tests/client/test_faces.py; change that."""

import os
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from callsheet import models
from callsheet.client import calls, connection, sse
from callsheet.client.call import Duration, Instant
from callsheet.client.errors import ClientError
from callsheet.client.retrying import Patience
from callsheet.client.sync_parts import Instances, Schedules, Tasks, Webhooks
from callsheet.client.sync_transport import NoStream, Transport, is_temporary
from callsheet.client.values import Event

T = TypeVar("T")


class Client:
    """Talks to one callsheet service; use it as a context manager, or close it.

    `url` and `token` come from CALLSHEET_URL, CALLSHEET_TOKEN and CALLSHEET_TOKEN_FILE unless given. `timeout` is for
    one request, in seconds; `tries` how often a request that may be repeated is sent at most. With `idempotency`,
    whatever starts something carries an Idempotency-Key, so that it may be repeated, too.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        token_file: str | Path | None = None,
        timeout: float = 30.0,
        tries: int = 4,
        idempotency: bool = True,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        target = connection.target(url, token, token_file, environment)
        self._transport = Transport(target, timeout, Patience(tries), idempotency=idempotency)
        self.tasks = Tasks(self._transport)
        self.instances = Instances(self._transport)
        self.schedules = Schedules(self._transport)
        self.webhooks = Webhooks(self._transport)

    @property
    def url(self) -> str:
        """Return the address of the service."""
        return self._transport.target.url

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def upcoming(self, limit: int = 50, until: Instant | None = None) -> list[models.DueTime]:
        """Return the next due times of all schedules, soonest first."""
        return (self._transport.do(calls.upcoming(limit, until))).items

    def stats(self, task: str | None = None, schedule: str | None = None, since: Instant | None = None) -> models.Stats:
        """Return counts and percentiles."""
        return self._transport.do(calls.stats(task, schedule, since))

    def simulate(
        self,
        end: Instant | Duration,
        start: Instant | None = None,
        *,
        seed: int | None = None,
        resolution: Duration | None = None,
        max_running: int | None = None,
        durations: Mapping[str, Duration | Sequence[Duration]] | None = None,
        schedules: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> models.Simulation:
        """Return what would happen from `start` (now) to `end`, a time or how long after; nothing is changed.

        `durations` says how long runs of a task or schedule take, `schedules` what to try: documents by id, with
        `task` and else as for `schedules.put`. The limit on running instances is the service's unless given.
        """
        wanted = {"seed": seed, "resolution": resolution, "max_running": max_running}
        return self._transport.do(calls.simulate(start, end, durations, schedules, **wanted))

    def tokens(self) -> Generator[models.Token, None, None]:
        """Yield all API keys, revoked ones as long as history is kept, newest first, without the keys."""
        for item in self._transport.walk(calls.tokens()):
            yield item

    def create_token(self, name: str, role: str, expires: Duration | datetime | None = None) -> models.Token:
        """Make an API key, good for ever, until a time or for a while; this once, `token` is the key itself."""
        return self._transport.do(calls.create_token(name, role, expires))

    def revoke_token(self, name: str) -> None:
        """Let an API key in no more."""
        self._transport.do(calls.revoke_token(name))

    def audit(
        self,
        *,
        by: str | None = None,
        action: str | None = None,
        schedule: str | None = None,
        since: Instant | None = None,
        until: Instant | None = None,
    ) -> Generator[models.AuditEntry, None, None]:
        """Yield who changed what, newest first."""
        wanted = {"by": by, "action": action, "schedule": schedule}
        for item in self._transport.walk(calls.audit(calls.MOST, **wanted, since=since, until=until)):
            yield item

    def nodes(self) -> Generator[models.Node, None, None]:
        """Yield the boots of nodes, newest first."""
        for item in self._transport.walk(calls.nodes()):
            yield item

    def alive(self) -> bool:
        """Tell whether the process works; raise Unavailable with the reason when it does not."""
        return (self._transport.do(calls.alive())).status == "ok"

    def ready(self) -> bool:
        """Tell whether new work is welcome; raise Unavailable with the reason when it is not."""
        return (self._transport.do(calls.ready())).status == "ready"

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI description."""
        return self._transport.do(calls.openapi())

    def events(
        self,
        after: int | str | None = None,
        *,
        types: Sequence[str] = (),
        schedule: str | None = None,
        instance: str | None = None,
        follow: bool = True,
        patience: float = 60.0,
    ) -> Generator[Event, None, None]:
        """Yield committed facts in order, each once: those after the id `after` or, without, what comes from now on.

        With `follow` it never ends: a stream that ends or breaks is taken up where it was, and only after `patience`
        seconds without any is the error raised. Without, it ends with what has happened until now. Raises Gone when the
        facts after `after` are not kept any more.
        """
        wanted = {"types": list(types) or None, "schedule": schedule, "instance": instance}
        call = calls.events(None if after is None else str(after), **wanted)
        if not follow:
            for event in self._transport.walk(call):
                yield event
            return
        last, tried, since = None, 0, time.monotonic()
        while True:
            try:
                with closing(self._transport.messages(call, last)) as messages:
                    for message in messages:
                        last, tried, since = message.id or last, 0, time.monotonic()
                        if message.event not in sse.OF_ITSELF:
                            yield sse.event_of(message)
            except NoStream:
                raise ClientError(f"{self.url} has no stream of events.") from None
            except ClientError as error:
                begun = tried > 0 or last is not None or getattr(error, "sent", False)
                if not is_temporary(error) or not begun or time.monotonic() - since > patience:
                    raise
            if last is not None:
                call = calls.events(None, **wanted)  # from here on Last-Event-ID says where we are
            tried += 1
            time.sleep(self._transport.patience.backoff(tried))
