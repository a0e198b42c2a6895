"""Schemathesis plays with the whole API over HTTP: no answer is a 5xx, and none is undocumented."""

from collections import Counter
from contextlib import suppress

import pytest
import schemathesis
import trio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from web.gate import Gate
from web.keyring import Keyring

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
KEY = "a-key-of-some-length"  # needed from the start: the play makes tokens, after which it would be needed anyhow
HEADERS = {"Authorization": f"Bearer {KEY}"}
PLAY = settings(
    max_examples=15, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
TRIGGERS = [{"every": "1h"}, {"cron": "0 2 * * *", "timezone": "Europe/Berlin"}, {"at": "2031-01-01T00:00:00Z"}]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
async def test_whatever_is_sent_the_answer_is_one_that_the_document_knows(serving, tmp_path, mode):
    async with serving(f"sqlite:///{tmp_path}/api.db", gate=Gate(Keyring.of(KEY, ()))) as api:
        api.http.headers.update(HEADERS)
        await api.put("/v1/schedules/a", json={"task": "quick", "trigger": {"every": "1h"}})
        run = (await api.start("sleeper")).rpartition("/")[2]
        seen = await trio.to_thread.run_sync(_play_all, api.url, mode, {"id": "a", "uuid": run, "name": "say"})

    assert sum(seen.values()) > 200
    assert mode is GenerationMode.NEGATIVE or {200, 201, 202, 404, 422} <= seen.keys()


def _play_all(url, mode, names):
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=HEADERS)
    seen = Counter()
    for found in schema.get_all_operations():
        _play(found.ok(), mode, names, seen)
    return seen


def _put_in_place(given, **values):
    """Set those of the values that are there already."""
    given.update({name: value for name, value in values.items() if name in given})


def _play(operation, mode, names, seen):
    """Send what the document allows, or what it does not, to one operation; half of it to things that exist."""

    @PLAY
    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans(), trigger=st.sampled_from(TRIGGERS))
    def send(case, known, trigger):
        if known:
            _put_in_place(case.path_parameters, **names)
        if known and mode is GenerationMode.POSITIVE and isinstance(case.body, dict):
            _put_in_place(case.body, task="quick", trigger=trigger)
        response = case.call_and_validate(checks=CHECKS, headers=HEADERS)
        seen[response.status_code] += 1

    with suppress(Unsatisfiable):  # what takes nothing cannot be given anything wrong
        send()
