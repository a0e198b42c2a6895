"""What is in the code, which nodes run it, and how it goes."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from callsheet.models.common import Time


class Task(Struct, kw_only=True):
    """A task in the code; its schemas are JSON Schema 2020-12."""

    name: str
    doc: str
    origin: Annotated[str, Meta(description="module and name in the code")]
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    timeout: float | None
    retries: int
    idempotent: bool
    max_running: int | None
    state: Annotated[str | None, Meta(description="what shares its state: null, schedule or task")]


class Node(Struct, kw_only=True):
    """One boot of a node."""

    name: str
    boot: str
    host: str
    pid: int
    started_at: Time
    seen_at: Annotated[Time, Meta(description="its latest write")]
    stopped_at: Annotated[Time | None, Meta(description="null: it runs, or it crashed")]


class Stats(Struct, kw_only=True):
    """Counts over the history, and percentiles in seconds over the latest `sample` ended instances."""

    outcomes: dict[str, int]
    running: int
    queued: int
    omissions: dict[str, int]
    lateness: dict[str, float]
    durations: dict[str, float]
    sample: int


class Probe(Struct):
    """The answer of a probe when all is well."""

    status: str
