"""Figures and those beside them, and the tables that show them all."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from statistics import median
from typing import Any, Literal

from attrs import asdict, frozen

HEAD = ("benchmark", "what", "result", "min to max", "target", "verdict")
SIDES = ("benchmark", "who", "rate", "min to max", "CPU each", "resident", "p50", "p99", "callsheet / it", "it keeps")


@frozen
class Figure:
    """One measured value; `low` and `high` span the rounds if there were several, None: not measured here.

    `floor`: it is a ratio to a floor, by which a change that costs half of our speed is found.
    """

    benchmark: str
    what: str
    value: float | None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    target: float | None = None
    bound: Literal["at least", "at most"] = "at least"
    floor: bool = False

    @property
    def passed(self) -> bool | None:
        """Tell whether the target is met; None when there is none, or no value."""
        if self.value is None or self.target is None:
            return None
        return self.value >= self.target if self.bound == "at least" else self.value <= self.target

    @property
    def broken(self) -> bool:
        """Tell whether this is a ratio to a floor that is not even half of its target: more than noise."""
        return self.floor and self.value is not None and self.target is not None and self.value < self.target / 2

    @property
    def short(self) -> str:
        """Return by how much a target is missed."""
        if self.value is None or self.target is None or self.passed:
            return ""
        if self.target == 0:
            return f"{number(self.value)} too many"
        return f"by {max(abs(self.value - self.target) / abs(self.target) * 100, 1):.0f} %"

    def as_json(self) -> dict[str, Any]:
        """Return what a program may want to know."""
        return asdict(self) | {"passed": self.passed}

    def cells(self) -> tuple[str, ...]:
        """Return the row of the table."""
        result = "not measured here" if self.value is None else f"{number(self.value)} {self.unit}".rstrip()
        target = "" if self.target is None else f"{self.bound} {number(self.target)} {self.unit}".rstrip()
        verdict = {True: "pass", False: "MISSED", None: ""}[self.passed]
        return self.benchmark, self.what, result, span(self.low, self.high), target, verdict


@frozen
class Side:
    """Somebody doing the same work: what it keeps, how fast it is, and what it takes.

    `cpu` in microseconds for each, `memory` in MiB, `p50` and `p99` in milliseconds; `ours` is callsheet's own rate.
    """

    benchmark: str
    who: str
    keeps: str
    rate: float
    low: float
    high: float
    unit: str
    cpu: float | None = None
    memory: float | None = None
    p50: float | None = None
    p99: float | None = None
    ours: float | None = None

    @classmethod
    def of(cls, benchmark: str, who: str, keeps: str, rates: Sequence[float], unit: str, **more: Any) -> "Side":
        """Return the row for the rates of several rounds."""
        return cls(benchmark, who, keeps, median(rates), min(rates), max(rates), unit, **more)

    def as_json(self) -> dict[str, Any]:
        """Return what a program may want to know."""
        return asdict(self)

    def cells(self) -> tuple[str, ...]:
        """Return the row of the table."""
        ratio = "" if self.ours is None else f"{number(self.ours / self.rate)} ×"
        return (
            self.benchmark, self.who, f"{number(self.rate)} {self.unit}", span(self.low, self.high),
            _with(self.cpu, "µs"), _with(self.memory, "MiB"), _with(self.p50, "ms"), _with(self.p99, "ms"), ratio,
            self.keeps,
        )  # fmt: skip


def over_rounds(benchmark: str, what: str, values: Sequence[float], unit: str = "", **more: Any) -> Figure:
    """Return the median of the rounds, and their span."""
    return Figure(benchmark, what, median(values), unit, min(values), max(values), **more)


def ratio(
    benchmark: str, what: str, ours: Sequence[float], theirs: Sequence[float], target: float | None, **more: Any
) -> Figure:
    """Compare medians; the span is that of the rounds, each with its own other, where both had as many."""
    if not ours or not theirs:
        return Figure(benchmark, what, None, "×", target=target, **more)
    paired = zip(ours, theirs, strict=True) if len(ours) == len(theirs) else ()
    rounds = [our / other for our, other in paired] or [median(ours) / median(theirs)]
    return Figure(benchmark, what, median(ours) / median(theirs), "×", min(rounds), max(rounds), target, **more)


def span(low: float | None, high: float | None) -> str:
    """Write from where to where the rounds went; nothing when there was one."""
    return "" if low == high else f"{number(low)} to {number(high)}"


def number(value: float | None) -> str:
    """Write a number with about three digits that mean something."""
    if value is None:
        return ""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def render(figures: Iterable[Figure]) -> str:
    """Return the table of figures."""
    return _table(HEAD, figures)


def render_sides(sides: Iterable[Side]) -> str:
    """Return the table of those who did the same work; columns that hold nothing are left out."""
    return _table(SIDES, sides)


def _with(value: float | None, unit: str) -> str:
    return "" if value is None else f"{number(value)} {unit}"


def _table(head: tuple[str, ...], parts: Iterable[Figure] | Iterable[Side]) -> str:
    """Return a table as aligned Markdown; a benchmark is named on the first of its rows."""
    rows: list[tuple[str, ...]] = [head]
    for _, group in groupby(parts, key=lambda part: part.benchmark):
        cells = [part.cells() for part in group]
        rows += cells[:1] + [("", *rest) for _, *rest in cells[1:]]
    kept = [column for column in range(len(head)) if len(rows) == 1 or any(row[column] for row in rows[1:])]
    rows = [tuple(row[column] for column in kept) for row in rows]
    return "\n".join(_lines(rows)) + "\n"


def _lines(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number_of, row in enumerate(rows):
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        if number_of == 0:
            yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"
