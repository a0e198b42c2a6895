"""The states of an instance and of a schedule, as tables: everything about who may follow whom stands here."""

from typing import Final

UNFINISHED: Final = ("queued", "running")
OUTCOMES: Final = ("succeeded", "failed", "timed_out", "cancelled", "interrupted", "lost")
INSTANCE_STATES: Final = UNFINISHED + OUTCOMES

# state -> the states that may follow it; an outcome is followed by nothing
INSTANCE_MOVES: Final[dict[str, tuple[str, ...]]] = {
    "queued": ("running", "cancelled"),
    "running": OUTCOMES,
    **dict.fromkeys(OUTCOMES, ()),
}

SCHEDULE_STATES: Final = ("active", "paused", "blocked", "finished", "deleted")

SCHEDULE_MOVES: Final[dict[str, tuple[str, ...]]] = {
    "active": ("paused", "blocked", "finished", "deleted"),
    "paused": ("active", "blocked", "finished", "deleted"),
    "blocked": ("active", "paused", "finished", "deleted"),
    "finished": ("active", "deleted"),
    "deleted": ("active",),  # the same id may be created again
}

# the fates of an omission, and the reasons that each may have
OMISSIONS: Final[dict[str, tuple[str, ...]]] = {
    "skipped": ("overlap", "queue_full", "requested"),
    "missed": ("downtime", "late"),
    "dropped": ("paused", "resumed", "updated", "deleted"),
    "rejected": ("task_missing", "input_invalid", "trigger_failed"),
}
FATES: Final = tuple(OMISSIONS)
CAUSES: Final = ("schedule", "manual", "retry", "rerun", "after", "create", "backfill")  # of an instance

RETRIED: Final = ("failed", "timed_out")


def outcome_of(state: str) -> str | None:
    """Return how an instance in `state` ended, or None while it has not."""
    return None if state in UNFINISHED else state
