"""What mypy --strict thinks of a program with an engine inside; `make lint` asks it. Nothing here is run."""

from datetime import UTC, datetime, timedelta
from typing import assert_type

from msgspec import Struct

import callsheet
from callsheet import Engine, Out, task
from callsheet.embedded import Finished, Instance, LedgerRow, RunFailed, Schedule


class Name(Struct):
    """Whom to greet."""

    name: str


@task
async def greet(_in: Name, out: Out[int]) -> None:
    """Send numbers."""


@task
class Counter:
    """Count."""

    value: int = 0

    async def __call__(self, _in: Name, out: Out[int]) -> None:
        """Send numbers."""


async def main() -> None:
    """Use it."""
    async with callsheet.engine("sqlite:///jobs.db", [greet, Counter, callsheet], drain=timedelta(seconds=5)) as engine:
        assert_type(engine, Engine)
        assert_type(await engine.run(greet, Name("Ada")), Finished[int])
        assert_type((await engine.run(Counter, Name("Ada"), tags=["a"])).check().outputs, list[int])
        assert_type((await engine.run("greet", {"name": "Ada"})).succeeded, bool)
        made = await engine.put("nightly", greet, input=Name("Ada"), every="1h", overlap="queue", tags=["a"])
        assert_type(made, Schedule)
        await engine.put("nightly", greet, evry="1h")  # type: ignore[call-arg] # a misspelt field is found before it runs
        await engine.put("nightly", greet, every="1h", overlap="alow")  # type: ignore[arg-type] # so is a misspelt word
        await engine.pause("nightly", until=datetime(2027, 1, 1, tzinfo=UTC))
        assert_type(await engine.ledger("nightly"), list[LedgerRow])
        assert_type(await engine.wait(await engine.start(greet, Name("Ada")), within=5), Instance)
        try:
            (await engine.run(greet, Name("Ada"))).check()
        except RunFailed as error:
            assert_type(error.instance.outcome, str | None)
