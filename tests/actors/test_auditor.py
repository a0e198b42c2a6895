"""The service checks itself, in virtual time."""

import logging

import trio

from actors.supervisor import Rules
from callsheet import Out, task
from callsheet.errors import Unavailable


@task
async def quick(_in: None, out: Out[int]) -> None:
    """Do nothing."""


async def test_a_service_that_is_well_finds_nothing_though_it_looks_at_everything(stage, autojump_clock):
    async with stage.play([quick]) as play:
        await play.put("s", quick, {"every": "1m"})
        await trio.sleep(3600)

        assert play.engine.audit.broken == {}
        assert play.engine.audit.rows > 60
        assert play.events("invariant.broken") == []


async def test_what_is_broken_is_logged_and_told_once(stage, autojump_clock, caplog):
    async with stage.play([quick]) as play:
        await play.put("s", quick, {"every": "1h"})
        instance = await play.start(quick)
        await play.ended(instance)
        play.sql("UPDATE instance SET finished_at = NULL")
        await trio.sleep(600)

        sentence = f"/v1/instances/{instance} is succeeded, and its times do not agree."
        assert play.events("invariant.broken") == [
            {"kind": "end_unclear", "sentence": sentence, "instance": f"/v1/instances/{instance}"}
        ]
        assert play.engine.audit.broken == {"end_unclear": 1}
        errors = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert [record.getMessage() for record in errors] == [f"invariant broken (end_unclear): {sentence}"]


async def test_a_database_that_does_not_answer_makes_it_wait_and_it_goes_on(stage, autojump_clock, door):
    async with stage.play([quick], door=door, rules=Rules(housekeeping=10, longest_wait=10)) as play:
        door.error = Unavailable("away")
        await trio.sleep(60)
        seen = play.engine.audit.rows
        door.error = None
        await play.put("s", quick, {"every": "1h"})
        await trio.sleep(60)

        assert play.engine.audit.rows > seen
