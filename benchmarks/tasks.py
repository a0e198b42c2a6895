"""The task that the measured services run."""

from callsheet import Out, task


@task
async def noop(_in: None, out: Out[None]) -> None:
    """Do nothing."""
