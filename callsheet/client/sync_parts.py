"""Tasks, instances, schedules, webhooks. Made from `aio_parts.py` by tests/client/test_faces.py; change that."""

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar, overload

import msgspec

from callsheet import models
from callsheet.client import calls, sse
from callsheet.client.call import Call, Duration, Instant, document_of, trigger_of
from callsheet.client.errors import ClientError, NotFound, WaitTimeout
from callsheet.client.finished import Finished, Named, finished, id_of, name_of
from callsheet.client.sync_transport import NoStream, Transport, is_temporary
from callsheet.signing import new_secret

if TYPE_CHECKING:
    from callsheet.tasks.inline import Runnable

T = TypeVar("T")
TSeq = TypeVar("TSeq", models.Output, models.LogLine)

LOOK = 0.3  # seconds between two looks at an instance where there is no stream
UNSET = msgspec.UNSET


class Tasks:
    """The tasks in the code of the service."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._instances = Instances(transport)

    def list(self) -> Generator[models.Task, None, None]:
        """Yield all tasks, by name."""
        for item in self._transport.walk(calls.list_tasks()):
            yield item

    def get(self, name: str) -> models.Task:
        """Return one task."""
        return self._transport.do(calls.get_task(name))

    def start(
        self,
        task: "Runnable[Any] | str",
        input: Any = UNSET,  # noqa: A002 - its name everywhere else
        *,
        timeout: Duration | None = None,
        tags: Sequence[str] | None = None,
    ) -> models.Started:
        """Start an instance now; the answer comes when it is written down."""
        return self._transport.do(calls.start(name_of(task), input, timeout, tags))

    def start_batch(self, items: Sequence[Mapping[str, Any]]) -> Sequence[models.Started]:
        """Start up to 10,000 instances, all or none; each item has `task`, and maybe `input`, `timeout`, `tags`."""
        return (self._transport.do(calls.start_batch(items))).items

    @overload
    def run(
        self,
        task: "Runnable[T]",
        input: Any = ...,
        *,
        tags: Sequence[str] | None = ...,
        within: float | None = ...,
    ) -> Finished[T]: ...
    @overload
    def run(
        self,
        task: str,
        input: Any = ...,
        *,
        tags: Sequence[str] | None = ...,
        within: float | None = ...,
    ) -> Finished[Any]: ...
    def run(
        self,
        task: "Runnable[Any] | str",
        input: Any = UNSET,  # noqa: A002 - its name everywhere else
        *,
        tags: Sequence[str] | None = None,
        within: float | None = None,
    ) -> Finished[Any]:
        """Start an instance, wait until it is over, and return how it ended with all that it sent.

        Given a task from code, its outputs have their types. After `within` seconds WaitTimeout is raised; it runs on.
        """
        started = self.start(task, input, tags=tags)
        over = self._instances.wait(started, within)
        sent = [output.value for output in self._instances.outputs(started)]
        return finished(task, over, sent)


class Instances:
    """Runs; each is named by itself, by what a start answered, by its id or by its URI."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._live = True  # until the service turns out to have no streams of outputs and logs

    def list(
        self,
        *,
        state: str | None = None,
        outcome: str | None = None,
        task: str | None = None,
        schedule: str | None = None,
        tag: str | None = None,
        since: Instant | None = None,
        until: Instant | None = None,
        page: int = calls.MOST,
    ) -> Generator[models.Instance, None, None]:
        """Yield the history, newest first; `page` is how many are asked for at a time."""
        wanted = {"state": state, "outcome": outcome, "task": task, "schedule": schedule, "tag": tag}
        for item in self._transport.walk(calls.list_instances(page, **wanted, since=since, until=until)):
            yield item

    def get(self, instance: Named) -> models.Instance:
        """Return one, with its first 50 outputs."""
        return self._transport.do(calls.get_instance(id_of(instance)))

    def cancel(self, instance: Named, reason: str | None = None) -> models.Instance:
        """Cancel one; one that is over stays as it is."""
        return self._transport.do(calls.cancel_instance(id_of(instance), reason))

    def cancel_matching(
        self,
        *,
        task: str | None = None,
        schedule: str | None = None,
        tag: str | None = None,
        reason: str | None = None,
    ) -> int:
        """Cancel all unfinished ones that match, and return how many that are."""
        call = calls.cancel_instances(task=task, schedule=schedule, tag=tag, reason=reason)
        return (self._transport.do(call)).count

    def rerun(self, instance: Named) -> models.Started:
        """Start a new one with the same task and input."""
        return self._transport.do(calls.rerun(id_of(instance)))

    def outputs(self, instance: Named) -> Generator[models.Output, None, None]:
        """Yield what it has sent until now."""
        for item in self._transport.walk(calls.outputs(id_of(instance))):
            yield item

    def log(self, instance: Named) -> Generator[models.LogLine, None, None]:
        """Yield what it has logged until now."""
        for item in self._transport.walk(calls.log(id_of(instance))):
            yield item

    def stack(self, instance: Named) -> models.Stack:
        """Return where it stands in its code right now."""
        return self._transport.do(calls.stack(id_of(instance)))

    def wait(self, instance: Named, within: float | None = None) -> models.Instance:
        """Return it when it is over; after `within` seconds raise WaitTimeout."""
        end = None if within is None else time.monotonic() + within
        pause = 0.05
        while True:
            found = self.get(instance)
            if found.outcome is not None:
                return found
            if end is not None and time.monotonic() >= end:
                raise WaitTimeout(f"{found.uri} is still {found.state} after {within:g} s.")
            time.sleep(pause if end is None else min(pause, max(end - time.monotonic(), 0)))
            pause = min(pause * 1.5, 1.0)

    def follow_outputs(self, instance: Named) -> Generator[models.Output, None, None]:
        """Yield what it sends, as it does so, until it is over."""
        with closing(self._follow(instance, calls.outputs(id_of(instance)), models.Output)) as items:
            for item in items:
                yield item

    def follow_log(self, instance: Named) -> Generator[models.LogLine, None, None]:
        """Yield what it logs, as it does so, until it is over."""
        with closing(self._follow(instance, calls.log(id_of(instance)), models.LogLine)) as items:
            for item in items:
                yield item

    def _follow(self, instance: Named, call: Call[models.Page[TSeq]], kind: type[TSeq]) -> Generator[TSeq, None, None]:
        """Yield items in turn from pages and from streams, each once, until nothing more can come."""
        following, seen = call, -1
        while True:
            over = (self.get(instance)).outcome is not None  # asked first: what is read then is all there is
            while True:
                page = self._transport.do(following)
                for item in page.items:
                    if item.seq > seen:
                        seen = item.seq
                        yield item
                if page.next is None:
                    break
                following = call.at(page.next)
            if over:
                return
            with closing(self._stream(call, kind, seen)) as items:
                for item in items:
                    if item.seq > seen:
                        seen = item.seq
                        yield item
            time.sleep(LOOK)

    def _stream(self, call: Call[models.Page[TSeq]], kind: type[TSeq], seen: int) -> Generator[TSeq, None, None]:
        """Yield what a stream gives until it ends, for whatever reason; nothing where there is none."""
        if not self._live:
            return
        try:
            with closing(self._transport.messages(call.whole(), str(seen) if seen >= 0 else None)) as messages:
                for message in messages:
                    item = sse.item_of(message, kind)
                    if item is not None:
                        yield item
        except NoStream:
            self._live = False
        except ClientError as error:
            if not is_temporary(error):
                raise


class Schedules:
    """Stored rules."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self, *, task: str | None = None, state: str | None = None, tag: str | None = None
    ) -> Generator[models.Schedule, None, None]:
        """Yield schedules by id."""
        for item in self._transport.walk(calls.list_schedules(task=task, state=state, tag=tag)):
            yield item

    def get(self, name: str) -> models.Schedule:
        """Return one."""
        return self._transport.do(calls.get_schedule(name))

    def find(self, name: str) -> models.Schedule | None:
        """Return one, or None."""
        try:
            return self.get(name)
        except NotFound:
            return None

    def create(self, task: Any, *, id: str | None = None, **fields: Any) -> models.Schedule:  # noqa: A002
        """Create one that must not exist yet; `fields` as for `put`."""
        return self._transport.do(calls.create_schedule(document_of(name_of(task), fields) | {"id": id}))

    def create_batch(self, items: Sequence[Mapping[str, Any]]) -> Sequence[models.Created]:
        """Create up to 10,000 that must not exist yet, all or none; each item is a document, with or without `id`."""
        return (self._transport.do(calls.create_schedules(items))).items

    def put(
        self, name: str, task: Any, *, if_match: int | None = None, new: bool = False, **fields: Any
    ) -> models.Schedule:
        """Create it, or replace it whole.

        `fields` are those of the document (`input`, `overlap`, `tags` …); its `trigger` may also be given by its own
        words: `every`, `cron` with `timezone`, `at`, or `after` with `on`.
        """
        document = document_of(name_of(task), fields)
        return self._transport.do(calls.put_schedule(name, document, if_match, new=new))

    def compare(self, name: str, task: Any, **fields: Any) -> models.Comparison:
        """Tell what `put` would do, and which due times would appear and vanish."""
        return self._transport.do(calls.compare_schedule(name, document_of(name_of(task), fields)))

    def patch(self, name: str, patch: Mapping[str, Any], *, if_match: int | None = None) -> models.Schedule:
        """Change some fields by a merge patch."""
        return self._transport.do(calls.patch_schedule(name, patch, if_match))

    def compare_patch(self, name: str, patch: Mapping[str, Any]) -> models.Comparison:
        """Tell what `patch` would do."""
        return self._transport.do(calls.compare_patch(name, patch))

    def delete(self, name: str, *, running: str | None = None, if_match: int | None = None) -> None:
        """Delete it; with `running="cancel"` what runs of it ends, too."""
        self._transport.do(calls.delete_schedule(name, running, if_match))

    def pause(self, name: str, reason: str | None = None, until: Instant | None = None) -> models.Schedule:
        """Plan nothing until resumed."""
        return self._transport.do(calls.pause(name, reason, until))

    def resume(self, name: str) -> models.Schedule:
        """Plan again, strictly in the future."""
        return self._transport.do(calls.resume(name))

    def trigger(self, name: str, input: Any = UNSET, *, overlap: str | None = None) -> models.Started:  # noqa: A002
        """Run it now; Conflict while one goes on, unless `overlap` says otherwise."""
        return self._transport.do(calls.run_now(name, input, overlap))

    def skip(self, name: str, count: int | None = None, at: Instant | None = None) -> models.Schedule:
        """Leave out the next due times, or the one at `at`."""
        return self._transport.do(calls.skip(name, count, at))

    def unskip(self, name: str, at: Instant | None = None) -> models.Schedule:
        """Let run what was to be skipped: the one at `at`, or all."""
        return self._transport.do(calls.unskip(name, at))

    def backfill(
        self, name: str, start: Instant, end: Instant, *, overlap: str | None = None, dry_run: bool = False
    ) -> models.Backfill:
        """Run what never ran between two instants, both of which belong to the range."""
        return self._transport.do(calls.backfill(name, start, end, overlap, dry_run=dry_run))

    def explain(self, name: str, at: Instant | None = None) -> models.Explanation:
        """Tell whether it was due, what happened and why, and what comes next."""
        return self._transport.do(calls.explain(name, at))

    def ledger(self, name: str) -> Generator[models.LedgerRow, None, None]:
        """Yield the account of its due times, newest first."""
        for item in self._transport.walk(calls.ledger(name)):
            yield item

    def upcoming(self, name: str, limit: int = 10) -> Sequence[models.DueTime]:
        """Return its next due times."""
        return (self._transport.do(calls.upcoming_of(name, limit))).items

    def preview(self, *, after: Instant | None = None, limit: int = 10, **words: Any) -> models.Preview:
        """Return the next due times of a trigger, given like that of `put`; nothing is saved."""
        return self._transport.do(calls.preview(trigger_of(words), after, limit))


class Webhooks:
    """Other servers that are told of events; each is named by its id or URI."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Generator[models.Webhook, None, None]:
        """Yield all webhooks, oldest first."""
        for item in self._transport.walk(calls.list_webhooks()):
            yield item

    def get(self, webhook: models.Webhook | str) -> models.Webhook:
        """Return one, and how it does."""
        return self._transport.do(calls.get_webhook(id_of(webhook)))

    def create(
        self, url: str, events: Sequence[str], *, schedules: Sequence[str] | None = None, secret: str | None = None
    ) -> models.Webhook:
        """Make one that is told of `events`, of these `schedules` only if some are given; it has its `secret`."""
        secret = secret or new_secret()
        made = self._transport.do(calls.create_webhook(url, events, schedules, secret))
        made.secret = secret
        return made

    def change(
        self,
        webhook: models.Webhook | str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        schedules: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> models.Webhook:
        """Change what is given; no `schedules` (an empty list) means those of all."""
        call = calls.change_webhook(id_of(webhook), url=url, events=events, schedules=schedules, enabled=enabled)
        return self._transport.do(call)

    def rotate(self, webhook: models.Webhook | str, secret: str | None = None) -> str:
        """Sign with another secret from now on, one that is made up unless given; return it."""
        secret = secret or new_secret()
        self._transport.do(calls.change_webhook(id_of(webhook), secret=secret))
        return secret

    def delete(self, webhook: models.Webhook | str) -> None:
        """Forget it, and what is on its way to it."""
        self._transport.do(calls.delete_webhook(id_of(webhook)))

    def test(self, webhook: models.Webhook | str) -> models.Tried:
        """Send a test message now, and tell how that went."""
        return self._transport.do(calls.try_webhook(id_of(webhook)))
