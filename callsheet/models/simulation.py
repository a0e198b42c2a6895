"""What would happen, with nothing changed."""

from typing import Annotated

from msgspec import Meta, Struct

from callsheet.models.common import Time


class Peak(Struct):
    """The most instances that ran at once, and when first."""

    running: int
    at: Time | None


class Left(Struct):
    """What had not ended at the end."""

    running: int
    queued: int


class BusyMinute(Struct):
    """One of the busiest minutes."""

    minute: Time
    running: int
    started: int


class OmissionCount(Struct):
    """How many due times were omitted for one reason."""

    fate: str
    reason: str
    count: int


class OmittedDueTimes(Struct):
    """Consecutive due times that were omitted."""

    schedule: str
    fate: str
    reason: str
    first_due: Time
    last_due: Time
    count: int


class Assumption(Struct):
    """How long the runs of a schedule were taken to last, and why."""

    source: str
    text: str
    runs: int
    median_seconds: float
    longest_seconds: float
    unlucky: Annotated[float, Meta(description="the share of runs that do not succeed")]


class SimulatedSchedule(Struct):
    """What would become of one schedule."""

    schedule: str
    task: str
    firings: int
    retries: int
    queued: int
    outcomes: dict[str, int]
    omissions: list[OmissionCount]
    peak_running: int
    busy_seconds: float
    latest_by: Annotated[float, Meta(description="how late the latest start was")]
    assumed: Assumption


class Simulation(Struct, kw_only=True, rename={"since": "from", "until": "to"}):
    """What would happen, with nothing changed."""

    since: Time
    until: Time
    seed: int
    resolution: float
    max_running: int | None
    firings: int
    retries: int
    queued: int
    outcomes: dict[str, int]
    omissions: list[OmissionCount]
    unfinished: Left
    peak: Peak
    busy_seconds: float
    busiest: list[BusyMinute]
    schedules: list[SimulatedSchedule]
    omitted: list[OmittedDueTimes]
    omitted_complete: bool
    assumptions: list[str]
