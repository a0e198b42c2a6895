"""What is written in crowds is what was given, however it is written: alone, by VALUES or by COPY."""

import json

import pytest

from storage.dialect import CROWD, PAGES
from storage.journal.commands import EndInstance, KeepLog, KeepOutput, Start, StartInstances
from storage.queries.instances import list_log, list_outputs

AWKWARD = [
    "",
    " ",
    "\\",
    "\\N",
    "\\.",
    "\t",
    "a\tb\nc\r\nd",
    "\\t",
    "null",
    "%s",
    "'",
    '"',
    "ünï\u2028",
    "\x01",
    "{}",
    "\x7f",
]


@pytest.mark.parametrize("number", [1, CROWD - 1, CROWD, 3 * CROWD])
def test_texts_come_back_as_they_were_given(bench, number):
    texts = [AWKWARD[n % len(AWKWARD)] for n in range(number)]
    run = bench.start()
    bench.journal.apply([KeepOutput(run.id, n, n, json.dumps(text).encode()) for n, text in enumerate(texts)])
    bench.journal.apply(
        [KeepLog(run.id, n, n, "info", text, json.dumps({"x": text}).encode()) for n, text in enumerate(texts)]
    )

    sent = list_outputs(bench.database, run.id, 200, None).items
    assert [(one.seq, json.loads(one.value)) for one in sent] == list(enumerate(texts))
    logged = list_log(bench.database, run.id, 200, None).items
    assert [(one.text, json.loads(one.fields)["x"]) for one in logged] == [(text, text) for text in texts]


@pytest.mark.parametrize("number", [1, CROWD, sum(PAGES) + 3, 2500])
def test_every_end_of_a_crowd_is_written_to_its_own_row(bench, number):
    bench.ask(StartInstances(tuple(Start("noop", b"null", tags=("x", f"t{n % 7}")) for n in range(number))))
    runs = bench.started
    outcomes = ["succeeded", "failed", "cancelled"]
    ends = [
        EndInstance(run, outcomes[n % 3], n, n + 1, b'{"type": "A\\tB"}' if n % 3 == 1 else None, may_retry=False)
        for n, run in enumerate(runs)
    ]
    bench.journal.apply(ends)

    rows = bench.rows("SELECT state, started_at, finished_at, error FROM instance ORDER BY id")
    assert [tuple(row) for row in rows] == [
        (end.outcome, end.started_at, end.finished_at, end.error and end.error.decode()) for end in ends
    ]
    assert bench.rows("SELECT count(*) FROM instance_tag") == [(2 * number,)]
    assert bench.rows("SELECT count(*) FROM event WHERE type = 'instance.ended'") == [(number,)]


def test_an_end_that_is_told_twice_in_one_crowd_is_written_once(bench):
    bench.ask(StartInstances(tuple(Start("noop", b"null") for _ in range(30))))
    runs = bench.started
    ends = [EndInstance(run, "succeeded", 1, 2) for run in runs]
    bench.journal.apply([*ends, EndInstance(runs[7], "failed", 3, 4, may_retry=False)])

    assert bench.instance(runs[7].id).outcome == "succeeded"
    assert bench.rows("SELECT count(*) FROM instance WHERE state = 'succeeded'") == [(30,)]
