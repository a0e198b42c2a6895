"""Those who ask at the same time share one answering, and none of them pays for another."""

from typing import Any

import pytest
import trio

from callsheet.errors import Unavailable
from web import together
from web.together import AT_A_TIME, PATIENCE, Together


class Doubler:
    """Doubles numbers, each time in a second of virtual time; says which it was asked at once."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.fails = 0
        self.takes = 1.0
        self.at_most = AT_A_TIME
        self.together = Together(self.answer)

    async def answer(self, keys: Any) -> list[int]:
        """Double numbers."""
        self.asked.append(list(keys))
        await trio.sleep(self.takes)
        if self.fails:
            self.fails -= 1
            raise Unavailable("not today")
        return [2 * key for key in keys][: self.at_most]

    async def ask(self, key: int, answers: dict[int, Any], scope: trio.CancelScope | None = None) -> None:
        """Ask, and note the answer or what was raised."""
        with scope or trio.CancelScope():
            try:
                answers[key] = await self.together.ask(key)
            except Unavailable as error:
                answers[key] = str(error)


@pytest.fixture
def doubler() -> Doubler:
    return Doubler()


async def ask_all(doubler: Doubler, keys: range) -> dict[int, Any]:
    answers: dict[int, Any] = {}
    async with trio.open_nursery() as nursery:
        for key in keys:
            nursery.start_soon(doubler.ask, key, answers)
    return answers


async def test_all_who_come_in_the_same_turn_are_answered_at_once(doubler, autojump_clock):
    assert await ask_all(doubler, range(20)) == {key: 2 * key for key in range(20)}
    assert [len(keys) for keys in doubler.asked] == [20]


async def test_who_comes_later_is_part_of_the_next_answering(doubler, autojump_clock):
    answers: dict[int, Any] = {}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(doubler.ask, 0, answers)
        await trio.sleep(0.5)
        for key in (1, 2, 3):
            nursery.start_soon(doubler.ask, key, answers)
    assert answers == {0: 0, 1: 2, 2: 4, 3: 6}
    assert [len(keys) for keys in doubler.asked] == [1, 3]
    assert await ask_all(doubler, range(1)) == {0: 0}  # and it begins anew


async def test_more_than_fit_into_one_answering_are_answered_in_turn(doubler, autojump_clock):
    many = range(2 * AT_A_TIME + 1)
    assert await ask_all(doubler, many) == {key: 2 * key for key in many}
    assert [len(keys) for keys in doubler.asked] == [AT_A_TIME, AT_A_TIME, 1]


async def test_who_was_left_out_is_answered_the_next_time(doubler, autojump_clock):
    doubler.at_most = 2
    assert await ask_all(doubler, range(5)) == {key: 2 * key for key in range(5)}
    assert [len(keys) for keys in doubler.asked] == [5, 3, 1]


async def test_a_failure_is_told_to_those_it_struck_and_to_nobody_else(doubler, autojump_clock):
    doubler.fails, answers = 1, {}
    async with trio.open_nursery() as nursery:
        for key in (0, 1):
            nursery.start_soon(doubler.ask, key, answers)
        await trio.sleep(0.5)
        nursery.start_soon(doubler.ask, 2, answers)
    assert answers == {0: "not today", 1: "not today", 2: 4}


@pytest.mark.parametrize("leaving", [0, 1, 2])
@pytest.mark.parametrize("when", [0.0, 0.5, 1.0, 1.5])
async def test_whoever_leaves_at_whatever_moment_harms_nobody(doubler, autojump_clock, leaving, when):
    scopes, answers = [trio.CancelScope() for _ in range(3)], {}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(doubler.ask, 0, answers, scopes[0])
        nursery.start_soon(doubler.ask, 1, answers, scopes[1])
        await trio.sleep(0.25)
        nursery.start_soon(doubler.ask, 2, answers, scopes[2])
        if when:
            await trio.sleep(when - 0.25 if when > 0.25 else 0)
        scopes[leaving].cancel()
    assert {key: 2 * key for key in range(3) if key != leaving}.items() <= answers.items()
    assert await ask_all(doubler, range(1)) == {0: 0}


async def test_nobody_waits_for_ever_behind_an_answering_that_hangs(doubler, autojump_clock):
    doubler.takes, answers = 60.0, {}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(doubler.ask, 0, answers)
        await trio.sleep(0.5)
        nursery.start_soon(doubler.ask, 1, answers)
        await trio.sleep(PATIENCE + 0.1)
        assert answers == {1: "The database does not answer in time."}
    assert answers[0] == 0


async def test_a_crowd_is_refused_rather_than_grown(doubler, autojump_clock, monkeypatch):
    monkeypatch.setattr(together, "MAX_WAITING", 3)
    assert await ask_all(doubler, range(3)) == {0: 0, 1: 2, 2: 4}
    answers = await ask_all(doubler, range(4))
    assert list(answers.values()).count("Too many readings wait for the database.") == 1
    assert len(answers) == 4
