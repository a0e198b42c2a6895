"""`counter`: adds up from run to run; shows how a class task keeps its state."""

from typing import Annotated

from msgspec import Meta, Struct

from callsheet import Out, task

MOST = 2**53
"""Beyond this, JSON readers that use doubles lose count."""


class Step(Struct, forbid_unknown_fields=True):
    """Count one step, or several, or back."""

    by: Annotated[int, Meta(ge=-MOST, le=MOST, description="How far to count")] = 1


@task
class Counter:
    """Add to a value that persists, and send the new value."""

    value: int = 0

    async def __call__(self, _in: Step, out: Out[int]) -> None:
        value = self.value + _in.by
        if abs(value) > MOST:
            raise OverflowError(f"the counter cannot go past ±{MOST}: it stands at {self.value}")
        self.value = value
        await out.send(value)
