"""Where a due time is claimed: read what is due, write the instance or the omission, advance the schedule.

It is one transaction, and `(schedule, due_at, attempt)` is unique in the database, so that no crash, restart or second
node can fire a due time twice, and none can be lost between the reading and the writing.

What is due since this node looks is claimed first. What came due while nobody was up follows at a pace of its own, so
that a long outage neither delays the present nor starts everything at once.
"""

import logging
from typing import Any

from callsheet.errors import Unavailable
from callsheet.firing import Omitted, decide
from callsheet.instants import SECOND
from callsheet.logs import told
from storage.failures import meaning_of
from storage.journal.commands import Claim
from storage.journal.facts import Looked, ScheduleChanged
from storage.journal.firings import DUE_COLUMNS, Due, Stand, carry_out, move, obstacle_of, planned_of, stand_of
from storage.journal.ledger import record_omission
from storage.journal.planning import planned_anew
from storage.journal.starts import release
from storage.journal.work import Work

log = logging.getLogger("callsheet.journal")

PACE = 100  # schedules whose downtime is settled by one claim
STRIDE = SECOND // 10  # between two such claims
MOST_STARTS = 500  # of made-up runs in one claim

_PRESENT = (
    f"SELECT {DUE_COLUMNS} FROM schedule s WHERE s.next_fire >= ? AND s.next_fire <= ? ORDER BY s.next_fire LIMIT ?"
)
_OVERDUE = f"SELECT {DUE_COLUMNS} FROM schedule s WHERE s.next_fire < ? ORDER BY s.next_fire LIMIT ?"
_RIPE = "SELECT id FROM instance WHERE start_after <= ? AND start_after IS NOT NULL ORDER BY start_after, id LIMIT ?"
_NEXT = (
    "SELECT (SELECT min(next_fire) FROM schedule WHERE next_fire IS NOT NULL AND next_fire >= ?), "
    "(SELECT min(start_after) FROM instance WHERE start_after IS NOT NULL)"
)


def claim(work: Work, command: Claim) -> Looked:
    """Fire what is due by now; the answer says when to look again."""
    if work.draining:
        raise Unavailable("The service is stopping.")
    work.flush()
    now = work.now if command.until is None else min(work.now, command.until)
    tally = _Tally(work, now, command.awake_since)
    since = min(command.awake_since, now + 1)
    tally.settle(work.all(_PRESENT + work.dialect.claim_lock, since, now, command.limit))
    tally.write()
    next_fire, next_retry = _next(work)
    late = next_fire is not None and next_fire < since
    ripe = next_retry is not None and next_retry <= work.now
    if late or ripe:
        left = late and _settle_overdue(work, tally, since)
        tally.fired += _release_ripe(work, command.limit) if ripe else 0
        following = _earlier(*_next(work, since if left else 0), work.now + STRIDE if left else None)
    else:  # as nearly always
        following = _earlier(next_fire, next_retry)
    return Looked(following, tally.fired, tally.omitted)


def _settle_overdue(work: Work, tally: "_Tally", since: int) -> bool:
    """Settle a part of what came due while nobody was up; True when more is left, for the next look."""
    overdue = work.all(_OVERDUE + work.dialect.claim_lock, since, PACE)
    left = tally.settle(overdue, MOST_STARTS) or len(overdue) == PACE
    tally.write()
    return left


class _Tally:
    """Settles schedules one by one, and counts."""

    def __init__(self, work: Work, now: int, awake_since: int) -> None:
        self._work = work
        self._now = now
        self._awake_since = awake_since
        self._stands: list[tuple[Due, Stand]] = []
        self._started = 0
        self.fired = 0
        self.omitted = 0

    def settle(self, rows: list[Any], most_starts: int | None = None) -> bool:
        """Decide the due times of each row; True when it stopped early, for `most_starts` runs have begun."""
        for row in rows:
            if most_starts is not None and self._started >= most_starts:
                return True
            self._settle(Due(*row))
            self.fired += 1
        return False

    def write(self) -> None:
        """Move the schedules on."""
        move(self._work, self._stands)
        self._stands = []

    def _settle(self, due: Due) -> None:
        """Decide one schedule's due times; whatever goes wrong with it blocks it alone."""
        work = self._work
        try:
            if due.state == "paused":
                self._stands.append((due, _resumed(work, due)))
                return
            obstacle = obstacle_of(work, due.task, due.input)
            assert due.next_due is not None
            decision = decide(planned_of(work, due, due.next_due, obstacle), self._now, self._awake_since)
        except Exception as error:
            if meaning_of(error) is not None:  # the database failed, not the trigger
                raise
            log.exception(
                "schedule %s blocked: its trigger failed", due.id, extra=told("trigger.failed", schedule=due.id)
            )
            self._stands.append((due, _failed(work, due, error)))
            return
        carry_out(work, due, decision, "schedule")
        self._started += len(decision.runs)
        self.omitted += sum(omission.count for omission in decision.omitted)
        self._stands.append((due, stand_of(work, due, decision, obstacle)))


def _resumed(work: Work, due: Due) -> Stand:
    """Return where a schedule stands whose pause has run out: active, strictly in the future."""
    stands, reason = planned_anew(work, due.id, due.plan, due.jitter, due.last_due, due.runs_left)
    work.facts.append(ScheduleChanged(due.id, "resumed", due.version, "the pause has run out"))
    return Stand(due.last_due, stands.next_due, stands.next_fire, due.run_count, stands.state, reason, None, due.skips)


def _failed(work: Work, due: Due, error: Exception) -> Stand:
    """Account for the due time at which a trigger failed; return where the schedule stands: blocked."""
    if due.next_due is not None:
        record_omission(work, due.id, Omitted("rejected", "trigger_failed", due.next_due, due.next_due, 1), None)
    reason = f"trigger_failed: {type(error).__name__}: {error}"
    work.facts.append(ScheduleChanged(due.id, "blocked", due.version, reason))
    last = due.last_due if due.next_due is None else due.next_due
    return Stand(last, None, None, due.run_count, "blocked", reason, None, due.skips)


def _release_ripe(work: Work, limit: int) -> int:
    """Let the queued instances begin whose time has come, such as retries."""
    rows = work.all(_RIPE, work.now, limit)
    for row in rows:
        instance = work.dialect.uuid(row[0])
        assert instance is not None
        release(work, instance)
    return len(rows)


def _next(work: Work, since: int = 0) -> tuple[int | None, int | None]:
    """Return the instants of the next firing, not before `since`, and of the next retry."""
    work.flush()
    fire, retry = work.one(_NEXT, since)
    return fire, retry


def _earlier(*times: int | None) -> int | None:
    return min((time for time in times if time is not None), default=None)
