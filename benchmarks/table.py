"""Figures, and the one table that shows them all."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from statistics import median
from typing import Any, Literal

from attrs import asdict, frozen

HEAD = ("benchmark", "what", "result", "min to max", "target", "verdict")


@frozen
class Figure:
    """One measured value; `low` and `high` span the rounds if there were several, None: not measured here."""

    benchmark: str
    what: str
    value: float | None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    target: float | None = None
    bound: Literal["at least", "at most"] = "at least"

    @property
    def passed(self) -> bool | None:
        """Tell whether the target is met; None when there is none, or no value."""
        if self.value is None or self.target is None:
            return None
        return self.value >= self.target if self.bound == "at least" else self.value <= self.target

    def as_json(self) -> dict[str, Any]:
        """Return what a program may want to know."""
        return asdict(self) | {"passed": self.passed}

    def cells(self) -> tuple[str, ...]:
        """Return the row of the table."""
        spread = "" if self.low == self.high else f"{number(self.low)} to {number(self.high)}"
        result = "not measured here" if self.value is None else f"{number(self.value)} {self.unit}".rstrip()
        target = "" if self.target is None else f"{self.bound} {number(self.target)} {self.unit}".rstrip()
        verdict = {True: "pass", False: "MISSED", None: ""}[self.passed]
        return self.benchmark, self.what, result, spread, target, verdict


def over_rounds(benchmark: str, what: str, values: Sequence[float], unit: str = "", **more: Any) -> Figure:
    """Return the median of the rounds, and their span."""
    return Figure(benchmark, what, median(values), unit, min(values), max(values), **more)


def number(value: float | None) -> str:
    """Write a number with about three digits that mean something."""
    if value is None:
        return ""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def render(figures: Iterable[Figure]) -> str:
    """Return the table as aligned Markdown; a benchmark is named on the first of its rows."""
    rows: list[tuple[str, ...]] = [HEAD]
    for _, group in groupby(figures, key=lambda figure: figure.benchmark):
        cells = [figure.cells() for figure in group]
        rows += cells[:1] + [("", *rest) for _, *rest in cells[1:]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
