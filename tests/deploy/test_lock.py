"""The image installs exactly what the lock says, and the lock says what pyproject.toml asks for."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = {"requirements.lock": ("project", "dependencies"), "requirements-build.lock": ("build-system", "requires")}


def entries(text):
    """Return each entry of a lock, in one line."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return "\n".join(lines).replace("\\\n", " ").splitlines()


def pinned(text):
    """Return the version of each distribution."""
    return dict(entry.split()[0].split("==") for entry in entries(text))


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_is_one_version_with_hashes_and_nothing_else(root, name):
    found = entries((root / name).read_text())
    assert found
    for entry in found:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*( +--hash=sha256:[0-9a-f]{64})+", entry), entry


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_satisfies_pyproject(root, name):
    table, key = LOCKS[name]
    asked = tomllib.loads((root / "pyproject.toml").read_text())[table][key]
    versions = pinned((root / name).read_text())
    for text in asked:
        requirement = Requirement(text)
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier, f"{text}: run `make lock`"
