"""RESULTS.md: the figures, what falls short of its target and why, and those who did the same work."""

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.table import Figure, Side, number, render, render_sides

RESULTS = Path(__file__).with_name("RESULTS.md")
REMARKS = Path(__file__).with_name("remarks.toml")
NO_REMARK = "Nobody has said why yet."

Remarks = dict[str, dict[str, str]]  # benchmark -> what -> why it falls short


def read_remarks(path: Path = REMARKS) -> Remarks:
    """Return what people have written about figures that fall short."""
    return tomllib.loads(path.read_text())


def page(found: dict[str, Any], figures: list[Figure], sides: list[Side], remarks: Remarks) -> str:
    """Return the page; `found` tells when, on what and how much was measured."""
    kind = "a quick run, so less of everything than the targets ask" if found["quick"] else "a whole run"
    parts = [
        f"# Results\n\nWritten by `make bench`; {kind}, {found['at']}, in {found['minutes']} minutes.",
        "The service is the real `callsheet serve`; README.md tells what each row means.\n",
        machine.line(found["machine"]) + "\n",
        render(figures),
    ]
    short = "".join(f"{line}\n" for line in shortcomings(figures, remarks))
    if short:
        parts.append(f"## What falls short\n\n{short}")
    if sides:
        parts.append(f"## Beside others\n\n{render_sides(sides)}")
    return "\n".join(parts)


def shortcomings(figures: Iterable[Figure], remarks: Remarks) -> Iterator[str]:
    """Return a line for each target that is missed: by how much, and why."""
    for figure in figures:
        if figure.passed is False:
            why = remarks.get(figure.benchmark, {}).get(figure.what, NO_REMARK)
            result = f"{number(figure.value)} {figure.unit}".rstrip()
            asked = f"{figure.bound} {number(figure.target)} {figure.unit}".rstrip()
            yield f"- **{figure.benchmark}**, {figure.what}: {result} where {asked} is asked, {figure.short}. {why}"


def stale(figures: Iterable[Figure], remarks: Remarks) -> list[str]:
    """Return the remarks on figures that were measured and do not fall short, or that nobody knows."""
    known = {(figure.benchmark, figure.what): figure for figure in figures}
    measured = {benchmark for benchmark, _ in known}
    return [
        f"{benchmark}: {what}"
        for benchmark, about in remarks.items()
        for what in about
        if benchmark in measured and ((benchmark, what) not in known or known[benchmark, what].passed is not False)
    ]
