"""Tasks: what users write, what the engine runs; `callsheet` itself shows the part for users."""

from callsheet.tasks.decorator import task
from callsheet.tasks.definition import Task
from callsheet.tasks.inline import LogLine, Progress, Result, run, run_sync
from callsheet.tasks.out import Out, OutputLimit, Sink, SyncOut
from callsheet.tasks.registry import Registry
from callsheet.tasks.retry import Retry

__all__ = [
    "LogLine",
    "Out",
    "OutputLimit",
    "Progress",
    "Registry",
    "Result",
    "Retry",
    "Sink",
    "SyncOut",
    "Task",
    "run",
    "run_sync",
    "task",
]
