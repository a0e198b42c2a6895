"""Many new schedules in one go: checked first, all of them, then written in bulk rather than as Pony's objects.

All or none: whatever is wrong with any of them is found before anything is written.
"""

from typing import Any
from uuid import uuid4

from pony import orm

from callsheet.definition import Definition
from callsheet.errors import FieldError, Invalid, Refused, Unavailable
from callsheet.timetable import After
from storage.dialect import Row
from storage.journal.commands import CreateSchedules
from storage.journal.facts import ScheduleChanged
from storage.journal.followers import check_chain
from storage.journal.planning import planned_anew
from storage.journal.schedules import columns_of, create_again, run_at_once
from storage.journal.work import Work

_PAGE = 500  # ids in one question
_NEW = (
    "id", "state", "state_reason", "version", "created_at", "updated_at", "next_due", "next_fire", "run_count", "skips",
)  # fmt: skip

Named = dict[str, Definition]


def create_schedules(work: Work, command: CreateSchedules) -> list[str]:
    """Create all, or none; return their ids, in order."""
    named = {slug or str(uuid4()): definition for slug, definition in command.schedules}
    deleted = _check(work, named)
    fresh = {slug: definition for slug, definition in named.items() if slug not in deleted}
    _write(work, fresh)
    for slug in deleted:
        create_again(work, slug, named[slug])
    for slug, definition in fresh.items():
        if definition.run_on_create:
            run_at_once(work, slug, definition)
    work.flush()  # what comes next may look for them
    return list(named)


def _check(work: Work, named: Named) -> set[str]:
    """Refuse what cannot be; return the ids that belonged to schedules which were deleted."""
    if work.draining and any(one.run_on_create for one in named.values()):
        raise Unavailable("The service is stopping and starts nothing new.")
    orm.flush()
    work.flush()
    found = _found(work, list(named))
    standing = next((slug for slug in named if found.get(slug, "deleted") != "deleted"), None)
    if standing is not None:
        raise Refused(f"There is a schedule {standing!r} already.", blocked_by=f"/v1/schedules/{standing}")
    _check_chains(work, named)
    return set(found)


def _found(work: Work, slugs: list[str]) -> dict[str, str]:
    """Return the states of those that are there."""
    found: dict[str, str] = {}
    for start in range(0, len(slugs), _PAGE):
        page = slugs[start : start + _PAGE]
        marks = ", ".join("?" * len(page))
        found.update(work.all(f"SELECT id, state FROM schedule WHERE id IN ({marks})", *page))
    return found


def _check_chains(work: Work, named: Named) -> None:
    """Refuse those that come after what is not there, or in a circle; each other they may come after."""
    follows = {slug: _upstream(definition) for slug, definition in named.items()}
    errors: list[FieldError] = []
    for index, (slug, definition) in enumerate(named.items()):
        try:
            check_chain(work, slug, definition.trigger, follows)
        except Invalid as error:
            errors.extend(error.under(f"/items/{index}").errors)
    if errors:
        raise Invalid(*errors[:_PAGE])


def _upstream(definition: Definition) -> str | None:
    return definition.trigger.schedule if isinstance(definition.trigger, After) else None


def _write(work: Work, named: Named) -> None:
    """Write new rows, their tags and the facts that tell of them."""
    for slug, definition in named.items():
        own = columns_of(definition)
        work.insert_schedule((*_NEW, *own), (*_standing(work, slug, definition), *own.values()), definition.tags)
        work.facts.append(ScheduleChanged(slug, "created", 1))


def _standing(work: Work, slug: str, definition: Definition) -> Row:
    """Return the values of _NEW: where it stands, strictly in the future."""
    first = int(definition.run_on_create)
    left = None if definition.max_runs is None else definition.max_runs - first
    stands, reason = planned_anew(work, slug, definition.plan, definition.jitter, None, left)
    now: Any = work.now
    return slug, stands.state, reason, 1, now, now, stands.next_due, stands.next_fire, first, "[]"
