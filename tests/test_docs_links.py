"""No page of the documentation names what is not there: files, tests, headings, decisions."""

import re

import pytest

import callsheet
from tests.pages import PAGES, ROOT, read


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        wanted = (page.parent / path).resolve() if path else page
        assert wanted.exists(), target
        assert not anchor or anchor in anchors(wanted), target


def anchors(page):
    """Return the anchors of a page: those of its headings, as GitHub makes them, and its own."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    own = set(re.findall(r'<a id="([^"]+)"></a>', page.read_text()))
    return own | {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


HARD_EDGES = (  # of the design
    "interval", "cron-clocks-go-forward", "cron-clocks-go-back", "at", "after", "strictly-forward",
    "a-run-still-goes-on-overlap-skip", "overlap-queue", "overlap-replace", "overlap-allow", "skips-in-a-row", "update",
    "delete", "pause", "downtime-catch-up-latest", "downtime-catch-up-all", "downtime-catch-up-none",
    "trigger-now-while-one-runs", "retries", "time-out", "cancel", "it-does-not-end", "crash", "shutdown",
    "task-gone-from-the-code", "stored-input-does-not-fit-any-more", "clock-set-back",
    "clock-set-forward-machine-asleep",
    "age", "count", "explain", "simulate", "isolated", "command",
)  # fmt: skip
_EDGE = re.compile(r'\| <a id="([a-z0-9-]+)"></a>.+ \| \[`(.+?)`\]\((.+?)\) \| \[`(test_\w+)`\]\((.+?)\) \|')


def test_every_hard_edge_is_a_place_on_the_page_that_leads_to_its_code_and_to_its_test():
    page = ROOT / "docs/semantics.md"
    lines = [line for line in page.read_text().splitlines() if line.startswith("| ") and not line.startswith("| edge")]
    edges = [_EDGE.fullmatch(line) for line in lines]
    assert [line for line, edge in zip(lines, edges, strict=True) if edge is None] == []
    names = [edge[1] for edge in edges]
    assert len(names) == len(set(names))
    assert set(HARD_EDGES) <= set(names)
    for edge in edges:
        assert (page.parent / edge[3]).resolve() == ROOT / edge[2]
        assert f"def {edge[4]}(" in (page.parent / edge[5]).read_text(), edge[4]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_and_test_that_a_page_names_exists(page):
    text = page.read_text()
    tests = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }

    for path in re.findall(r"`((?:callsheet|actors|storage|web|tests|docs|examples|benchmarks)/[\w./-]*)`", text):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"`(test_\w+)`", text):
        assert name in tests, name


def test_every_decision_is_in_the_index():
    index = read("docs/decisions/README.md")

    for record in (ROOT / "docs" / "decisions").glob("0*.md"):
        assert f"({record.name})" in index, record.name
        assert re.match(rf"# {record.name[:4]}: .+", record.read_text())
        assert re.findall(r"^## (.+)$", record.read_text(), re.MULTILINE) == ["Context", "Decision", "Consequences"]


def test_the_changelog_knows_this_version():
    assert f"## [{callsheet.__version__}]" in read("CHANGELOG.md")
