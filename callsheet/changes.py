"""What a change of a schedule would do to its due times: which appear, which vanish. Pure; nothing is changed."""

from collections.abc import Iterator
from itertools import islice

from attrs import frozen

from callsheet.timetable import Plan, next_due

MOST_COMPARED = 10_000  # due times of one side; beyond them the comparison ends earlier
MOST_SHOWN = 200


@frozen
class Course:
    """The due times of a schedule from now on: strictly after `after`, `left` runs at most (None: no such bound).

    What somebody asked to skip is due, too, but is no run.
    """

    plan: Plan
    after: int
    left: int | None = None
    skips: tuple[int, ...] = ()

    def times(self, until: int) -> Iterator[int]:
        """Go through them."""
        due, left = next_due(self.plan, self.after), self.left
        while due is not None and due <= until and left != 0:
            yield due
            left = left if left is None or due in self.skips else left - 1
            due = next_due(self.plan, due)


@frozen
class Difference:
    """What appears and what vanishes (the first of each, and how many), up to the instant `until`."""

    appear: list[int]
    vanish: list[int]
    appearing: int
    vanishing: int
    kept: int
    until: int


def difference(before: Course | None, after: Course | None, until: int) -> Difference:
    """Compare two courses up to `until`, or as far as MOST_COMPARED due times of either reach; None: no due times."""
    old, new = _first(before, until), _first(after, until)
    ends = [times[-1] for times in (old, new) if len(times) == MOST_COMPARED]
    until = min([until, *ends])
    was, will = {one for one in old if one <= until}, {one for one in new if one <= until}
    appear, vanish = sorted(will - was), sorted(was - will)
    return Difference(
        appear[:MOST_SHOWN], vanish[:MOST_SHOWN], len(appear), len(vanish), len(was & will), until
    )  # fmt: skip


def _first(course: Course | None, until: int) -> list[int]:
    return [] if course is None else list(islice(course.times(until), MOST_COMPARED))
