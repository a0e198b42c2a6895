"""Those who ask for the same kind of thing at the same time share one answering, such as one reading of the database.

Nobody waits for company: an asker who comes when nobody is at it leads at once, and takes along all who came in the
same turn of the loop. Whoever comes while it is at it is part of the next one, which one of those leads.
"""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

import trio
from attrs import define, field
from outcome import Error, Outcome, Value

from callsheet.errors import Unavailable

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

AT_A_TIME = 64  # askers in one answering
MAX_WAITING = 1_024
PATIENCE = 10.0  # seconds before an asker's turn comes


@define(eq=False)
class _Asker(Generic[K, V]):
    key: K
    called: trio.Event = field(factory=trio.Event)  # it is answered, or it is its turn to lead
    answer: Outcome[V] | None = None


class Together(Generic[K, V]):
    """Answers askers by what `answer_many` gives for their keys, in order; it may leave out some, but not the first."""

    def __init__(self, answer_many: Callable[[Sequence[K]], Awaitable[Sequence[V]]]) -> None:
        self._answer_many = answer_many
        self._waiting: list[_Asker[K, V]] = []  # the oldest first, which is who leads
        self._leader: _Asker[K, V] | None = None  # there is one as long as anybody waits

    async def ask(self, key: K) -> V:
        """Return the answer for one key; raise what the answering raised, Unavailable when too many wait too long."""
        if len(self._waiting) >= MAX_WAITING:
            raise Unavailable("Too many readings wait for the database.")
        asker = _Asker[K, V](key)
        self._waiting.append(asker)
        try:
            await self._turn_of(asker)
            if asker.answer is None:
                await self._lead()
        finally:
            self._leave(asker)
        assert asker.answer is not None
        return asker.answer.unwrap()

    async def _turn_of(self, asker: _Asker[K, V]) -> None:
        if self._leader is None:
            self._leader = asker
            await trio.lowlevel.checkpoint()
            return
        with trio.move_on_after(PATIENCE):
            await asker.called.wait()
        if not asker.called.is_set():
            raise Unavailable("The database does not answer in time.")

    async def _lead(self) -> None:
        """Answer the oldest who wait, the leader among them; if that is cancelled, they wait for the next leader."""
        taken = self._waiting[:AT_A_TIME]
        answers: Sequence[Outcome[V]]
        try:
            answers = [Value(one) for one in await self._answer_many([asker.key for asker in taken])]
        except Exception as error:  # noqa: BLE001 - it is raised again for each of them
            answers = [Error(error) for _ in taken]
        for asker, answer in zip(taken, answers, strict=False):
            asker.answer = answer
            asker.called.set()
        self._waiting = [asker for asker in self._waiting if asker.answer is None]

    def _leave(self, asker: _Asker[K, V]) -> None:
        """Leave, and call the next one if this one led."""
        if asker.answer is None:
            self._waiting.remove(asker)
        if self._leader is asker:
            self._leader = self._waiting[0] if self._waiting else None
            if self._leader is not None:
                self._leader.called.set()
