"""The keyring: who is let in, and which streams end when somebody is let in no more."""

from uuid import UUID

import trio

from callsheet.instants import SECOND
from callsheet.tokens import CONFIGURED, KEYLESS, Caller, hash_of, new_token
from storage.journal.facts import TokenCreated, TokenRevoked
from storage.queries.tokens import Standing
from web.keyring import Keyring

ADA = UUID(int=1)
SECRET = new_token()


def ring(expires_at=None):
    return Keyring.of(None, [Standing(ADA, "ada", "operator", hash_of(SECRET), expires_at)])


def test_a_new_token_is_as_good_as_one_that_was_there_at_the_start():
    late = Keyring()
    assert not late.needed
    late.take((TokenCreated(ADA, "ada", "operator", hash_of(SECRET), None),))

    assert late.needed
    assert late.caller(SECRET, 0) == ring().caller(SECRET, 0) == Caller("ada", "operator", ADA)


def test_a_token_expires_on_the_instant():
    assert ring(5).caller(SECRET, 4) is not None
    assert ring(5).caller(SECRET, 5) is None


def test_two_tokens_are_never_alike_and_carry_256_bits():
    made = {new_token() for _ in range(1000)}

    assert len(made) == 1000
    assert {len(one.removeprefix("csk_")) for one in made} == {43}


async def test_a_stream_that_begins_after_its_key_was_revoked_ends_at_once():
    keys, late, keyless = ring(), trio.CancelScope(), trio.CancelScope()
    caller = keys.caller(SECRET, 0)
    keys.take((TokenRevoked(ADA, "ada"),))
    keys.hold(caller, late, 0)
    keys.hold(KEYLESS, keyless, 0)

    assert late.cancel_called
    assert keyless.cancel_called


async def test_only_the_streams_of_the_revoked_end(autojump_clock):
    keys, hers, configured = ring(60 * SECOND), trio.CancelScope(), trio.CancelScope()
    keys.hold(keys.caller(SECRET, 0), hers, 0)
    keys.hold(CONFIGURED, configured, 0)

    assert hers.deadline == trio.current_time() + 60
    keys.take((TokenRevoked(ADA, "ada"),))
    assert hers.cancel_called
    assert not configured.cancel_called
    keys.take((TokenCreated(UUID(int=2), "bob", "viewer", "hash", None),))
    assert not configured.cancel_called
