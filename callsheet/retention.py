"""How long history is kept: the service's own settings, under what each schedule says of itself."""

from attrs import frozen

from callsheet.instants import DAY


@frozen
class Keep:
    """What stays, None meaning for ever: instances for `age` after they ended, events likewise (durations).

    `last` keeps the newest ended runs of each schedule, however young the others are.
    """

    age: int | None = None
    last: int | None = None
    events: int | None = None

    def of(self, keep_for: int | None, keep_last: int | None) -> "Keep":
        """Return what holds for a schedule: its own word, 0 meaning for ever, or else this."""
        return Keep(_own(keep_for, self.age), _own(keep_last, self.last), self.events)


def _own(word: int | None, default: int | None) -> int | None:
    return default if word is None else word or None


DEFAULT = Keep(age=90 * DAY, events=7 * DAY)
