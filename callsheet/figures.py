"""Histograms as Prometheus counts them, without Prometheus: to add to one costs less than a microsecond."""

from bisect import bisect_left

from attrs import define, field

SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
LONG = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)  # seconds
SIZES = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0)


@define
class Histogram:
    """How many values were at most as large as each of the bounds, and their sum."""

    bounds: tuple[float, ...]
    counts: list[int] = field()  # of each interval, the one above the last bound included
    total: float = 0.0

    @counts.default
    def _none(self) -> list[int]:
        return [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def copy(self) -> "Histogram":
        """Return a copy that no longer changes."""
        return Histogram(self.bounds, self.counts[:], self.total)

    def buckets(self) -> list[tuple[str, float]]:
        """Return upper bound and number of values up to it, cumulated; the last bound is `+Inf`."""
        found, so_far = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            so_far += count
            found.append((bound, float(so_far)))
        return found
