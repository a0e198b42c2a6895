"""The feed hands on what is committed, in order, to all who follow; nothing is read while nobody does."""

from functools import partial
from uuid import uuid4

import pytest
import trio
from attrs import define, field

from actors.feed import Feed, Followed, feed, frame_of, pieces_of
from actors.inbox import ask
from actors.messages import Chunk, FeedMessage, Follow, FollowInstance, LastCall, Nudge
from callsheet.errors import Unavailable
from storage.queries.events import EventPage, last_event
from storage.records import EventRecord


def event(number):
    return EventRecord(number, 0, "a.b", None, None, "{}")


@define
class Table:
    """An event table that can be away; it counts how often it is read."""

    last: int = 0
    readings: int = 0
    away: bool = False

    async def read(self, query, *args):
        await trio.lowlevel.checkpoint()
        self.readings += 1
        if self.away:
            raise Unavailable("away")
        if query is last_event:
            return self.last
        _, after, limit = args
        upto = min(self.last, after + limit)
        return EventPage([event(number) for number in range(after + 1, upto + 1)], upto, upto < self.last)


@define
class Stage:
    """A feed under way, seen from outside."""

    table: Table
    inbox: trio.MemorySendChannel
    nudges: trio.MemorySendChannel
    followed: Followed = field(factory=Followed)

    async def follow(self, room=10):
        """Join; return the channel and the head."""
        send, receive = trio.open_memory_channel[Chunk](room)
        return receive, await ask(self.inbox, partial(Follow, send))

    def happen(self, count=1):
        """Let events be committed."""
        self.table.last += count
        try:
            self.nudges.send_nowait(Nudge())
        except trio.WouldBlock:
            return


@pytest.fixture
async def stage(nursery):
    to_feed, inbox = trio.open_memory_channel[FeedMessage](10)
    nudge, nudges = trio.open_memory_channel[Nudge](1)
    table = Table()
    own = Feed(inbox, nudges, table.read)
    nursery.start_soon(feed, own)
    yield Stage(table, to_feed, nudge, own.followed)
    to_feed.close()


async def test_nobody_follows_and_nothing_is_read(stage, autojump_clock):
    stage.happen()
    await trio.sleep(1)

    assert stage.table.readings == 0


async def test_the_bus_is_told_whether_anybody_follows(stage, autojump_clock):
    assert not stage.followed.events
    follower, _ = await stage.follow()
    assert stage.followed.events
    follower.close()
    for _ in range(2):  # the first one finds nobody there
        stage.happen()
        await trio.sleep(1)

    assert not stage.followed.events


async def test_who_joins_while_the_last_one_is_hung_up_on_misses_nothing(stage, autojump_clock):
    slow, _ = await stage.follow(room=1)
    stage.happen()
    await trio.sleep(1)
    async with trio.open_nursery() as nursery:

        async def join():
            follower, head = await stage.follow()
            assert stage.followed.events
            stage.happen()
            assert [frame.event.id for frame in (await follower.receive()).frames] == [head + 1]

        stage.happen()
        nursery.start_soon(join)
    slow.close()


async def test_all_who_follow_get_the_very_same_pieces_in_order(stage, autojump_clock):
    stage.happen(7)
    followers = [await stage.follow() for _ in range(60)]
    stage.happen(3)
    chunks = [await receive.receive() for receive, _ in followers]

    assert {head for _, head in followers} == {7}
    assert [frame.event.id for frame in chunks[0].frames] == [8, 9, 10]
    assert all(chunk is chunks[0] for chunk in chunks)


async def test_who_does_not_take_what_comes_is_hung_up_on(stage, autojump_clock):
    slow, _ = await stage.follow(room=1)
    quick, _ = await stage.follow()
    for count in range(1, 4):
        stage.happen()
        assert (await quick.receive()).upto == count

    assert (await slow.receive()).upto == 1
    with pytest.raises(trio.EndOfChannel):
        await slow.receive()


async def test_an_outage_delays_and_loses_nothing(stage, autojump_clock):
    follower, _ = await stage.follow()
    stage.table.away = True
    stage.happen(2)
    await trio.sleep(5)
    stage.table.away = False

    assert [frame.event.id for frame in (await follower.receive()).frames] == [1, 2]


async def test_who_would_join_during_an_outage_is_told_so(stage, autojump_clock):
    stage.table.away = True

    with pytest.raises(Unavailable):
        await stage.follow()


async def test_an_instance_that_says_something_wakes_its_followers_only(stage, autojump_clock):
    one, other = uuid4(), uuid4()
    ends = []
    for instance in (one, other):
        send, receive = trio.open_memory_channel[Nudge](1)
        await ask(stage.inbox, partial(FollowInstance, instance, send))
        ends.append(receive)
    stage.followed.stirred.add(one)
    stage.nudges.send_nowait(Nudge())
    await ends[0].receive()
    await trio.sleep(1)
    with pytest.raises(trio.WouldBlock):
        ends[1].receive_nowait()
    ends[0].close()
    stage.followed.stirred.add(one)
    stage.nudges.send_nowait(Nudge())
    await trio.sleep(1)

    assert set(stage.followed.instances) == {other}


async def test_those_who_left_while_nothing_happened_are_forgotten(stage, autojump_clock):
    for _ in range(1000):
        send, receive = trio.open_memory_channel[Nudge](1)
        await ask(stage.inbox, partial(FollowInstance, uuid4(), send))
        receive.close()

    assert len(stage.followed.instances) <= 64


async def test_at_the_last_call_all_get_what_there_is_and_good_bye(stage, autojump_clock):
    followers = [(await stage.follow())[0] for _ in range(60)]
    stage.table.last += 1
    await ask(stage.inbox, LastCall)

    for follower in followers:
        assert [chunk.last async for chunk in follower] == [False, True]


def test_pieces_are_whole_frames_of_a_bounded_size():
    frames = [frame_of(event(number)).sse for number in range(1, 2000)]
    pieces = pieces_of(frames)

    assert b"".join(pieces) == b"".join(frames)
    assert all(len(piece) <= 32 * 1024 and piece.endswith(b"\n\n") for piece in pieces)
    assert len(pieces) > 1
