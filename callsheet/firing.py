"""What becomes of the due times of one schedule at a claim: pure rules, no clock and no database.

Each due time up to now ends as exactly one of a run or an omission, and the schedule moves strictly forward.
"""

from collections.abc import Iterable
from hashlib import blake2b

from msgspec import Struct, field

from callsheet.timetable import After, At, Plan, count_due, last_due, next_due, trigger_of

MOST_CAUGHT_UP = 100
"""How many due times `catch_up: all` makes up for at most, the latest ones."""


class Planned(Struct, frozen=True):
    """A schedule as the claim sees it: `due` is its next due time, the rest its policies (durations)."""

    id: str
    trigger: Plan
    due: int
    overlap: str
    catch_up: str
    catch_up_window: int
    jitter: int
    blocked: str | None = None  # why it may not run at all, e.g. "task_missing"
    busy: bool = False  # an instance of it is unfinished
    crowded: bool = False  # and another one waits for its turn already
    skips: frozenset[int] = frozenset()  # due times that somebody asked to skip
    runs_left: int | None = None  # of max_runs


class Omitted(Struct, frozen=True):
    """Due times from `first` to `last`, `count` of them, that start nothing."""

    fate: str
    reason: str
    first: int
    last: int
    count: int


class Decision(Struct, frozen=True):
    """The due times to run and what is omitted, both in order of time, and where the schedule stands then.

    `in_turn`: the runs wait until no other instance of the schedule is unfinished; `replace`: those are cancelled.
    """

    runs: list[int]
    last: int
    next: int | None
    next_fire: int | None
    omitted: list[Omitted] = field(default_factory=list)
    in_turn: bool = False
    replace: bool = False


class TriggerStalled(Exception):
    """A trigger named a next due time that is not later than the last: the schedule is to be blocked."""


def jitter_of(schedule: str, due: int, jitter: int) -> int:
    """Return how much later than `due` to fire: the same for the same schedule and due time, below `jitter`."""
    if jitter <= 0:
        return 0
    digest = blake2b(f"{schedule}\0{due}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % jitter


def fire_time(schedule: str, trigger: Plan, due: int | None, jitter: int) -> int | None:
    """Return when to fire a due time: jittered, but before the due time that follows it."""
    if due is None or jitter <= 0:
        return due
    following = next_due(trigger, due)
    room = jitter if following is None else min(jitter, following - due)
    return due + jitter_of(schedule, due, room)


def advance(trigger: Plan, after: int) -> int | None:
    """Return the next due time strictly after `after`; raise TriggerStalled when the trigger does not move on."""
    following = next_due(trigger, after)
    if following is not None and following <= after:
        raise TriggerStalled(f"the trigger named {following} after {after}")
    return following


def standing(plan: Plan, following: int | None, runs_left: int | None) -> str:
    """Return the state of a schedule that may run: `finished` when nothing can become due any more."""
    if runs_left is not None and runs_left <= 0:
        return "finished"
    return "finished" if following is None and not isinstance(trigger_of(plan), After) else "active"


class Position(Struct, frozen=True):
    """Where a schedule stands: its state, `active` or `finished`, its next due time and when that is to fire."""

    state: str
    next_due: int | None
    next_fire: int | None


def plan_on(schedule: str, plan: Plan, after: int, jitter: int, runs_left: int | None) -> Position:
    """Return where a schedule stands that is planned anew, strictly after an instant."""
    following = advance(plan, after)
    state = standing(plan, following, runs_left)
    following = following if state == "active" else None
    return Position(state, following, fire_time(schedule, plan, following, jitter))


def between(plan: Plan, after: int, settled: Iterable[int], last: int) -> list[tuple[int, int, int]]:
    """Return first, last and count of the due times in (after, last], in runs that the settled ones, in order, part."""
    runs = []
    for until in [*(due - 1 for due in settled), last]:
        final = last_due(plan, after, until) if until > after else None
        if final is not None:
            first = next_due(plan, after)
            assert first is not None
            runs.append((first, final, count_due(plan, after, final)))
        after = until + 1
    return runs


def decide(planned: Planned, now: int, awake_since: int) -> Decision:
    """Decide every due time of a schedule from `planned.due` to `now`.

    `awake_since` is the instant since which this node has been up and looking: what was due before it is downtime.
    """
    last, following = _reach(planned, now)
    if last == planned.due >= awake_since and _unhindered(planned):  # which is nearly always so
        return _decision(planned, [last], last, following, [])
    if planned.blocked:
        count = count_due(planned.trigger, planned.due - 1, last)
        rejected = [Omitted("rejected", planned.blocked, planned.due, last, count)]
        return _decision(planned, [], last, following, rejected)
    wanted = _wanted(planned, last, now, awake_since)
    omitted = [Omitted("skipped", "requested", due, due, 1) for due in _requested(planned, last)]
    refused = _overlapped(planned)
    if refused:
        omitted += [Omitted("skipped", refused, due, due, 1) for due in wanted]
        wanted = []
    if planned.runs_left is not None and len(wanted) >= planned.runs_left:
        wanted = wanted[: planned.runs_left]
        last = wanted[-1] if wanted else last  # what would be due after the final run is not planned any more
        omitted = [one for one in omitted if one.last <= last]
    settled = sorted([*wanted, *(one.first for one in omitted)])
    omitted += _missed(planned, settled, last, awake_since)
    return _decision(planned, wanted, last, following, sorted(omitted, key=lambda one: one.first))


def _unhindered(planned: Planned) -> bool:
    return not (planned.busy or planned.blocked or planned.skips) and planned.runs_left is None


def decide_at_once(planned: Planned) -> Decision:
    """Decide the one due time `planned.due` of a trigger that no clock names, such as `after`."""
    due, refused = planned.due, planned.blocked or _overlapped(planned)
    if refused:
        fate = "rejected" if planned.blocked else "skipped"
        return _decision(planned, [], due, None, [Omitted(fate, refused, due, due, 1)])
    return _decision(planned, [due], due, None, [])


def _decision(planned: Planned, runs: list[int], last: int, following: int | None, omitted: list[Omitted]) -> Decision:
    if planned.runs_left is not None and len(runs) >= planned.runs_left:
        following = None
    next_fire = fire_time(planned.id, planned.trigger, following, planned.jitter)
    replaces = planned.busy and planned.overlap == "replace" and bool(runs)
    in_turn = planned.overlap != "allow" and (planned.busy or len(runs) > 1)
    return Decision(runs, last, following, next_fire, omitted, in_turn, replaces)


def _reach(planned: Planned, now: int) -> tuple[int, int | None]:
    """Return the latest due time whose moment has come and the one after it; nearly always that is the one planned."""
    following = advance(planned.trigger, planned.due)
    if following is None or following > now:
        return planned.due, following
    last = _latest(planned, now)
    return last, advance(planned.trigger, last)


def _latest(planned: Planned, now: int) -> int:
    """Return the latest due time whose moment to fire has come."""
    last = last_due(planned.trigger, planned.due - 1, now)
    if last is None:
        return planned.due  # the clock went back between the look and the claim: take what was due
    fire = fire_time(planned.id, planned.trigger, last, planned.jitter)
    if last > planned.due and fire is not None and fire > now:
        return last_due(planned.trigger, planned.due - 1, last - 1) or planned.due
    return last


def _wanted(planned: Planned, last: int, now: int, awake_since: int) -> list[int]:
    """Return the due times that are to run, in order: the latest one, or as many as `catch_up: all` makes up for.

    However late it is, lateness while we were up never drops the latest one.
    """
    most = MOST_CAUGHT_UP if planned.catch_up == "all" else 1
    wanted: list[int] = []
    due: int | None = last
    while due is not None and _still_wanted(planned, due, now, awake_since):
        if due not in planned.skips:
            wanted.append(due)
        if len(wanted) == most or due == planned.due:
            break
        due = last_due(planned.trigger, planned.due - 1, due - 1)
    return wanted[::-1]


def _still_wanted(planned: Planned, due: int, now: int, awake_since: int) -> bool:
    """Tell whether a due time may still run although it has passed."""
    if due >= awake_since:
        return True
    if planned.catch_up == "none":
        return False
    return isinstance(trigger_of(planned.trigger), At) or now - due <= planned.catch_up_window


def _requested(planned: Planned, last: int) -> list[int]:
    """Return the due times that somebody asked to skip; one that the trigger no longer names is none."""
    if not planned.skips:
        return []
    asked = sorted(due for due in planned.skips if planned.due <= due <= last)
    return [due for due in asked if count_due(planned.trigger, due - 1, due)]


def _overlapped(planned: Planned) -> str | None:
    """Return why nothing may run beside what goes on, None if it may, or may wait."""
    if planned.busy and planned.overlap == "skip":
        return "overlap"
    return "queue_full" if planned.crowded and planned.overlap == "queue" else None


def _missed(planned: Planned, settled: list[int], last: int, awake_since: int) -> list[Omitted]:
    """Return rows for the due times that nobody ran: those between the ones that are settled."""
    return [
        Omitted("missed", "downtime" if first < awake_since else "late", first, final, count)
        for first, final, count in between(planned.trigger, planned.due - 1, settled, last)
    ]
