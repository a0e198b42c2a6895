"""The page of results tells what falls short and why; the check for CI fails for what is broken, never for noise."""

from benchmarks import check, report
from benchmarks.table import Figure, Side

MISSED = Figure("speed", "of the floor", 0.4, "×", target=0.5, floor=True)
MET = Figure("speed", "of the rival", 12, "×", target=10)
FOUND = {
    "quick": False,
    "at": "2026-11-25T12:00+00:00",
    "minutes": 20.5,
    "machine": {
        "cores": 2, "processor": "one", "system": "Linux 6", "python": "3.11.7", "sqlite": "3.40.1",
        "packages": {"trio": "0.35.0"}, "fsync_ms": 0.2, "load_at_start": 0.1,
    },
}  # fmt: skip


def test_the_page_says_by_how_much_a_target_is_missed_and_what_people_said_of_it():
    sides = [Side.of("speed", "other", "nothing", [1.0], "runs/s")]
    text = report.page(FOUND, [MISSED, MET], sides, {"speed": {"of the floor": "JSON takes 9 µs of 45."}})
    assert "- **speed**, of the floor: 0.40 × where at least 0.50 × is asked, by 20 %. JSON takes 9 µs of 45.\n" in text
    assert "a whole run, 2026-11-25T12:00+00:00, in 20.5 minutes" in text
    assert "trio 0.35.0" in text
    assert "| speed     | other |" in text


def test_a_miss_without_a_remark_is_not_passed_over():
    assert report.NO_REMARK in report.page(FOUND, [MISSED], [], {})
    assert "falls short" not in report.page(FOUND, [MET], [], {})


def test_remarks_that_do_not_hold_any_more_are_found():
    remarks = {"speed": {"of the floor": "a", "of the rival": "b", "of nobody": "c"}, "memory": {"each": "d"}}
    assert report.stale([MISSED, MET], remarks) == ["speed: of the rival", "speed: of nobody"]


def test_the_remarks_in_the_repository_can_be_read():
    assert all(isinstance(text, str) for about in report.read_remarks().values() for text in about.values())


def test_a_ratio_that_is_bad_once_is_measured_again_and_passes():
    rounds = iter([0.1, 0.4])
    (found,) = check.settled(lambda: [Figure("speed", "of the floor", next(rounds), "×", target=0.5, floor=True), MET])
    assert (found.value, found.broken) == (0.4, False)


def test_a_ratio_that_is_bad_every_time_is_broken():
    rounds = iter([0.1, 0.2, 0.15])
    (found,) = check.settled(lambda: [Figure("speed", "of the floor", next(rounds), "×", target=0.5, floor=True)])
    assert (found.value, found.broken) == (0.2, True)
    assert list(rounds) == [], "it was measured three times"


def test_a_good_ratio_is_measured_once():
    rounds = iter([0.5, 0.1])
    check.settled(lambda: [Figure("speed", "of the floor", next(rounds), "×", target=0.5, floor=True)])
    assert list(rounds) == [0.1]
