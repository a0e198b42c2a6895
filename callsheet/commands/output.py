"""Results on standard output: tables for people, JSON for programs, names for other commands."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

Columns = Sequence[tuple[str, Callable[[T], str]]]

STYLES = {
    "succeeded": "green", "active": "green", "ran": "green", "running": "cyan", "queued": "cyan", "paused": "yellow",
    "skipped": "yellow", "missed": "yellow", "cancelled": "yellow", "interrupted": "yellow", "failed": "red",
    "timed_out": "red", "lost": "red", "blocked": "red", "dropped": "red", "rejected": "red", "ok": "green",
    "warn": "yellow", "wrong": "red", "disabled": "red", "expired": "yellow", "revoked": "yellow",
}  # fmt: skip
LONGEST_WORD = 36  # characters: the id of an instance, which people copy
GAP = 2  # between two columns
_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def show(items: Iterable[T], columns: Columns[T], form: str, name: Callable[[T], str], none: str | None = None) -> None:
    """Print a list; `none` is what a table without rows says instead. What came before an error is printed, too."""
    if form == "table":
        _show_table(items, columns, none)
    elif form == "json":
        with _all_of(items) as found:
            document(found)
    else:
        for item in items:
            line(name(item) if form == "name" else msgspec.json.encode(item).decode())


def _show_table(items: Iterable[T], columns: Columns[T], none: str | None) -> None:
    with _all_of(items) as found:
        if found or none is None:
            table([title for title, _ in columns], [[cell(item) for _, cell in columns] for item in found])
    if not found and none is not None:
        sys.stderr.write(none + "\n")


@contextmanager
def _all_of(items: Iterable[T]) -> Iterator[list[T]]:
    """Give all items; where an error ends them, give those before it, and raise it then."""
    found: list[T] = []
    try:
        found.extend(items)
    except Exception:  # whatever it is, it goes on, behind what is known to have happened
        if found:
            yield found
        raise
    yield found


def tell(done: Iterable[tuple[T, str]], form: str, name: Callable[[T], str]) -> None:
    """Tell what was done to each of some things: people in sentences, as they come; programs by what came of it."""
    if form != "table":
        show((thing for thing, _ in done), (), form, name)
        return
    for _, sentence in done:
        sys.stderr.write(sentence + "\n")
        sys.stderr.flush()


def show_one(item: T, columns: Columns[T], form: str, name: Callable[[T], str]) -> None:
    """Print one thing: as a table, a line for each of its columns that holds something."""
    if form == "table":
        _show_lines([(title, text) for title, cell in columns if (text := cell(item))])
    elif form == "name":
        line(name(item))
    elif form == "jsonl":
        line(msgspec.json.encode(item).decode())
    else:
        document(item)


def _show_lines(told: Sequence[tuple[str, str]]) -> None:
    """Print titles and what belongs to them, which may have several lines; never cut off, in colours on a terminal."""
    width = max((len(title) for title, _ in told), default=0)
    rows = [(title.ljust(width), text.replace("\n", "\n" + " " * (width + 2))) for title, text in told]
    if not sys.stdout.isatty():
        for title, text in rows:
            line(f"{title}  {text}")
        return
    from rich.console import Console  # noqa: PLC0415 - a pipe needs none of it
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    for title, text in rows:
        style = STYLES.get(text.split(":", 1)[0], "")
        console.print(Text.assemble((title, "bold"), "  ", (text, style)), soft_wrap=True)


def document(value: Any) -> None:
    """Print JSON to be read."""
    line(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def line(text: str) -> None:
    """Print one line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: with colours on a terminal, plain and never cut off in a pipe."""
    if sys.stdout.isatty():
        _rich_table(titles, rows)
        return
    for text in _aligned([[title.upper() for title in titles], *rows]):
        line(text)


def _rich_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - a pipe needs none of it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    made = Table(box=None, pad_edge=False, header_style="bold")
    widths = [_narrowest(title, [row[place] for row in rows]) for place, title in enumerate(titles)]
    for title, width in zip(titles, widths, strict=True):
        made.add_column(title.upper(), overflow="fold", min_width=width)
    for row in rows:
        made.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    console = Console(highlight=False)
    console.print(made, width=max(console.width, sum(widths) + GAP * (len(widths) - 1)), crop=False)


def _narrowest(title: str, cells: Sequence[str]) -> int:
    """Return how narrow a column may be: no word of it is broken, unless it is very long."""
    return min(max((len(word) for text in (title, *cells) for word in text.split()), default=0), LONGEST_WORD)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def when(moment: datetime | None, now: datetime | None = None) -> str:
    """Return a time in the local zone, with its name, and how far away it is; nothing for None."""
    return "" if moment is None else f"{local(moment)} ({distance(moment, now)})"


def local(moment: datetime | None) -> str:
    """Return a time in the local zone, with its name."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def clock(moment: datetime, now: datetime | None = None) -> str:
    """Return the time of day in the local zone, behind its date unless that is today."""
    here, today = moment.astimezone(), (now or datetime.now(UTC)).astimezone().date()
    return here.strftime("%H:%M:%S" if here.date() == today else "%Y-%m-%d %H:%M:%S")


def distance(moment: datetime, now: datetime | None = None) -> str:
    """Return how far away a time is: `in 3 m`, `2 h ago`."""
    seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    text = length(abs(seconds))
    return f"in {text}" if seconds >= 0 else f"{text} ago"


def length(seconds: float | None) -> str:
    """Return a length of time in its largest unit; nothing for None."""
    if seconds is None:
        return ""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if unit == "s" else f"{int(seconds // size)} {unit}"
    return f"{seconds:.2g} s" if seconds >= 0.001 else "0 s"


def compact(value: object) -> str:
    """Return a value as JSON in one line."""
    return msgspec.json.encode(value).decode()
