"""The feed: reads each committed event once, and hands it to all who follow.

It is woken by the bus and reads from the database, so that nobody ever sees what is not committed, or out of order.
While nobody follows, it reads nothing. Followers at the head share what was encoded once; one who falls behind is
hung up on, reads what it missed from the database, and joins again.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, assert_never
from uuid import UUID

import msgspec
import trio
from attrs import define, field

from actors.inbox import answer
from actors.messages import Chunk, FeedMessage, Follow, FollowInstance, Frame, LastCall, Nudge
from callsheet.errors import Unavailable
from callsheet.instants import format_instant
from callsheet.logs import told
from storage.journal.facts import instance_uri
from storage.queries.events import Wanted, last_event, read_events
from storage.records import EventRecord

log = logging.getLogger("callsheet.feed")

PAGE = 200  # events in one chunk
PIECE = 32 * 1024  # bytes or so that are sent at once; all followers share them
BREATH = 25  # followers served between two breaths: a thousand at once would hold the loop
REST = 0.0004  # seconds of rest for each piece that each follower gets: fan-out never takes all of the loop
PAUSE = 0.5  # seconds between two tries while the database does not answer

Read = Callable[..., Awaitable[Any]]

_encoder = msgspec.json.Encoder()


@define
class Followed:
    """What the bus looks at: whether somebody follows all events, and which instances somebody follows.

    `stirred` are those of them that have said something since.
    """

    events: bool = False
    instances: dict[UUID, list[trio.MemorySendChannel[Nudge]]] = field(factory=dict)
    stirred: set[UUID] = field(factory=set)


@define
class Feed:
    """The ends of the channels that the feed holds, and who follows; `read` runs a query on the database."""

    inbox: trio.MemoryReceiveChannel[FeedMessage]
    nudges: trio.MemoryReceiveChannel[Nudge]
    read: Read
    followed: Followed = field(factory=Followed)
    _followers: list[trio.MemorySendChannel[Chunk]] = field(factory=list)
    _upto: int = 0
    _delivering: trio.Lock = field(factory=trio.Lock)
    _sweep_at: int = 64
    _rest: float = REST


async def feed(own: Feed) -> None:
    """Serve followers until the last call; when it ends, all are hung up on, and may ask again."""
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_relay, own)
            await _attend(own)
            nursery.cancel_scope.cancel()
    finally:
        _hang_up(own)


async def _attend(own: Feed) -> None:
    async for message in own.inbox:
        match message:
            case Follow(chunks, reply_to):
                await _admit(own, chunks, reply_to)
            case FollowInstance(instance, nudges, reply_to):
                own.followed.instances.setdefault(instance, []).append(nudges)
                _sweep(own)
                answer(reply_to, True)
            case LastCall(reply_to):
                await _say_bye(own)
                answer(reply_to, True)
                return
            case _:
                assert_never(message)


async def _say_bye(own: Feed) -> None:
    own._rest = 0.0
    _stir(own)
    await _deliver(own)
    async with own._delivering:
        await _hand_out(own, Chunk(own._upto, own._upto, (), (), last=True))


async def _admit(own: Feed, chunks: trio.MemorySendChannel[Chunk], reply_to: trio.MemorySendChannel[int]) -> None:
    """Let one join at the head; the first of all sets the head."""
    async with own._delivering:
        own.followed.events = True  # before the head is read: what is committed after that must wake us
        if not own._followers:
            try:
                own._upto = await own.read(last_event)
            except Unavailable:
                reply_to.close()
                chunks.close()
                return
        own._followers.append(chunks)
        _sweep(own)
        answer(reply_to, own._upto)


async def _relay(own: Feed) -> None:
    async for _ in own.nudges:
        _stir(own)
        while not await _deliver(own):  # noqa: ASYNC110 - the database may come back at any time
            await trio.sleep(PAUSE)
        await trio.sleep(len(own._followers) % BREATH * REST)


def _stir(own: Feed) -> None:
    """Nudge those who follow an instance that has said something."""
    stirred, own.followed.stirred = own.followed.stirred, set()
    for instance in stirred:
        followers = [one for one in own.followed.instances.get(instance, ()) if _offered(one, Nudge())]
        if followers:
            own.followed.instances[instance] = followers
        else:
            own.followed.instances.pop(instance, None)


def _offered(channel: trio.MemorySendChannel[Nudge], nudge: Nudge) -> bool:
    """Send if there is room, for one nudge is as good as two; False when nobody is there any more."""
    try:
        channel.send_nowait(nudge)
    except trio.WouldBlock:
        return True
    except trio.BrokenResourceError:
        return False
    return True


async def _deliver(own: Feed) -> bool:
    """Hand on all that is new, page by page; False when the database does not answer."""
    async with own._delivering:
        while own._followers:
            try:
                page = await own.read(read_events, Wanted(), own._upto, PAGE)
            except Unavailable as error:
                log.warning("events wait: %s", error, extra=told("events.wait"))
                return False
            if page.items:
                await _hand_out(own, chunk_of(page.items, own._upto, page.upto))
            own._upto = page.upto
            if not page.more:
                break
        own.followed.events = bool(own._followers)
    return True


async def _hand_out(own: Feed, chunk: Chunk) -> None:
    stayed: list[trio.MemorySendChannel[Chunk]] = []
    for index, follower in enumerate(own._followers, start=1):
        try:
            follower.send_nowait(chunk)
        except (trio.WouldBlock, trio.BrokenResourceError):
            follower.close()  # too far behind, or gone
        else:
            stayed.append(follower)
        if index % BREATH == 0:
            await trio.sleep(BREATH * own._rest * len(chunk.pieces))
    own._followers = stayed


def _sweep(own: Feed) -> None:
    """Forget followers who left while nothing happened; seldom enough to cost each of them nothing."""
    count = len(own._followers) + len(own.followed.instances)
    if count < own._sweep_at:
        return
    own._followers = [one for one in own._followers if _attended(one)]
    for instance, nudges in list(own.followed.instances.items()):
        own.followed.instances[instance] = left = [one for one in nudges if _attended(one)]
        if not left:
            del own.followed.instances[instance]
    own._sweep_at = max(64, 2 * (len(own._followers) + len(own.followed.instances)))


def _attended(channel: trio.MemorySendChannel[Any]) -> bool:
    return channel.statistics().open_receive_channels > 0


def _hang_up(own: Feed) -> None:
    for follower in own._followers:
        follower.close()
    for nudges in own.followed.instances.values():
        for one in nudges:
            one.close()
    own._followers.clear()
    own.followed.events = False
    own.followed.instances.clear()


def chunk_of(events: Iterable[EventRecord], after: int, upto: int) -> Chunk:
    """Encode events for all who read them."""
    frames = tuple(frame_of(event) for event in events)
    return Chunk(after, upto, frames, pieces_of(frame.sse for frame in frames))


def pieces_of(frames: Iterable[bytes]) -> tuple[bytes, ...]:
    """Join frames to pieces of about PIECE bytes."""
    pieces: list[bytes] = []
    waiting: list[bytes] = []
    size = 0
    for frame in frames:
        if waiting and size + len(frame) > PIECE:
            pieces.append(b"".join(waiting))
            waiting, size = [], 0
        waiting.append(frame)
        size += len(frame)
    return (*pieces, b"".join(waiting)) if waiting else tuple(pieces)


def frame_of(event: EventRecord) -> Frame:
    """Encode one event; JSON has no line breaks, so that one `data:` line holds it."""
    body = _encoder.encode(event_document(event))
    return Frame(event, b"id: %d\nevent: %s\ndata: %s\n\n" % (event.id, event.type.encode(), body))


def event_document(event: EventRecord) -> dict[str, Any]:
    """Return an event as the API and the webhooks show it."""
    return {
        "id": event.id,
        "at": format_instant(event.at),
        "type": event.type,
        "schedule": event.schedule,
        "instance": instance_uri(event.instance),
        "data": msgspec.Raw(event.data.encode()),
    }
