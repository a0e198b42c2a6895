"""Promises about explanations: what the ledger holds is told, whatever became of the trigger since."""

from storage.journal.commands import PatchSchedule
from storage.queries.explain import explain

SECOND = 1_000_000


def at(bench, seconds):
    return explain(bench.database, "s", type(bench.clock)().instant + seconds * SECOND, bench.clock.now())


def skipped_four_times(bench):
    """A schedule whose due times 20 to 50 s are one row, and whose trigger was another one then."""
    bench.put()
    for _ in range(5):
        bench.claim_after(10)
    bench.ask(PatchSchedule("s", {"trigger": {"every": "1h"}}))


def test_the_ends_of_a_row_are_due_times_whatever_the_trigger_is_now(bench):
    skipped_four_times(bench)
    for end in (20, 50):
        found = at(bench, end)
        assert (found.due_at, found.entry.fate) == (type(bench.clock)().instant + end * SECOND, "skipped")
        assert "was skipped, for an instance of it still went on" in found.sentence


def test_of_the_middle_of_a_row_of_another_trigger_no_more_is_said_than_is_known(bench):
    skipped_four_times(bench)
    found = at(bench, 30)
    assert (found.due_at, found.entry.count) == (None, 4)
    assert "Its trigger was another one then: of the 4 due times" in found.sentence


def test_between_two_due_times_of_a_row_nothing_was_due(bench):
    bench.put()
    for _ in range(5):
        bench.claim_after(10)
    found = at(bench, 25)
    assert (found.due_at, found.entry) == (None, None)
    assert found.sentence.startswith("It was not due at")
