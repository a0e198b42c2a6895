"""The table says plainly what was reached, what was missed and what was not measured."""

from benchmarks.table import Figure, over_rounds, render

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


def test_a_target_just_met_is_met_and_no_target_is_no_verdict():
    assert Figure("b", "w", 10, target=10).passed is True
    assert Figure("b", "w", 10, target=10, bound="at most").passed is True
    assert Figure("b", "w", 10.1, target=10, bound="at most").passed is False
    assert Figure("b", "w", 10).passed is None


def test_json_has_the_verdict_and_the_median_of_the_rounds():
    found = over_rounds("b", "w", [3.0, 1.0, 2.0], "s", target=2, bound="at most").as_json()
    assert (found["value"], found["low"], found["high"], found["passed"]) == (2.0, 1.0, 3.0, True)
