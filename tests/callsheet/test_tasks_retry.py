import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet import Out, Retry, task


def test_the_wait_doubles_up_to_the_longest():
    policy = Retry(10, backoff="1s..30s")
    assert [policy.delay(attempt, 1.0) for attempt in (1, 2, 3, 4, 5, 6, 500)] == [
        2_000_000, 4_000_000, 8_000_000, 16_000_000, 30_000_000, 30_000_000, 30_000_000,
    ]  # fmt: skip


def test_the_wait_is_drawn_from_the_upper_half():
    policy = Retry(3, backoff="1s..30s")
    assert (policy.delay(1, 0.0), policy.delay(3, 0.0)) == (1_000_000, 4_000_000)


@given(st.integers(1, 10_000), st.floats(0, 1), st.integers(0, 10**8), st.integers(0, 10**8))
def test_the_wait_never_leaves_its_range(attempt, random, one, two):
    first, longest = sorted((one, two))
    policy = Retry(1, backoff=f"{first}ms..{longest}ms")
    assert policy.first <= policy.delay(attempt, random) <= policy.longest


def test_one_duration_is_always_the_same_wait():
    assert {Retry(3, backoff="5s").delay(n, 0.3) for n in (1, 2, 9)} == {5_000_000}
    assert Retry(3, backoff=0).delay(1, 1.0) == 0


def test_every_failure_is_retried_unless_some_are_named():
    assert Retry(1).retries_on(ValueError())
    assert Retry(1).retries_on(SystemExit())
    named = Retry(1, on=(OSError, EOFError))
    assert named.retries_on(ConnectionResetError())
    assert not named.retries_on(ValueError())
    assert Retry(1, on=OSError) == Retry(1, on=(OSError,))


def test_a_group_is_retried_when_all_its_members_are():
    named = Retry(1, on=OSError)
    assert named.retries_on(ExceptionGroup("", [OSError(), ExceptionGroup("", [OSError()])]))
    assert not named.retries_on(ExceptionGroup("", [OSError(), ValueError()]))
    assert Retry(1, on=ExceptionGroup).retries_on(ExceptionGroup("", [ValueError()]))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((-1,), "retries must be a whole number from 0"),
        (("2",), "retries must be a whole number from 0"),
        ((1, "x"), "backoff 'x' must be a duration"),
        ((1, "30s..1s"), "must go from the shorter to the longer"),
        ((1, "1s..2s..3s"), "must be a duration"),
        ((1, "1s", 5), "on must hold exception types, got 5"),
        ((1, "1s", (int,)), "on must hold exception types"),
    ],
)
def test_a_wrong_policy_is_refused(arguments, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        Retry(*arguments)


def test_no_retries_is_no_policy():
    @task(retries=Retry(0))
    async def once(_in: int, out: Out[int]) -> None: ...

    assert once.retries is None
