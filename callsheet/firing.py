"""What becomes of the due times of one schedule at a claim: pure rules, no clock and no database.

Each due time up to now ends as exactly one of a run or an omission, and the schedule moves strictly forward.
"""

from hashlib import blake2b

from attrs import field, frozen

from callsheet.timetable import At, Trigger, count_due, last_due, next_due


@frozen
class Planned:
    """A schedule as the claim sees it: `due` is its next due time, the rest its policies (durations)."""

    id: str
    trigger: Trigger
    due: int
    overlap: str
    catch_up: str
    catch_up_window: int
    jitter: int
    blocked: str | None = None  # why it may not run at all, e.g. "task_missing"
    busy: bool = False  # an instance of it is unfinished


@frozen
class Omitted:
    """Due times from `first` to `last`, `count` of them, that start nothing."""

    fate: str
    reason: str
    first: int
    last: int
    count: int


@frozen
class Decision:
    """The due time to run (None: none), what is omitted in order of time, and where the schedule stands then."""

    run: int | None
    last: int
    next: int | None
    next_fire: int | None
    omitted: list[Omitted] = field(factory=list)


class TriggerStalled(Exception):
    """A trigger named a next due time that is not later than the last: the schedule is to be blocked."""


def jitter_of(schedule: str, due: int, jitter: int) -> int:
    """Return how much later than `due` to fire: the same for the same schedule and due time, below `jitter`."""
    if jitter <= 0:
        return 0
    digest = blake2b(f"{schedule}\0{due}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % jitter


def fire_time(schedule: str, trigger: Trigger, due: int | None, jitter: int) -> int | None:
    """Return when to fire a due time: jittered, but before the due time that follows it."""
    if due is None or jitter <= 0:
        return due
    following = next_due(trigger, due)
    room = jitter if following is None else min(jitter, following - due)
    return due + jitter_of(schedule, due, room)


def advance(trigger: Trigger, after: int) -> int | None:
    """Return the next due time strictly after `after`; raise TriggerStalled when the trigger does not move on."""
    following = next_due(trigger, after)
    if following is not None and following <= after:
        raise TriggerStalled(f"the trigger named {following} after {after}")
    return following


def decide(planned: Planned, now: int, awake_since: int) -> Decision:
    """Decide every due time of a schedule from `planned.due` to `now`.

    `awake_since` is the instant since which this node has been up and looking: what was due before it is downtime.
    """
    last = _latest(planned, now)
    following = advance(planned.trigger, last)
    next_fire = fire_time(planned.id, planned.trigger, following, planned.jitter)
    if planned.blocked:
        count = count_due(planned.trigger, planned.due - 1, last)
        rejected = Omitted("rejected", planned.blocked, planned.due, last, count)
        return Decision(None, last, following, next_fire, [rejected])
    wanted = _still_wanted(planned, last, now, awake_since)
    omitted = _missed(planned, last - 1 if wanted else last, awake_since)
    overlaps = wanted and planned.busy and planned.overlap == "skip"
    if overlaps:
        omitted.append(Omitted("skipped", "overlap", last, last, 1))
    return Decision(last if wanted and not overlaps else None, last, following, next_fire, omitted)


def _latest(planned: Planned, now: int) -> int:
    """Return the latest due time whose moment to fire has come."""
    last = last_due(planned.trigger, planned.due - 1, now)
    if last is None:
        return planned.due  # the clock went back between the look and the claim: take what was due
    fire = fire_time(planned.id, planned.trigger, last, planned.jitter)
    if last > planned.due and fire is not None and fire > now:
        return last_due(planned.trigger, planned.due - 1, last - 1) or planned.due
    return last


def _still_wanted(planned: Planned, last: int, now: int, awake_since: int) -> bool:
    """Tell whether a due time still runs however late it is; lateness while we were up never drops one."""
    if last >= awake_since:
        return True
    if planned.catch_up == "none":
        return False
    return isinstance(planned.trigger, At) or now - last <= planned.catch_up_window


def _missed(planned: Planned, until: int, awake_since: int) -> list[Omitted]:
    """Return the row for the due times up to `until` that nobody ran, if there are any."""
    final = last_due(planned.trigger, planned.due - 1, until)
    if final is None:
        return []
    reason = "downtime" if planned.due < awake_since else "late"
    count = count_due(planned.trigger, planned.due - 1, final)
    return [Omitted("missed", reason, planned.due, final, count)]
