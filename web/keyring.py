"""The keys that are let in, in memory: told by the facts of the bus, so that no request asks the database."""

import hmac
from collections.abc import Iterable
from uuid import UUID
from weakref import WeakSet

import trio
from attrs import define, field

from callsheet.tokens import CONFIGURED, KEYLESS, Caller, hash_of
from storage.journal.facts import Fact, TokenCreated, TokenRevoked
from storage.queries.tokens import Standing


@define(eq=False)
class Keyring:
    """The configured key, if there is one, and all tokens that were not revoked.

    Once keys are asked for, this process asks for them until its end: to revoke the last one opens nothing.
    """

    needed: bool = False
    _configured: str | None = None
    _tokens: dict[str, Standing] = field(factory=dict)
    _streams: dict[UUID | None, WeakSet[trio.CancelScope]] = field(factory=dict)  # by token; forgotten with its request

    @classmethod
    def of(cls, secret: str | None, tokens: Iterable[Standing]) -> "Keyring":
        """Return a keyring of the configured key (None: there is none) and the tokens of the database."""
        held = {token.hash: token for token in tokens}
        return cls(secret is not None or bool(held), None if secret is None else hash_of(secret), held)

    def take(self, facts: tuple[Fact, ...]) -> None:
        """Learn of tokens that were made or revoked; the streams of a revoked one end now."""
        for fact in facts:
            if isinstance(fact, TokenCreated):
                self._ask_from_now_on()
                self._tokens[fact.hash] = Standing(fact.id, fact.name, fact.role, fact.hash, fact.expires_at)
            elif isinstance(fact, TokenRevoked):
                self._tokens = {key: token for key, token in self._tokens.items() if token.id != fact.id}
                self._end_streams(fact.id)

    def _ask_from_now_on(self) -> None:
        if not self.needed:
            self.needed = True
            self._end_streams(None)

    def _end_streams(self, token: UUID | None) -> None:
        for stream in self._streams.pop(token, ()):
            stream.cancel()

    def caller(self, secret: str, now: int) -> Caller | None:
        """Return whose key that is, None if it is nobody's, or has expired."""
        given = hash_of(secret)
        if self._configured is not None and hmac.compare_digest(self._configured, given):
            return CONFIGURED
        token = self._tokens.get(given)  # finding it takes a time that tells of the hash, not of the secret
        if token is None or not hmac.compare_digest(token.hash, given) or _expired(token, now):
            return None
        return Caller(token.name, token.role, token.id)

    def hold(self, caller: Caller, stream: trio.CancelScope, now: int) -> None:
        """End a stream when the key of its caller is revoked, or expires."""
        token = next((token for token in self._tokens.values() if token.id == caller.token), None)
        if (token is None and caller.token is not None) or (caller is KEYLESS and self.needed):
            stream.cancel()  # the key was revoked, or the first one made, while this request was answered
        if token is not None and token.expires_at is not None:
            stream.deadline = trio.current_time() + max(token.expires_at - now, 0) / 1_000_000
        self._streams.setdefault(caller.token, WeakSet()).add(stream)

    @property
    def told(self) -> str:
        """Return in words which keys there are."""
        return f"{len(self._tokens)} tokens" + ("" if self._configured is None else ", and the configured key")


def _expired(token: Standing, now: int) -> bool:
    return token.expires_at is not None and token.expires_at <= now
