"""The two faces of the client are one: the one that blocks is made from the one that awaits, and no route is forgotten.

`python tests/client/test_faces.py` makes it anew.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from web.app import create_app

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "callsheet" / "client"
PARTS = {"aio_transport.py": "sync_transport.py", "aio_parts.py": "sync_parts.py", "aio.py": "sync.py"}
WORDS = (
    (r"\basync (def|with|for) ", r"\1 "),
    (r"\bawait ", ""),
    (r"import anyio\n", ""),
    (r"\banyio\.sleep", "time.sleep"),
    (r"\baclosing", "closing"),
    (r"\bAsyncGenerator\[(.+), None\]", r"Generator[\1, None, None]"),
    (r"\bAsyncGenerator", "Generator"),
    (r"\bAsync(Client|Transport|Tasks|Instances|Schedules|Webhooks)", r"\1"),
    (r"\b__a(enter|exit)__", r"__\1__"),
    (r"\ba(close|read|iter_raw)\b", lambda found: found[1]),
    (r"\baio(_transport|_parts)?\b", r"sync\1"),
    (r"  # noqa: ASYNC109[^\n]*", ""),
)

# for browsers and for other programs than ours
ELSEWHERE = {"/metrics", "/docs", "/docs/{}"}
FACE = (FOLDER / "aio.py").read_text() + (FOLDER / "aio_parts.py").read_text()
CALLS = (FOLDER / "calls.py").read_text()


def made(name):
    """Return the blocking form of a module, formatted as everything is."""
    text = (FOLDER / name).read_text()
    _, body = text.split('"""\n', 1)
    for pattern, replacement in WORDS:
        body = re.sub(pattern, replacement, body)
    if "time.sleep" in body and "import time" not in body:
        body = body.replace("from types import", "import time\nfrom types import", 1)
    title = {
        "aio.py": "The client for programs that block",
        "aio_parts.py": "Tasks, instances, schedules, webhooks",
        "aio_transport.py": "Calls become requests",
    }[name]
    return f'"""{title}. Made from `{name}` by tests/client/test_faces.py; change that."""\n{body}'


def meaning(text):
    """Return what source says, whatever its format and the order of its imports."""
    tree = ast.parse(text)
    imports = {
        (getattr(node, "module", None), one.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for one in node.names
    }
    rest = [ast.dump(node) for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
    return imports, rest


@pytest.mark.parametrize("name", PARTS)
def test_the_face_that_blocks_is_the_one_that_awaits(name):
    assert meaning((FOLDER / PARTS[name]).read_text()) == meaning(made(name))


def test_both_faces_have_every_call():
    names = set(re.findall(r"^def ([a-z]\w*)\([^)]*\) -> Call\[", CALLS, re.MULTILINE)) - {"call"}

    assert len(names) > 30
    assert names == set(re.findall(r"calls\.(\w+)\(", FACE)) & names


def test_every_route_of_the_api_has_a_call_and_every_call_a_route():
    app = create_app(None, insecure=False)
    routes = {
        (method, re.sub(r"<[^>]+>", "{}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    called = set(re.findall(r'"(GET|POST|PUT|PATCH|DELETE)",\s+"(/[^"]*)"', CALLS))
    called.add(("POST", "/v1/schedules/{}/backfill"))  # its path stands in a line of its own

    assert {(method, path) for method, path in routes if path not in ELSEWHERE} - called == set()
    assert called - routes == set()


def write():
    """Write the face that blocks, in our style."""
    for source, target in PARTS.items():
        text = made(source)
        for command in (["check", "--fix", "--quiet", "--exit-zero", "--select=I"], ["format", "--quiet"]):
            run = [Path(sys.executable).with_name("ruff"), *command, "--stdin-filename", str(FOLDER / target), "-"]
            text = subprocess.run(run, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout
        (FOLDER / target).write_text(text)


if __name__ == "__main__":
    write()
