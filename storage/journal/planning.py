"""Where a schedule goes on from: planned anew by a change, by its user, or because its pause has run out."""

from msgspec.structs import replace

from callsheet.firing import Position, plan_on
from callsheet.timetable import Plan, trigger_of
from storage.journal.followers import lacks_upstream
from storage.journal.work import Work


def planned_anew(
    work: Work, schedule: str, plan: Plan, jitter: int, last_due: int | None, runs_left: int | None
) -> tuple[Position, str | None]:
    """Return where a schedule stands from now on, and why it is blocked, if it is.

    It goes on strictly after now, and after every due time that its ledger holds: a clock that was set back may be
    behind them.
    """
    position = plan_on(schedule, plan, max(work.now, last_due or 0), jitter, runs_left)
    if position.state == "active" and lacks_upstream(work, trigger_of(plan)):
        return replace(position, state="blocked"), "upstream_deleted"
    return position, None
