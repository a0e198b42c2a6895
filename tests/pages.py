"""The pages of the documentation, and what stands where in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])


def read(path):
    """Return the text of a page under the root."""
    return (ROOT / path).read_text()


def rows(text):
    """Return the rows of all tables as lists of cells."""
    lines = [line.strip() for line in text.splitlines() if line.startswith("|")]
    return [re.split(r"(?<!\\)\|", line.strip("|")) for line in lines]


def first_words(text):
    """Return what stands in backticks in the first cell of each row."""
    return [word for row in rows(text) for word in re.findall(r"`([^`]+)`", row[0])]


def section(text, heading):
    """Return the part of a page below a heading."""
    part = re.split(rf"^#+ {re.escape(heading)}$", text, maxsplit=1, flags=re.MULTILINE)[1]
    return re.split(r"^## ", part, maxsplit=1, flags=re.MULTILINE)[0]
