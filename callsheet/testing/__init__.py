"""Test schedules on virtual time: a whole engine in memory, in which a year takes a moment.

With pytest, ask for the fixture `callsheet_engine`; everywhere else, `with VirtualEngine([task]) as engine:`.
"""

from callsheet.handle.values import Error, Event, Instance, LedgerRow, LogLine, Schedule
from callsheet.tasks.registry import TaskSource
from callsheet.testing.engine import VirtualEngine

__all__ = ["Error", "Event", "Instance", "LedgerRow", "LogLine", "Schedule", "TaskSource", "VirtualEngine"]
