"""The Dockerfile, read; and the image, made by its steps in a root file system, for whoever asks for it."""

import json
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import pytest
from attrs import define, field, frozen

ROOT = Path(__file__).parents[2]


@frozen
class Step:
    """One instruction: its word, its flags, and the rest, in exec form as a list."""

    word: str
    flags: dict[str, str]
    rest: str

    @property
    def exec_form(self) -> list[str]:
        """Return the words of `["a", "b"]`; ValueError for the shell's form."""
        return json.loads(self.rest)


@define
class Stage:
    """One stage of the build."""

    base: str
    name: str
    steps: list[Step] = field(factory=list)

    def all(self, word: str) -> list[Step]:
        """Return all instructions of a kind."""
        return [step for step in self.steps if step.word == word]

    def one(self, word: str) -> Step:
        """Return the only instruction of a kind."""
        [step] = self.all(word)
        return step

    def environment(self, before: dict[str, str]) -> dict[str, str]:
        """Return what a container gets by ENV, on top of what the base has."""
        found = dict(before)
        for step in self.all("ENV"):
            pairs = [word.partition("=") for word in shlex.split(step.rest)]
            found |= {name: Template(value).substitute(found) for name, _, value in pairs}
        return found


def read(text: str) -> list[Stage]:
    """Read a Dockerfile; arguments are what their defaults say."""
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in filter(None, lines.replace("\\\n", " ").splitlines()):
        word, rest = line.split(maxsplit=1)
        flags = re.match(r"(?:--\S+\s+)*", rest)[0]
        step = Step(word, dict(flag[2:].split("=", 1) for flag in flags.split()), rest[len(flags) :].strip())
        if word == "ARG":
            arguments |= [step.rest.split("=", 1)]
        elif word == "FROM":
            base, _, name = Template(step.rest).substitute(arguments).partition(" AS ")
            stages.append(Stage(base, name))
        else:
            stages[-1].steps.append(step)
    return stages


@pytest.fixture(scope="session")
def stages() -> list[Stage]:
    """Return the stages of our Dockerfile."""
    return read((ROOT / "Dockerfile").read_text())


@pytest.fixture(scope="module")
def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the folder of the project."""
    return ROOT


@define
class Root:
    """A root file system in the making, with what its instructions have set so far."""

    path: Path
    environment: dict[str, str]
    workdir: str = "/"

    def run(self, command: str) -> None:
        """Run a command of the shell in it as root, with the network, as a builder does."""
        told = [word for pair in sorted(self.environment.items()) for word in ("--setenv", *pair)]
        given = [("/etc/resolv.conf", "/etc/resolv.conf"), ("/etc/ssl/certs", "/etc/ssl/certs")]
        mounts = [word for pair in given for word in ("--ro-bind", *pair)]
        subprocess.run(
            [
                *(
                    "bwrap",
                    "--bind",
                    self.path,
                    "/",
                    "--dev",
                    "/dev",
                    "--proc",
                    "/proc",
                    *mounts,
                    "--perms",
                    "1777",
                    "--tmpfs",
                    "/tmp",
                ),
                *("--unshare-pid", "--clearenv", *told, "--chdir", self.workdir, "/bin/sh", "-c", command),
            ],
            check=True,
        )

    def enter(self, folder: str) -> None:
        """Make a folder the one in which all that comes is done."""
        self.workdir = folder
        self.inside(folder).mkdir(parents=True, exist_ok=True)

    def copy(self, sources: list[str], target: str, context: Path) -> None:
        """Copy files, and what is in folders, from the context; what .dockerignore leaves out is not there."""
        place = self.inside(str(Path(self.workdir, target)))
        for source in (context / name.lstrip("/") for name in sources):
            if source.is_dir():
                shutil.copytree(source, place, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy(source, place)

    def inside(self, path: str) -> Path:
        """Return where a path of this root is outside of it."""
        return self.path / path.lstrip("/")


def stand_in(root: Path, wanted: str) -> Path:
    """Return a root that stands in for a base image; it is made once, and kept."""
    version, suite = re.fullmatch(r"python:([\d.]+)-slim-(\w+)", wanted).groups()
    kept = root / "build" / f"base-{suite}"
    if not (kept / "made").exists():
        shutil.rmtree(kept, ignore_errors=True)
        packages = "--include=python3,python3-venv,ca-certificates"
        subprocess.run(
            ["debootstrap", "--variant=minbase", packages, suite, kept], check=True, stdout=subprocess.DEVNULL
        )
        (kept / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        (kept / "made").touch()
    found = subprocess.run(["chroot", kept, "python", "--version"], capture_output=True, text=True, check=True)
    assert found.stdout.startswith(f"Python {version}.")
    return kept


def context(root: Path, folder: Path) -> Path:
    """Return a copy of what a builder would be sent: what .dockerignore leaves."""
    lines = [line for line in (root / ".dockerignore").read_text().splitlines() if line and line[0] not in "#*"]
    for name in (line[1:] for line in lines):
        if (root / name).is_dir():
            shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy(root / name, folder)
    return folder


def follow(stage: Stage, made: Root, built: dict[str, Root], sent: Path) -> None:
    """Do what the instructions of a stage say."""
    for step in stage.steps:
        match step.word:
            case "RUN":
                made.run(step.rest)
            case "WORKDIR":
                made.enter(step.rest)
            case "COPY":
                *sources, target = step.rest.split()
                made.copy(sources, target, built[step.flags["from"]].path if "from" in step.flags else sent)
            case "ENV":
                made.environment |= stage.environment(made.environment)


@pytest.fixture(scope="session")
def base(stages: list[Stage], root: Path) -> Path:
    """Return the root that stands in for the base image."""
    return stand_in(root, stages[-1].base)


@pytest.fixture(scope="session")
def built(stages: list[Stage], root: Path, base: Path, tmp_path_factory: Any) -> Iterator[dict[str, Root]]:
    """Return the root file system and the environment of each stage, built step by step; they are big and not kept."""
    folder = tmp_path_factory.mktemp("image")
    sent = context(root, folder / "context")
    built: dict[str, Root] = {}
    for stage in stages:
        path = folder / (stage.name or "image")
        subprocess.run(["cp", "--archive", base, path], check=True)
        made = built[stage.name] = Root(path, {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"})
        follow(stage, made, built, sent)
    yield built
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def image(built: dict[str, Root]) -> Root:
    """Return those of the last stage."""
    return built[""]
