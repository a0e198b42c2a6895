"""Makes a site of the documentation: `make docs`.

The pages are written for a forge, so they link to files all over the repository. Here each of these becomes a page of
the site, too, and the links follow. The order of the navigation is that of docs/README.md; a page that it does not
name comes last in its section. Generator: zensical, in strict mode, so that a link that leads nowhere fails.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from posixpath import normpath, relpath

ROOT = Path(__file__).parents[1]
BUILD, SITE = ROOT / "build" / "site", ROOT / "site"
SECTIONS = {
    "Tutorial": "tutorial", "How-to": "how-to", "Reference": "reference", "Explanation": "explanation",
    "Decisions": "decisions",
}  # fmt: skip
ABOVE = {"reference": ["events.md"], "explanation": ["semantics.md"]}  # pages of a section that lie in docs/ itself
PROJECT = ("README.md", "SOLUTION.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")
LANGUAGES = {".py": "python", ".toml": "toml", ".yaml": "yaml", ".json": "json", ".sql": "sql"}

LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)#\s]+)([^)\s]*\))")
FENCED = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)
MARKED = re.compile(r"^```(\w+) ([\w.]+)$", re.MULTILINE)
LOADED = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=\"?(?:https?:)?//[^\" >]*")


def main() -> None:
    """Write the sources, have the site built, and look whether it keeps to itself."""
    shutil.rmtree(BUILD, ignore_errors=True)
    for name in gathered():
        place = BUILD / "pages" / site_path(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content(name))
    config = (ROOT / "zensical.toml").read_text().replace("[project]\n", f"[project]\n{settings()}\n", 1)
    (BUILD / "zensical.toml").write_text(config)
    generator = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(BUILD / "zensical.toml")]
    if subprocess.run(generator, check=False, cwd=BUILD).returncode:
        sys.exit("the site has faults: see above, without the `build/site/pages/`")
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.move(BUILD / "site", SITE)
    check()


def settings() -> str:
    """Return what the configuration says of this build."""
    lines = [f"  {{ {title!r} = {pages} }}," for title, pages in navigation()]
    return "\n".join(['docs_dir = "pages"', 'site_dir = "site"', "nav = [", *lines, "]"])


def navigation() -> list[tuple[str, object]]:
    """Return titles with their pages."""
    named = [normpath(target) for _, target, _ in LINK.findall((ROOT / "docs" / "README.md").read_text())]
    nav: list[tuple[str, object]] = [("Home", repr("index.md"))]
    for title, folder in SECTIONS.items():
        pages = [path.relative_to(ROOT / "docs").as_posix() for path in sorted((ROOT / "docs" / folder).glob("*.md"))]
        pages = sorted(pages + ABOVE.get(folder, []), key=lambda page: named.index(page) if page in named else 1000)
        nav.append((title, [site_path(f"docs/{page}") for page in pages]))
    return [*nav, ("Project", [site_path(name) for name in PROJECT if (ROOT / name).exists()])]


def gathered() -> list[str]:
    """Return the paths of all pages, and of all files that a page leads to."""
    found = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md"))]
    found += [name for name in PROJECT if (ROOT / name).exists()]
    for name in found:  # which grows
        if name.endswith(".md") and (ROOT / name).is_file():
            targets = [target for _, target, _ in LINK.findall(FENCED.sub("", (ROOT / name).read_text()))]
            found += [one for one in dict.fromkeys(led_to(name, to) for to in targets) if one not in found]
    return [name for name in found if (ROOT / name).is_file()]


def led_to(origin: str, target: str) -> str:
    """Return the path in the repository that a link leads to; for a folder, its first page."""
    path = normpath(f"{origin}/../{target}")
    return f"{path}/README.md" if (ROOT / path).is_dir() else path


def site_path(name: str) -> str:
    """Return where a file of the repository stands among the sources of the site."""
    inside = name.removeprefix("docs/") if name.startswith("docs/") else f"project/{name}"
    page = inside if inside.endswith(".md") else f"{inside}.md"
    return re.sub(r"(^|/)README\.md$", r"\1index.md", page)


def content(name: str) -> str:
    """Return the page that a file becomes."""
    text = (ROOT / name).read_text()
    if not name.endswith(".md"):
        language = LANGUAGES.get(Path(name).suffix, "text")
        return f"---\nsearch:\n  exclude: true\n---\n\n# `{name}`\n\n````{language}\n{text}````\n"
    here = normpath(f"{site_path(name)}/..")

    def led(link: re.Match[str]) -> str:
        return f"{link[1]}{relpath(site_path(led_to(name, link[2])), here)}{link[3]}"

    parts = [part if part.startswith("```") else LINK.sub(led, part) for part in FENCED.split(text)]
    return "".join(fence(part) for part in parts)


def fence(part: str) -> str:
    """Return a block of code as the generator has it: a file's name becomes a title, marks for the tests go.

    A picture goes, too: it would need a script from elsewhere, and the table below it says the same.
    """
    if part.startswith("```mermaid"):
        return ""
    return MARKED.sub(_titled, part, count=1)


def _titled(mark: re.Match[str]) -> str:
    return f'```{mark[1]} title="{mark[2]}"' if "." in mark[2] else f"```{mark[1]}"


def check() -> None:
    """Fail if a page would load anything from elsewhere."""
    for path in SITE.rglob("*.html"):
        found = LOADED.search(path.read_text())
        if found:
            sys.exit(f"{path.relative_to(SITE)} loads {found[0]}")


if __name__ == "__main__":
    main()
