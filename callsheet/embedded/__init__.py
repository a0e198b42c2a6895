"""An engine inside another Trio program, `async with callsheet.engine(…)`, and the types of what it shows."""

from callsheet.embedded.handle import Engine, Finished, RunFailed, ScheduleFields
from callsheet.embedded.stay import engine
from callsheet.handle.values import Error, Instance, LedgerRow, LogLine, Schedule
from callsheet.handle.verbs import Duration, Instant, Which
from callsheet.node import IN_MEMORY
from callsheet.tasks.registry import TaskSource

__all__ = [
    "IN_MEMORY", "Duration", "Engine", "Error", "Finished", "Instance", "Instant", "LedgerRow", "LogLine", "RunFailed",
    "Schedule", "ScheduleFields", "TaskSource", "Which", "engine",
]  # fmt: skip
