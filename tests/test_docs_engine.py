"""The embedded engine is documented whole."""

import inspect
import re
from pathlib import Path

import callsheet
from callsheet import embedded

PAGE = (Path(__file__).parents[1] / "docs" / "reference" / "engine.md").read_text()


def first_cells(heading):
    """Return the first cells of the table below a heading, as text."""
    part = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return " ".join(line.split("|")[1] for line in part.splitlines() if line.startswith("|"))


def test_every_argument_of_the_engine_is_documented():
    assert set(re.findall(r"`(\w+)`", first_cells("`engine(…)`"))) == set(
        inspect.signature(callsheet.engine).parameters
    )


def test_every_member_of_the_engine_is_documented_with_its_own_arguments():
    made = {"url", "lost"}  # by its __init__
    members = {name for name in dir(embedded.Engine) if not name.startswith("_")} | made
    documented = first_cells("`Engine`")

    assert set(re.findall(r"`(\w+)[`(]", documented)) == members
    for name, told in re.findall(r"`(\w+)\(([^)]*)\)`", documented):
        taken = set(inspect.signature(getattr(embedded.Engine, name)).parameters)
        named = set(re.findall(r"(\w+)(?:=[^,]*)?(?:, |$)", told))
        assert named <= taken, name
        assert taken - named <= {"self", "fields", "args", "options"}, name


def test_everything_that_it_exports_is_documented():
    assert set(re.findall(r"`(\w+)`", first_cells("What `callsheet.embedded` exports"))) == set(embedded.__all__)
