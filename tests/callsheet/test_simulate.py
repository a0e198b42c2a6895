"""A simulation tells what the engine would do: same rules, same ledger, and the same answer for the same seed."""

import signal
import sqlite3

import msgspec
import pytest

from actors import instance
from callsheet.errors import Invalid
from callsheet.instants import DAY, HOUR, MINUTE, SECOND, parse_instant
from callsheet.simulation import (
    RESOLUTIONS,
    Plan,
    Planned,
    Policy,
    check_size,
    check_span,
    choose_resolution,
    fit_resolution,
    read_durations,
)
from callsheet.timetable import Every
from callsheet.virtual import stand_in
from callsheet.virtual.parts import split
from callsheet.virtual.report import report
from callsheet.virtual.simulate import simulate
from storage.journal import claims

START = parse_instant("2026-03-01T00:00:00Z")
OTHER = "2026-02-28T12:00:00Z"


def planned(slug, trigger, *fates, task="work", **options):
    """Return a schedule to simulate."""
    return Planned(slug, {"task": task, "trigger": trigger, **options}, list(fates) or [(1.0, "succeeded")], "given")


def plan(*schedules, span=DAY, seed=0, **policy):
    """Return a plan over one task."""
    return Plan(START, START + span, list(schedules), [Policy("work", **policy)], seed)


def test_every_due_time_of_the_span_is_accounted_for():
    answer = simulate(plan(planned("a", {"every": "5m", "anchor": OTHER}), planned("b", {"cron": "0 * * * *"})))

    assert answer["firings"] == 288 + 24
    assert answer["outcomes"] == {"succeeded": 312}
    assert [one["firings"] for one in answer["schedules"]] == [288, 24]
    assert answer["busy_seconds"] == 312
    assert answer["omissions"] == answer["omitted"] == answer["assumptions"] == []


def test_its_database_is_closed_when_it_is_over(monkeypatch):
    made, connect = [], sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *words, **named: made.append(connect(*words, **named)) or made[-1])

    simulate(plan(planned("a", {"cron": "0 * * * *"}), span=HOUR))

    [connection] = made
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


def test_the_span_holds_its_start_and_not_its_end():
    assert simulate(plan(planned("a", {"cron": "0 * * * *"}), span=HOUR))["firings"] == 1
    assert simulate(plan(planned("a", {"cron": "0 * * * *"}), span=HOUR + 1))["firings"] == 2


def test_a_run_that_takes_too_long_skips_the_next_due_times():
    answer = simulate(plan(planned("a", {"every": "5m", "anchor": OTHER}, (700.0, "succeeded")), span=HOUR))

    assert answer["firings"] == 4
    assert answer["omissions"] == [{"fate": "skipped", "reason": "overlap", "count": 8}]
    assert answer["omitted"][0] == {
        "schedule": "a", "fate": "skipped", "reason": "overlap",
        "first_due": "2026-03-01T00:05:00Z", "last_due": "2026-03-01T00:10:00Z", "count": 2,
    }  # fmt: skip
    assert answer["unfinished"] == {"running": 0, "queued": 0}
    last = simulate(plan(planned("a", {"every": "5m", "anchor": OTHER}, (700.0, "succeeded")), span=50 * MINUTE))
    assert last["unfinished"] == {"running": 1, "queued": 0}


def test_a_task_at_its_limit_piles_up():
    crowd = [planned(f"s{n}", {"cron": "0 * * * *"}, (60.0, "succeeded")) for n in range(5)]
    answer = simulate(plan(*crowd, max_running=2))

    assert answer["queued"] == 3 * 24
    assert answer["peak"] == {"running": 2, "at": "2026-03-01T00:00:00Z"}
    assert max(one["latest_by"] for one in answer["schedules"]) == 120


def test_the_peak_and_the_busiest_minutes_are_named():
    answer = simulate(
        plan(
            planned("a", {"cron": "*/10 * * * *"}, (30.0, "succeeded")),
            planned("b", {"cron": "30 7 * * *"}, (90.0, "succeeded")),
        )
    )

    assert answer["peak"] == {"running": 2, "at": "2026-03-01T07:30:00Z"}
    assert answer["busiest"][0] == {"minute": "2026-03-01T07:30:00Z", "running": 2, "started": 2}
    assert len(answer["busiest"]) == 10


def test_failures_are_retried_as_the_task_says():
    fates = [(2.0, "failed"), (3.0, "succeeded")]
    answer = simulate(
        plan(
            planned("a", {"every": "5m", "anchor": OTHER}, *fates),
            retries=2,
            first_delay=SECOND,
            longest_delay=10 * SECOND,
        )
    )

    failed = answer["outcomes"]["failed"]
    assert answer["retries"] > 0
    assert answer["firings"] + answer["retries"] == failed + answer["outcomes"]["succeeded"]
    assert 0.35 < failed / (answer["firings"] + answer["retries"]) < 0.65
    assert answer["schedules"][0]["assumed"]["unlucky"] == 0.5


def test_what_timed_out_times_out_again():
    answer = simulate(plan(planned("a", {"cron": "0 * * * *"}, (30.0, "timed_out")), timeout=30 * SECOND))

    assert answer["outcomes"] == {"timed_out": 24}


def test_runs_that_share_a_state_go_one_by_one():
    crowd = [planned(f"s{n}", {"cron": "0 * * * *"}, (60.0, "succeeded")) for n in range(3)]

    assert simulate(plan(*crowd, state="task"))["peak"]["running"] == 1
    assert simulate(plan(*crowd, state="schedule"))["peak"]["running"] == 3


def test_a_pause_that_ends_within_the_span_is_kept_to():
    one = planned("a", {"cron": "0 * * * *"})
    one.paused_until = START + 12 * HOUR + MINUTE

    assert simulate(plan(one))["firings"] == 11


def test_what_cannot_be_put_is_left_out_and_named():
    answer = simulate(plan(planned("gone", {"at": "2026-02-01T00:00:00Z"}), planned("a", {"cron": "0 * * * *"})))

    assert answer["firings"] == 24
    assert answer["assumptions"] == [
        "gone was left out: /trigger/at: has passed: it is 2026-02-28T23:59:59.999999Z now"
    ]


def test_the_same_plan_gives_the_same_answer_byte_for_byte():
    fates = [(float(7 * n % 400), "failed" if n % 9 == 0 else "succeeded") for n in range(50)]
    crowd = [planned(f"s{n}", {"every": "5m", "anchor": OTHER}, *fates, jitter="20s") for n in range(4)]

    def answer(seed):
        return msgspec.json.encode(simulate(plan(*crowd, seed=seed, max_running=3, retries=1)))

    assert answer(1) == answer(1)
    assert answer(1) != answer(2)


def test_a_schedule_more_does_not_change_the_luck_of_the_others():
    fates = [(float(n), "succeeded") for n in range(1, 50)]
    one, other = (planned(name, {"cron": "*/5 * * * *"}, *fates) for name in "ab")

    alone, together = simulate(plan(one)), simulate(plan(one, other))
    assert alone["schedules"][0] == together["schedules"][0]


def test_what_lies_closer_together_than_the_resolution_happens_together():
    crowd = [planned(f"s{n}", {"every": "5m", "anchor": f"2026-02-28T00:00:00.0{n}Z"}) for n in range(1, 9)]
    exact, coarse = plan(*crowd), plan(*crowd)
    coarse.resolution = 200_000

    one, other = simulate(exact), simulate(coarse)
    assert one["firings"] == other["firings"] == 288 * 8
    assert one["peak"]["at"] == "2026-03-01T00:00:00.080000Z"
    assert other["peak"] == {"running": 8, "at": "2026-03-01T00:00:00.200000Z"}
    assert other["busy_seconds"] == 288 * 8
    assert {line["latest_by"] for line in other["schedules"]} == {0}


@pytest.mark.parametrize("resolution", [0, SECOND])
@pytest.mark.parametrize("seconds", [299.5, 300.0])
def test_what_ends_in_the_moment_of_the_next_due_time_has_ended_before_it(seconds, resolution):
    for seed in range(3):
        crowd = [planned(name, {"cron": "*/5 * * * *"}, (seconds, "succeeded")) for name in "abc"]
        one = plan(*crowd, span=6 * HOUR, seed=seed)
        one.resolution = resolution

        assert simulate(one)["firings"] == 3 * 72


@pytest.mark.parametrize("resolution", [0, SECOND // 5, SECOND])
def test_it_has_ended_before_it_in_any_company(resolution):
    one = plan(
        planned("a", {"every": "60s", "anchor": OTHER}, (60.0, "succeeded")),
        planned("b", {"every": "60s", "anchor": OTHER}, (0.001, "succeeded")),
        planned("c", {"every": "60s", "anchor": OTHER}, (7.123, "succeeded"), jitter=3),
        span=6 * HOUR,
    )
    one.resolution = resolution

    assert [line["firings"] for line in simulate(one)["schedules"]] == [360, 360, 360]


@pytest.mark.parametrize(("interval", "seconds"), [(300.5, 300.4), (61.1, 61.05), (7.3, 7.29)])
def test_what_ends_before_the_next_due_time_ends_before_it_at_the_resolution_that_is_chosen(interval, seconds):
    one = plan(planned("a", {"every": interval, "anchor": OTHER}, (seconds, "succeeded")), span=6 * HOUR)
    one.resolution = choose_resolution(one, [Every(round(interval * SECOND), 0)])

    answer = simulate(one)
    assert one.resolution > 0
    assert answer["omissions"] == []


@pytest.mark.parametrize("seconds", [1.1, 0.3, 7.7])
def test_a_run_as_long_as_its_time_out_times_out(seconds):
    trigger = {"every": "100s", "anchor": OTHER}
    one = plan(planned("a", trigger, (seconds, "succeeded")), span=6 * HOUR, timeout=round(seconds * SECOND))

    assert simulate(one)["outcomes"] == {"timed_out": 216}


def test_time_is_made_of_whole_microseconds_whatever_floats_add_up_to():
    one = plan(planned("a", {"every": "1.1s", "anchor": OTHER}, (1.1, "succeeded")), span=6 * HOUR)
    one.resolution = 2000

    assert simulate(one)["omissions"] == []


@pytest.mark.parametrize(
    ("line", "policy"),
    [({}, {"max_running": 2}), ({}, {"state": "task"}), ({}, {"retries": 1}), ({"overlap": "queue"}, {})],
)
def test_where_runs_wait_for_each_other_it_is_exact_as_delays_add_up(line, policy):
    crowd = plan(planned("a", {"cron": "*/5 * * * *"}, **line), **policy)

    assert choose_resolution(crowd, [Every(5 * MINUTE, 0)]) == 0


def test_where_nobody_waits_it_is_as_fine_as_the_shortest_interval_wants():
    after = planned("b", {"after": "a"})
    one = plan(planned("a", {"cron": "*/5 * * * *"}))

    assert choose_resolution(one, [Every(5 * MINUTE, 0)]) == SECOND
    one.schedules.append(after)
    assert choose_resolution(one, [Every(5 * MINUTE, 0)]) == 0
    one.schedules.remove(after)
    one.max_running = 10
    assert choose_resolution(one, [Every(5 * MINUTE, 0)]) == 0


def test_what_ends_after_the_next_due_time_goes_on_at_it():
    one = plan(planned("a", {"cron": "*/5 * * * *"}, (300.001, "succeeded")), span=6 * HOUR)
    one.resolution = SECOND

    answer = simulate(one)
    assert (answer["firings"], answer["omissions"]) == (36, [{"fate": "skipped", "reason": "overlap", "count": 36}])


def test_a_run_counts_for_as_long_as_it_takes_and_not_until_it_is_noticed():
    one = plan(
        planned("a", {"cron": "0 * * * *"}, (0.25, "succeeded")), planned("b", {"cron": "0 * * * *"}, (9.0, "failed"))
    )
    one.resolution = SECOND

    assert [line["busy_seconds"] for line in simulate(one)["schedules"]] == [6, 216]


def test_a_run_that_is_cut_short_counts_until_it_was_cut():
    one = plan(planned("a", {"cron": "0 * * * *"}, (500.0, "succeeded")), timeout=20 * SECOND)

    assert simulate(one)["busy_seconds"] == 24 * 20
    one.tasks[0].timeout, one.resolution = SECOND // 10, SECOND
    assert simulate(one)["busy_seconds"] == pytest.approx(2.4)


def test_a_run_that_is_unfinished_counts_until_the_end():
    one = plan(planned("a", {"cron": "50 * * * *"}, (1200.0, "succeeded")), span=HOUR)
    answer = simulate(one)

    assert answer["unfinished"]["running"] == 1
    assert answer["busy_seconds"] == answer["schedules"][0]["busy_seconds"] == 600


def test_runs_that_take_no_time_run_at_once_all_the_same():
    flash = (0.0, "succeeded")
    answer = simulate(plan(planned("a", {"cron": "30 * * * *"}, flash), span=HOUR * 2))

    assert answer["peak"] == {"running": 1, "at": "2026-03-01T00:30:00Z"}
    assert [minute["running"] for minute in answer["busiest"]] == [1, 1]
    long = planned("l", {"cron": "0 * * * *"}, (2400.0, "succeeded"))
    crowd = plan(long, *(planned(f"s{n}", {"cron": "30 * * * *"}, flash) for n in range(5)), span=HOUR)
    assert simulate(crowd)["peak"] == {"running": 6, "at": "2026-03-01T00:30:00Z"}
    crowd.max_running = 2
    assert simulate(crowd)["peak"]["running"] == 2


@pytest.mark.parametrize(("where", "what"), [(stand_in, "blake2b"), (instance, "EndInstance"), (claims, "decide")])
def test_ctrl_c_is_heard_wherever_it_strikes(monkeypatch, where, what):
    called = getattr(where, what)

    def struck(*words, **named):
        signal.raise_signal(signal.SIGINT)
        return called(*words, **named)

    monkeypatch.setattr(where, what, struck)  # in a body, beside it, and in the journal
    with pytest.raises(BaseExceptionGroup) as caught:
        simulate(plan(planned("a", {"cron": "0 * * * *"}, (1.0, "succeeded"), (2.0, "succeeded"))))
    assert caught.group_contains(KeyboardInterrupt)


def test_whole_seconds_are_met_exactly_at_every_resolution():
    assert RESOLUTIONS[0] == SECOND
    assert all(SECOND % resolution == 0 for resolution in RESOLUTIONS)
    one = plan(planned("a", {"cron": "*/7 * * * *"}, (13.0, "succeeded")))
    one.resolution = SECOND

    assert simulate(one)["schedules"][0]["latest_by"] == 0


def test_the_resolution_fits_the_shortest_interval():
    assert fit_resolution(START, [Every(5 * MINUTE, 0), Every(DAY, 0)]) == SECOND
    assert fit_resolution(START, [Every(MINUTE, 0), Every(DAY, 0)]) == SECOND // 5
    assert fit_resolution(START, [Every(DAY, 0)]) == SECOND
    assert fit_resolution(START, [Every(SECOND, 0)]) == SECOND // 500
    assert fit_resolution(START, []) == SECOND


def test_what_is_tied_together_stays_in_one_half():
    crowd = [planned(f"s{n}", {"cron": "0 * * * *"}) for n in range(4)]

    assert [len(half.schedules) for half in split(plan(*crowd))] == [2, 2]
    assert len(split(plan(*crowd, max_running=2))) == 1
    assert len(split(plan(*crowd, state="task"))) == 1
    assert len(split(plan(*crowd, state="schedule"))) == 2
    assert len(split(plan(*crowd, planned("b", {"after": "s0"})))) == 1


def test_a_span_that_is_none_and_a_plan_that_is_too_large_are_refused():
    with pytest.raises(Invalid, match="must be later than from"):
        check_span(START, START)
    with pytest.raises(Invalid, match="more than 1,000,000 due times"):
        check_size(START, START + 12 * DAY, [Every(SECOND, 0)])
    check_size(START, START + 11 * DAY, [Every(SECOND, 0)])
    with pytest.raises(Invalid, match="more than the 10,000 allowed"):
        check_size(START, START + DAY, [Every(DAY, 0)] * 10_001)


def test_durations_are_read_with_all_that_is_wrong():
    assert read_durations({"a": "1m", "b": [1, "2s"]}) == {
        "a": [(60.0, "succeeded")],
        "b": [(1.0, "succeeded"), (2.0, "succeeded")],
    }
    with pytest.raises(Invalid) as caught:
        read_durations({"a/b": "soon", "c": [], "d": 1})
    assert [error.pointer for error in caught.value.errors] == ["/a~1b", "/c"]


def test_the_report_says_it_in_words():
    answer = simulate(plan(planned("a", {"every": "5m", "anchor": OTHER}, (700.0, "succeeded")), span=HOUR))

    text = report(answer)
    assert "firings    4: 4 succeeded\n" in text
    assert "skipped    8 (overlap)\n" in text
    assert "2026-03-01T00:05:00Z to 2026-03-01T00:10:00Z (2)  a: skipped, overlap\n" in text


def test_what_comes_after_another_schedule_comes_after_it_in_whichever_order_they_are_named():
    follower = planned("a", {"after": "b", "on": "any"}, (60.0, "succeeded"))
    answer = simulate(plan(follower, planned("b", {"cron": "0 * * * *"}, (1.0, "failed")), span=HOUR * 5))

    assert [(one["schedule"], one["firings"]) for one in answer["schedules"]] == [("a", 5), ("b", 5)]
    assert answer["assumptions"] == []


def test_a_circle_is_left_out_and_said_so():
    answer = simulate(plan(planned("a", {"after": "b"}), planned("b", {"after": "a"}), planned("c", {"every": "5m"})))

    assert [note.split(" was left out")[0] for note in answer["assumptions"]] == ["a", "b"]


def test_no_more_run_at_once_than_the_service_allows():
    many = plan(*(planned(f"s{n}", {"cron": "0 * * * *"}, (600.0, "succeeded")) for n in range(4)), span=HOUR)
    many.max_running = 2
    answer = simulate(many)

    assert (answer["peak"]["running"], answer["queued"], answer["firings"]) == (2, 2, 4)


def test_runs_that_are_left_and_due_times_to_skip_are_as_the_schedule_has_them():
    one = planned("a", {"cron": "0 * * * *"}, max_runs=2)
    one.skips = [START + HOUR]
    answer = simulate(plan(one))

    assert (answer["firings"], answer["omissions"]) == (2, [{"fate": "skipped", "reason": "requested", "count": 1}])
