"""The tables say plainly what was reached, what was missed and what was not measured."""

import pytest

from benchmarks.table import Figure, Side, over_rounds, ratio, render, render_sides

FIGURES = [
    over_rounds("speed", "rate", [20_000.0, 21_000.0, 19_500.0], "runs/s"),
    Figure("speed", "of the floor", 0.31, "×", 0.29, 0.33, target=0.3),
    Figure("speed", "of the rival", None, "×", target=10),
    Figure("memory", "each", 16.04, "KiB", target=15, bound="at most"),
]


def test_the_table_shows_each_figure_with_its_verdict():
    assert render(FIGURES).splitlines() == [
        "| benchmark | what         | result            | min to max       | target          | verdict |",
        "|-----------|--------------|-------------------|------------------|-----------------|---------|",
        "| speed     | rate         | 20,000 runs/s     | 19,500 to 21,000 |                 |         |",
        "|           | of the floor | 0.31 ×            | 0.29 to 0.33     | at least 0.30 × | pass    |",
        "|           | of the rival | not measured here |                  | at least 10 ×   |         |",
        "| memory    | each         | 16.0 KiB          |                  | at most 15 KiB  | MISSED  |",
    ]


def test_those_beside_us_show_their_own_rate_and_how_many_times_ours_is():
    ours = Side.of("speed", "callsheet", "outcomes", [900.0, 1000.0, 1100.0], "runs/s", cpu=40.0, ours=1000.0)
    other = Side.of("speed", "other", "nothing", [250.0], "runs/s", cpu=120.0, ours=1000.0)
    assert render_sides([ours, other]).splitlines() == [
        "| benchmark | who       | rate         | min to max   | CPU each | callsheet / it | it keeps |",
        "|-----------|-----------|--------------|--------------|----------|----------------|----------|",
        "| speed     | callsheet | 1,000 runs/s | 900 to 1,100 | 40 µs    | 1 ×            | outcomes |",
        "|           | other     | 250 runs/s   |              | 120 µs   | 4 ×            | nothing  |",
    ]


def test_a_target_just_met_is_met_and_no_target_is_no_verdict():
    assert Figure("b", "w", 10, target=10).passed is True
    assert Figure("b", "w", 10, target=10, bound="at most").passed is True
    assert Figure("b", "w", 10.1, target=10, bound="at most").passed is False
    assert Figure("b", "w", 10).passed is None


def test_json_has_the_verdict_and_the_median_of_the_rounds():
    found = over_rounds("b", "w", [3.0, 1.0, 2.0], "s", target=2, bound="at most").as_json()
    assert (found["value"], found["low"], found["high"], found["passed"]) == (2.0, 1.0, 3.0, True)


def test_a_ratio_compares_medians_and_spans_what_each_round_gave():
    found = ratio("b", "w", [10.0, 30.0, 20.0], [100.0, 100.0, 50.0], 0.3, floor=True)
    assert (found.value, found.low, found.high, found.passed) == (0.2, 0.1, 0.4, False)


def test_a_ratio_to_somebody_who_had_other_rounds_has_no_span():
    found = ratio("b", "w", [10.0, 30.0, 20.0], [10.0], 2)
    assert (found.value, found.low, found.high) == (2.0, 2.0, 2.0)


def test_a_ratio_to_nobody_is_not_measured():
    assert ratio("b", "w", [10.0], [], 2).value is None


@pytest.mark.parametrize(("value", "floor", "broken"), [(0.24, True, True), (0.25, True, False), (0.24, False, False)])
def test_only_a_ratio_to_a_floor_below_half_of_its_target_is_broken(value, floor, broken):
    assert Figure("b", "w", value, target=0.5, floor=floor).broken is broken


def test_what_is_missed_says_by_how_much():
    assert Figure("b", "w", 0.4, target=0.5).short == "by 20 %"
    assert Figure("b", "w", 12.0, target=10, bound="at most").short == "by 20 %"
    assert Figure("b", "w", 3, target=0, bound="at most").short == "3 too many"
    assert Figure("b", "w", 0.5, target=0.5).short == ""
