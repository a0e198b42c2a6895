import pytest

from callsheet import run, run_sync
from callsheet.builtin import Counter, sleep
from callsheet.errors import Invalid

MOST = 2**53


async def test_sleep_sends_how_long_it_really_slept(autojump_clock):
    assert (await run(sleep, {"seconds": 3600})).outputs == pytest.approx([3600])


def test_sleep_may_be_no_time_at_all():
    assert run_sync(sleep, {"seconds": 0}).outputs == pytest.approx([0], abs=0.01)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({}, "/seconds: is required"),
        ({"seconds": "2"}, "/seconds: must be a number"),
        ({"seconds": True}, "/seconds: must be a number"),
        ({"seconds": -1}, "/seconds: must be at least 0"),
        ({"seconds": 86_400 * 365 + 1}, "/seconds: must be at most 31536000"),
        ({"seconds": float("nan")}, "/seconds: must be a finite number"),
        ({"seconds": float("inf")}, "/seconds: must be"),
        ({"seconds": 1, "minutes": 1}, "/minutes: is not a known field"),
    ],
)
def test_sleep_takes_a_number_of_seconds_within_a_year(document, sentence):
    with pytest.raises(Invalid, match=sentence):
        sleep.check_input(document)


def test_the_counter_counts_from_run_to_run():
    first = run_sync(Counter, {})
    second = run_sync(Counter, {"by": -3}, state=first.state)
    assert (first.outputs, second.outputs) == ([1], [-2])
    assert second.state == {"value": -2}


@pytest.mark.parametrize(("value", "by"), [(MOST, 1), (-MOST, -1), (1, MOST)])
def test_the_counter_never_leaves_the_numbers_that_json_readers_know(value, by):
    result = run_sync(Counter, {"by": by}, state={"value": value})
    assert isinstance(result.error, OverflowError)
    assert result.state == {"value": value}
    assert run_sync(Counter, {"by": by}, state={"value": value - by}).outputs == [value]


@pytest.mark.parametrize("by", [MOST + 1, -MOST - 1, 1.5, "1", None])
def test_the_counter_takes_whole_steps_within_that_range(by):
    with pytest.raises(Invalid, match="/by: must be"):
        Counter.check_input({"by": by})


def test_built_in_tasks_have_names_and_words_for_people():
    assert (sleep.name, Counter.name) == ("sleep", "counter")
    assert sleep.doc
    assert Counter.doc
    assert Counter.state_scope == "schedule"
