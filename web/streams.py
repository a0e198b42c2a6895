"""Server-sent events: answers that last, each pulled by its client, none of which may hold up the stop.

A stream says where it is first (`event: position`), beats when it has nothing to say, and ends with `event: bye`
when the service stops. It holds few events of its own: those who keep up share what was encoded once. A client that
does not read is dropped by the write time-out of web/worker.py.
"""

from abc import abstractmethod
from collections import deque
from functools import partial
from types import TracebackType
from typing import Any
from uuid import UUID

import msgspec
import trio
from quart import Response, request
from quart.wrappers.response import ResponseBody

from actors.feed import frame_of, pieces_of
from actors.inbox import ask
from actors.messages import Chunk, Follow, FollowInstance, Nudge
from callsheet.errors import FieldError, Invalid, Unavailable, Unknown
from storage.queries import instances as queries
from storage.queries.events import EventsGone, Wanted, last_event, read_events
from storage.records import InstanceRecord
from web import representations as show
from web.site import Site

HEARTBEAT = 15.0  # seconds without a word after which a comment goes out: proxies close what is silent
RETRY = 3000  # milliseconds that a client waits before it connects again
AGAIN = 1.0  # seconds between two tries while the database or the feed does not answer
ROOM = 16  # chunks that wait for one client; when they are not taken in time, it has to read from the database
CATCH_UP = 20  # events that one client who is behind has in hand
BATCH = 100  # outputs or lines of log in one reading
IN_HAND = 32 * 1024  # bytes or so of one reading: for each stream they wait until its client takes them

_BEAT = b": heartbeat\n"  # no blank line: some clients would take that for an event without data
_encoder = msgspec.json.Encoder()


def wants_stream() -> bool:
    """Tell whether the client asks for a stream rather than a page."""
    wanted: str | None = request.accept_mimetypes.best_match(("application/json", "text/event-stream"))
    return wanted == "text/event-stream"


def last_event_id() -> str | None:
    """Return where a client that comes back has been, as it was told."""
    return request.headers.get("Last-Event-ID") or None


def stream(body: "Stream") -> Response:
    """Answer with a stream; Unavailable when there are as many as there may be."""
    if body.site.streams.full:
        raise Unavailable(f"{body.site.streams.room:,} streams are open, which is as many as there may be.")
    response = Response(b"" if request.method == "HEAD" else body, content_type="text/event-stream")
    response.timeout = None
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold it back
    return response


def frame(event: str, data: object, number: object = None) -> bytes:
    """Return one event of a stream."""
    head = f"event: {event}\n" if number is None else f"id: {number}\nevent: {event}\n"
    return head.encode() + b"data: " + _encoder.encode(data) + b"\n\n"


class Stream(ResponseBody):
    """An answer that is made as its client takes it: `_fill` makes some more of it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._ready: deque[bytes] = deque()
        self._beat_at = trio.current_time() + HEARTBEAT
        self._leaving = False  # the service stops: what there is, and then good-bye
        self._over = False

    async def __aenter__(self) -> "Stream":
        """Be counted."""
        self.site.streams.open += 1
        return self

    async def __aexit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave, for whatever reason; nothing here waits, for it may be because of a cancellation."""
        self.site.streams.open -= 1
        self._leave()

    def __aiter__(self) -> "Stream":
        """Iterate over itself."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece, once there is one."""
        while not self._ready:
            if self._over:
                raise StopAsyncIteration
            await self._try_to_fill()
        self._beat_at = trio.current_time() + HEARTBEAT
        return self._ready.popleft()

    async def _try_to_fill(self) -> None:
        try:
            await self._fill()
        except Unknown as gone:  # removed by age while it was followed
            self._end("bye", reason=gone.kind)
        except Unavailable:
            if self._leaving:
                self._end("bye", reason="shutdown")
                return
            self._ready.append(_BEAT)
            await trio.sleep(AGAIN)

    @abstractmethod
    async def _fill(self) -> None:
        """Make more of the answer, or wait for something to happen."""

    @abstractmethod
    def _leave(self) -> None:
        """Let go of what the stream holds."""

    async def _join(self, question: Any) -> Any:
        """Ask the feed to be told; when the service stops, nobody is there any more."""
        try:
            return await ask(self.site.engine.feed, question)
        except Unavailable:
            if not self.site.engine.stop.is_set():
                raise
            self._leaving = True
            return None

    def _end(self, event: str, number: object = None, **data: object) -> None:
        self._ready.append(frame(event, data, number))
        self._over = True


class EventStream(Stream):
    """All events after a position, and then each as it is committed."""

    def __init__(self, site: Site, wanted: Wanted, after: int) -> None:
        super().__init__(site)
        self._wanted = wanted
        self._position = self._shown = after
        self._head = -1
        self._chunks: trio.MemoryReceiveChannel[Chunk] | None = None
        self._ready.append(b"retry: %d\n" % RETRY + frame("position", {"after": after}, after))

    async def _fill(self) -> None:
        if self._chunks is None and not self._leaving:
            await self._follow()
        elif self._position < self._head:
            await self._catch_up()
        elif self._leaving:
            self._end("bye", reason="shutdown")
        else:
            await self._take()

    async def _follow(self) -> None:
        send, receive = trio.open_memory_channel[Chunk](ROOM)
        try:
            head = await self._join(partial(Follow, send))
        except BaseException:
            receive.close()
            raise
        self._chunks = receive
        self._head = await self.site.read_for_stream(last_event) if head is None else head

    async def _catch_up(self) -> None:
        """Read what nobody will bring."""
        try:
            page = await self.site.read_for_stream(read_events, self._wanted, self._position, CATCH_UP, checked=True)
        except EventsGone as gone:
            self._end("bye", reason=gone.kind)
            return
        self._pass_on(pieces_of(frame_of(event).sse for event in page.items), page.upto)

    async def _take(self) -> None:
        assert self._chunks is not None
        with trio.move_on_at(self._beat_at):
            try:
                chunk = await self._chunks.receive()
            except trio.EndOfChannel:  # too slow, or the feed ended
                self._leave()
                return
            self._take_chunk(chunk)
            return
        self._beat()

    def _take_chunk(self, chunk: Chunk) -> None:
        if chunk.last:
            self._end("bye", reason="shutdown")
            return
        if self._wanted.everything and self._position <= chunk.after:
            self._pass_on(chunk.pieces, chunk.upto)
            return
        wanted = (one for one in chunk.frames if one.event.id > self._position and self._wanted.takes(one.event))
        self._pass_on(pieces_of(one.sse for one in wanted), max(chunk.upto, self._position))

    def _pass_on(self, pieces: tuple[bytes, ...], upto: int) -> None:
        self._ready.extend(pieces)
        self._position = upto
        if pieces:
            self._shown = upto

    def _beat(self) -> None:
        """Say that it is there; a client whose filter lets little through also learns how far it has come."""
        if self._shown < self._position:
            self._ready.append(frame("position", {"after": self._position}, self._position))
            self._shown = self._position
        else:
            self._ready.append(_BEAT)

    def _leave(self) -> None:
        if self._chunks is not None:
            self._chunks.close()
            self._chunks = None


class SaidStream(Stream):
    """What an instance says, from the first word to the last, and then how it ended.

    `query` and `representation` are those of the page that there is besides; `after` is the last seq that is known.
    """

    def __init__(self, site: Site, instance: UUID, kind: str, query: Any, representation: Any, after: int) -> None:
        super().__init__(site)
        self._instance, self._kind = instance, kind
        self._query, self._representation = query, representation
        self._after = after
        self._nudges: trio.MemoryReceiveChannel[Nudge] | None = None
        self._ready.append(b"retry: %d\n\n" % RETRY)

    async def _fill(self) -> None:
        if self._nudges is None and not self._leaving:
            await self._follow()
        record, said, more = await self.site.read_for_stream(_state_and_more, self._query, self._instance, self._after)
        for item in said:
            self._ready.append(frame(self._kind, self._representation(item), item.seq))
            self._after = item.seq
        if more:
            return
        if record.outcome is not None:
            self._end("end", "end", **show.end(record))
        elif self._leaving:
            self._end("bye", reason="shutdown")
        elif not said:
            await self._wait()

    async def _follow(self) -> None:
        send, receive = trio.open_memory_channel[Nudge](1)
        try:
            await self._join(partial(FollowInstance, self._instance, send))
        except BaseException:
            receive.close()
            raise
        self._nudges = receive

    async def _wait(self) -> None:
        assert self._nudges is not None
        with trio.move_on_at(self._beat_at):
            try:
                await self._nudges.receive()
            except trio.EndOfChannel:
                self._leave()
            return
        self._ready.append(_BEAT)

    def _leave(self) -> None:
        if self._nudges is not None:
            self._nudges.close()
            self._nudges = None


def _state_and_more(database: Any, query: Any, instance: UUID, after: int) -> tuple[InstanceRecord, list[Any], bool]:
    """Return how an instance stands and what it said after that: once it is over, nothing more comes."""
    record = queries.get_instance(database, instance)
    return record, *query(database, instance, after, BATCH, IN_HAND)


def position_of(text: str, pointer: str = "") -> int:
    """Read a number that a stream gave; Invalid for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Invalid(FieldError(pointer, "Last-Event-ID must be an id that this stream gave"))
    return int(text)
