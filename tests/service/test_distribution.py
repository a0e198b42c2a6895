"""The wheel and the sdist hold what they should, install, and serve; what is laid over them is found out."""

import importlib.metadata
import shutil
import subprocess
import sys
import tarfile
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from attrs import frozen

import callsheet
from tests.service.sources import HELLO

ROOT = Path(__file__).parents[2]
PACKAGES = ("actors", "callsheet", "storage", "web")


def run(*command: Any, **options: Any) -> str:
    """Run a program that must succeed and return what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a wheel and a sdist of this checkout; no network is asked for what builds them."""
    folder = tmp_path_factory.mktemp("built")
    run(sys.executable, "-m", "hatchling", "build", "--directory", folder, cwd=ROOT)
    return folder


def contents(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_the_packages_and_nothing_else(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    files = contents(wheel)
    ours = {name for name in files if ".dist-info/" not in name}

    assert ours == {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {f"{package}/py.typed" for package in PACKAGES} <= ours
    for part in (
        "web/static/docs.js",
        "web/static/vendor/swagger-ui-dist/LICENSE",
        "storage/migrations/0001_sqlite.sql",
    ):
        assert part in ours
    licences = {name.partition("/licenses/")[2] for name in files if "/licenses/" in name}
    vendored = "web/static/vendor/swagger-ui-dist"
    assert {"LICENSE", f"{vendored}/LICENSE", f"{vendored}/NOTICE"} < licences


def test_the_sdist_is_whole_and_builds_the_same_wheel(built: Path, tmp_path: Path) -> None:
    [wheel], [sdist] = built.glob("*.whl"), built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    [folder] = tmp_path.iterdir()

    parts = {path.name for path in folder.iterdir()}
    assert parts >= {*PACKAGES, "tests", "docs", "examples", "deploy", "LICENSE", "README.md", "Makefile"}
    assert not {".venv", ".git", "build", "dist", "callsheet-data"} & parts
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", cwd=folder)
    assert contents(folder / "dist" / wheel.name) == contents(wheel)


# --- in an environment of its own ---


@frozen
class Environment:
    """A virtual environment in which callsheet's dependencies are those of the tests, and callsheet is our wheel."""

    folder: Path
    wheel: Path

    @property
    def python(self) -> str:
        """Return the path of its interpreter."""
        return str(self.folder / "bin" / "python")

    @property
    def script(self) -> str:
        """Return the path of its command `callsheet`."""
        return str(self.folder / "bin" / "callsheet")

    @property
    def packages(self) -> Path:
        """Return where its packages are."""
        return self.folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"

    def install(self, wheel: Path) -> None:
        """Install a wheel over whatever is there."""
        self._pip("install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--force-reinstall", wheel)

    def uninstall(self, name: str) -> None:
        """Uninstall a distribution."""
        self._pip("uninstall", "--quiet", "--yes", name)

    def _pip(self, *words: Any) -> None:
        run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", self.python, *words)


@pytest.fixture(scope="module")
def environment(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Return the environment; tests leave it as it was."""
    [wheel] = built.glob("*.whl")
    made = Environment(tmp_path_factory.mktemp("environment"), wheel)
    venv.create(made.folder, symlinks=True)
    dependencies = Path(str(importlib.metadata.distribution("trio").locate_file("")))
    (made.packages / "dependencies.pth").write_text(f"{dependencies}\n")  # which does not lead on to this checkout
    made.install(wheel)
    return made


def test_the_wheel_serves_where_the_repository_is_not(environment: Environment, launch: Any) -> None:
    assert run(environment.script, "--version").startswith(f"callsheet {callsheet.__version__} (tzdata ")
    code = "import callsheet, actors, storage, web; print(*(one.__file__ for one in (callsheet, actors, storage, web)))"
    for file in run(environment.python, "-c", code, cwd=launch.folder).split():
        assert Path(file).is_relative_to(environment.packages)

    service = launch(program=(environment.script,), tasks=HELLO)

    assert service.over(service.start("hello"))["outputs"] == ["hello"]
    assert service.get("/openapi.json")["openapi"] == "3.1.0"
    assert service.stop() == 0


# --- strangers ---

OTHER_WEB = {"web/__init__.py": "__version__ = '0.76'\n", "web/app.py": "x = 1\n"}
STRANGERS = {
    "another package": ("web/__init__.py", OTHER_WEB),
    "one that cannot be imported": ("actors/__init__.py", {"actors/__init__.py": "import something_else\n"}),
    "a single file": ("storage/records.py", {"storage/records.py": "y = 2\n"}),
}


@frozen
class Stranger:
    """Another distribution that has packages of our names."""

    environment: Environment
    folder: Path

    def install(self, files: dict[str, str]) -> None:
        """Make a wheel of some files, and install it."""
        wheel, about = self.folder / "stranger-0.76-py3-none-any.whl", "stranger-0.76.dist-info"
        files = files | {
            f"{about}/METADATA": "Metadata-Version: 2.1\nName: stranger\nVersion: 0.76\n",
            f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        files[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{about}/RECORD"])
        with ZipFile(wheel, "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
        self.environment.install(wheel)


@pytest.fixture
def stranger(environment: Environment, tmp_path: Path) -> Iterator[Stranger]:
    """Return a stranger that is gone after the test, with what it has done."""
    before = shutil.copytree(environment.packages, tmp_path / "before")
    yield Stranger(environment, tmp_path)
    shutil.rmtree(environment.packages)
    before.rename(environment.packages)


def assert_refused(launch: Any, environment: Environment, file: Path, variables: dict[str, str] | None = None) -> None:
    code, said = launch.refused(program=(environment.script,), environment=variables)
    assert code == 78
    assert said.count("\n") == 1
    assert f"{file}" in said
    assert " is not callsheet's, or not whole" in said
    assert said.endswith("Install callsheet anew, in an environment of its own.\n")


@pytest.mark.parametrize("kind", STRANGERS)
def test_it_refuses_to_start_when_another_distribution_is_laid_over_it(
    environment: Environment, stranger: Stranger, launch: Any, kind: str
) -> None:
    file, files = STRANGERS[kind]
    stranger.install(files)

    assert_refused(launch, environment, environment.packages / file)


def test_laid_over_another_distribution_it_serves_until_that_is_uninstalled(
    environment: Environment, stranger: Stranger, launch: Any
) -> None:
    stranger.install(OTHER_WEB)
    environment.install(environment.wheel)
    assert launch(program=(environment.script,)).stop() == 0

    environment.uninstall("stranger")  # and with it the files of ours that have the same names
    assert_refused(launch, environment, environment.packages / "web")


def test_a_folder_of_the_same_name_is_in_the_way_only_when_it_is_on_the_path(
    environment: Environment, launch: Any
) -> None:
    (launch.folder / "web").mkdir()
    (launch.folder / "web" / "__init__.py").write_text("__version__ = 'mine'\n")
    module = (environment.python, "-m", "callsheet")

    for variables in ({}, {"PYTHONSAFEPATH": "1"}):
        assert launch(program=module, environment=variables, tasks=HELLO).stop() == 0
    path = {"PYTHONPATH": str(launch.folder)}
    assert_refused(launch, environment, launch.folder / "web" / "__init__.py", path)
