"""What mypy --strict thinks of a program that uses the client; `make lint` asks it. Nothing here is run."""

from collections.abc import Sequence
from datetime import timedelta
from typing import assert_type

from msgspec import Struct

from callsheet import AsyncClient, Client, Out, task
from callsheet.client import Conflict, Event, Finished, Invalid, NotFound
from callsheet.models import Instance, LedgerRow, Output, Schedule, Started


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
        """Send texts."""


def blocks() -> None:
    """Use the client that blocks."""
    with Client("http://localhost:8080", token="x", timeout=5) as client:
        assert_type(client.tasks.start(greet, Name("Ada")), Started)
        assert_type(client.tasks.run(greet, Name("Ada"), within=10), Finished[int])
        assert_type(client.tasks.run(Counter, Name("Ada")).outputs, list[int])
        assert_type(client.instances.wait("id"), Instance)
        made = client.schedules.put("nightly", greet, input=Name("Ada"), every=timedelta(hours=1), tags=["a"])
        assert_type(made, Schedule)
        assert_type([row for row in client.schedules.ledger("nightly")], list[LedgerRow])  # noqa: C416
        for event in client.events(types=["instance.ended"]):
            assert_type(event, Event)
        try:
            client.schedules.trigger("nightly")
        except Conflict as error:
            assert_type(error.blocked_by, str | None)
        except (NotFound, Invalid) as error:
            assert_type(error.problem.detail, str)


async def awaits() -> Sequence[Output]:
    """Use the client that awaits."""
    async with AsyncClient() as client:
        assert_type(await client.tasks.run(greet, Name("Ada")), Finished[int])
        assert_type((await client.tasks.run("greet", {"name": "Ada"})).succeeded, bool)
        async for schedule in client.schedules.list(tag="a"):
            assert_type(schedule.next_due_local, str | None)
        return [output async for output in client.instances.follow_outputs("id")]
