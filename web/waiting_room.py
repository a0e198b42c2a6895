"""Those who wait until an instance is over: woken by the fact, so that none asks the database again and again."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import trio
from attrs import define, field

from storage.journal.facts import Fact, InstanceEnded, NodeSaid


@define
class WaitingRoom:
    """Who waits for which instance; it closes when the service begins to stop, or at what `closes_with` names."""

    closed: bool = False
    closes_with: str = "node.draining"
    _waiting: dict[UUID, set[trio.Event]] = field(factory=dict)

    def take(self, facts: tuple[Fact, ...]) -> None:
        """Wake those whose instance has ended, or all when the service stops."""
        for fact in facts:
            if isinstance(fact, InstanceEnded):
                if self._waiting:
                    self._wake(fact.id)
            elif isinstance(fact, NodeSaid) and fact.type == self.closes_with:
                self.close()

    def close(self) -> None:
        """Let nobody wait any more."""
        self.closed = True
        for instance in list(self._waiting):
            self._wake(instance)

    async def wait(self, instance: UUID, seconds: float, is_over: Callable[[], Awaitable[bool]]) -> bool:
        """Wait until an instance is over, for some seconds at most; False when it is not, or the service stops."""
        if self.closed:
            return False
        ended = trio.Event()
        self._waiting.setdefault(instance, set()).add(ended)
        try:
            with trio.move_on_after(seconds):
                if await is_over():  # it may have ended before we came in
                    return True
                await ended.wait()
                return not self.closed
            return False
        finally:
            self._leave(instance, ended)

    @property
    def waiting(self) -> int:
        """Return how many wait."""
        return sum(map(len, self._waiting.values()))

    def _wake(self, instance: UUID) -> None:
        for ended in self._waiting.get(instance, ()):
            ended.set()

    def _leave(self, instance: UUID, ended: trio.Event) -> None:
        others = self._waiting[instance]
        others.discard(ended)
        if not others:
            del self._waiting[instance]
