"""`callsheet simulate` reads a database that a service may hold, says what would happen, and writes not a byte."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from callsheet.instants import SECOND
from storage.journal.commands import Claim, EndInstance, PauseSchedule, PutSchedule
from storage.journal.facts import InstanceStarted

SPAN = ("--from", "2030-03-01T00:00:00Z", "--to", "2030-03-02T00:00:00Z")


@pytest.fixture
def simulate(tmp_path, database_url):
    """Run the command on the database of the test; return exit code, output and errors."""

    def run(*arguments, url=database_url):
        place = [] if url is None else ["--database", url]
        command = [sys.executable, "-m", "callsheet", "simulate", *place, *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def busy(journal, ask, tell, clock):
    """A journal, holding its database, with two schedules and a history of three runs."""
    ask(journal, PutSchedule("hourly", {"task": "noop", "trigger": {"cron": "0 * * * *"}}))
    ask(journal, PutSchedule("idle", {"task": "failing", "trigger": {"every": "1h"}}))
    ask(journal, PauseSchedule("idle"))
    for seconds in (10, 20, 3000):
        clock.move(3600)
        (run,) = [fact for fact in tell(journal, Claim(0)) if isinstance(fact, InstanceStarted)]
        tell(journal, EndInstance(run, "succeeded", clock.instant, clock.instant + seconds * SECOND))
    return journal


def test_it_reads_what_a_service_holds(busy, simulate):
    code, out, _ = simulate(*SPAN, "-o", "json")

    answer = json.loads(out)
    assert (code, answer["firings"]) == (0, 24)
    assumed = answer["schedules"][0]["assumed"]
    assert (assumed["source"], assumed["runs"], assumed["longest_seconds"]) == ("schedule", 3, 3000)
    assert answer["assumptions"] == [
        "idle is paused and was left out.",
        "The task noop is not in the code at hand: it is taken to have no limits, retries or state.",
    ]


def test_the_same_seed_gives_the_same_bytes_in_any_process(busy, simulate):
    one, two, other = (simulate(*SPAN, "-o", "json", "--seed", seed)[1] for seed in "112")

    assert one == two
    assert one != other


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_not_a_byte_is_written(busy, simulate, tmp_path):
    def sums():  # by another process: to open and close the file in this one would let go of SQLite's locks
        command = ["sha256sum", "callsheet.db", "callsheet.db-wal"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    before = sums()
    assert before.count("\n") == 2
    assert simulate(*SPAN)[0] == 0
    assert sums() == before


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_database_that_nobody_holds_can_be_read_as_well(busy, database, simulate, tmp_path):
    database.close()
    before = (tmp_path / "callsheet.db").read_bytes()

    assert simulate(*SPAN)[0] == 0
    assert (tmp_path / "callsheet.db").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} <= {
        "callsheet.db",
        "callsheet.db.lock",
        "callsheet.db-wal",
        "callsheet.db-shm",
    }


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_durations_and_schedules_can_be_given(busy, simulate, tmp_path):
    (tmp_path / "try.json").write_text(
        '{"more": {"task": "sleep", "input": {"seconds": 1}, "trigger": {"every": "10m"}}}'
    )

    code, out, _ = simulate(*SPAN, "--schedules", "try.json", "--task-seconds", "sleep=15m", "--task-seconds", "noop=5")

    assert code == 0
    assert "firings    96: 96 succeeded\n" in out
    assert "skipped    72 (overlap)\n" in out
    assert "more (sleep): 72 firings, 72 omitted, 0 queued, 64,800 s\n    durations as given: median 900 s" in out


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--from", "today"), "--from must be an RFC 3339 time with an offset, like 2027-08-08T17:35:00Z."),
        (("--to", "2001-01-01T00:00:00Z"), "to must be later than from"),
        (("--task-seconds", "noop"), "--task-seconds noop: must be NAME=DURATION."),
        (("--task-seconds", "noop=soon"), 'noop must be a duration like "30s", "2m", "1h30m"'),
        (("--task-seconds", "nope=5"), "durations/nope is no schedule and no task"),
        (("--schedules", "none.json"), "No such file or directory: 'none.json'"),
        (("--schedules", "/dev/null"), "/dev/null is not JSON: Input data was truncated."),
        (("--max-running", "0"), "--max-running must be a whole number of at least 1"),
        (("--resolution", "10m"), "--resolution must be at most one minute."),
        (("--seed", "-1"), "--seed must be a whole number from 0 to 2^53."),
    ],
)
def test_what_is_wrong_is_one_sentence(busy, simulate, arguments, why):
    code, out, err = simulate(*arguments)

    assert (code, out) == (78, "")
    assert err.startswith("callsheet: ")
    assert why in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_wrong_with_what_is_tried_is_told_by_schedule(busy, simulate, tmp_path):
    (tmp_path / "tried.json").write_text(
        json.dumps({"a": {"task": "nope"}, "b": {"task": "noop", "trigger": {"every": 0}}})
    )
    code, _, err = simulate(*SPAN, "--schedules", "tried.json")

    assert code == 78
    assert all(word in err for word in ("a/task", "a/trigger", "b/trigger/every"))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_ctrl_c_ends_it_at_any_moment_without_a_word(busy, tmp_path, database_url):
    command = [
        sys.executable,
        "-m",
        "callsheet",
        "simulate",
        "--database",
        database_url,
        "--to",
        "2000d",
        "--from",
        SPAN[1],
    ]
    for wait in (1.0, 2.0):
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, start_new_session=True) as process:
            time.sleep(wait)
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: its fork hears of it, too
            _, said = process.communicate(timeout=10)

        assert (process.returncode, said) == (130, b"")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_database_that_is_none_is_refused_and_not_made(simulate, tmp_path):
    code, _, err = simulate(*SPAN)

    assert (code, err) == (78, f"callsheet: There is no database {tmp_path / 'callsheet.db'}.\n")
    assert list(tmp_path.iterdir()) == []
    assert "must be sqlite:///PATH" in simulate(*SPAN, url="mysql://x")[2]


def test_an_empty_postgres_database_is_refused(simulate, postgres_url):
    code, _, err = simulate(*SPAN, url=postgres_url)

    assert (code, err) == (78, "callsheet: The database is not callsheet's, or was never served.\n")


def test_it_goes_by_the_file_of_settings_and_a_flag_goes_over_it(busy, simulate, tmp_path, database_url):
    (tmp_path / "callsheet.toml").write_text("database = 'sqlite:///nowhere.db'")

    assert simulate(*SPAN)[0] == 0
    code, _, err = simulate(*SPAN, url=None)
    assert (code, "nowhere.db" in err) == (78, True)
    (tmp_path / "callsheet.toml").write_text(f"database = '{database_url}'")
    assert simulate(*SPAN, url=None)[0] == 0
