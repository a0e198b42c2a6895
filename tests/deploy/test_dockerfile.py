"""The Dockerfile says what a container needs to be safe; that its steps work is proven by prove_image.py."""

import subprocess
import sys
import tomllib
from pathlib import Path

from callsheet.instants import SECOND, parse_duration
from callsheet.service import AFTER_DRAIN
from callsheet.settings_file import load_settings

DOCKER_KILLS_AFTER = 10  # seconds, unless `docker stop --time` says otherwise
TOLD_APART = {"COPY", "RUN", "WORKDIR", "ENV", "USER"}  # what prove_image.py follows
ABOUT_THE_CONTAINER = {"LABEL", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}


def test_the_linter_has_nothing_to_say(root):
    hadolint = Path(sys.executable).with_name("hadolint")
    found = subprocess.run([hadolint, root / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


def test_the_service_is_process_1_is_nobody_and_hears_sigterm(stages):
    image = stages[-1]
    assert image.one("ENTRYPOINT").exec_form + image.one("CMD").exec_form == ["callsheet", "serve"]
    assert image.one("USER").rest == "10001:10001"  # numbers, or Kubernetes cannot tell that it is not root
    assert image.one("STOPSIGNAL").rest == "SIGTERM"
    assert image.one("VOLUME").rest == "/data"
    word, _, command = image.one("HEALTHCHECK").rest.partition(" ")
    assert (word, command) == ("CMD", '["callsheet", "health"]')


def test_its_variables_are_settings_and_what_runs_may_finish_before_docker_kills(stages):
    environment = stages[-1].environment({"PATH": "/usr/bin"})
    settings = load_settings({}, {name: environment[name] for name in environment if name.startswith("CALLSHEET_")})
    found = settings.settings
    assert (found.host, found.port, found.tasks) == ("0.0.0.0", 8080, ("/tasks",))
    assert found.database == "sqlite:////data/callsheet.db"
    assert found.drain + AFTER_DRAIN < DOCKER_KILLS_AFTER
    assert not found.insecure_no_auth
    assert environment["PYTHONSAFEPATH"] == "1"
    assert environment["PATH"] == "/opt/callsheet/bin:/usr/bin"
    assert parse_duration(stages[-1].one("HEALTHCHECK").flags["timeout"]) > 3 * SECOND  # the patience of `health`


def test_both_stages_stand_on_the_same_python_as_the_lock(stages, root):
    assert len({stage.base for stage in stages}) == 1
    version = stages[0].base.removeprefix("python:").split("-")[0]
    assert f"--python-version {version} " in (root / "Makefile").read_text()
    assert "slim" in stages[0].base


def test_what_is_copied_is_all_that_the_builder_is_sent(stages, root):
    copied = {source for step in stages[0].all("COPY") for source in step.rest.split()[:-1]}
    assert all((root / source).exists() for source in copied)

    lines = [line for line in (root / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == copied
    assert lines[-1] == "**/__pycache__"
    wheel = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["packages"]) <= copied


def test_nothing_is_installed_that_has_no_hash(stages):
    installs = [
        line.split("install", 1)[1]
        for step in stages[0].all("RUN")
        for line in step.rest.split("&&")
        if " install" in line
    ]
    assert installs
    for flags in installs:
        assert "--require-hashes" in flags or {"--no-deps", "--no-index"} <= set(flags.split())


def test_the_proof_of_the_image_passes_over_no_instruction(stages):
    words = {step.word for stage in stages for step in stage.steps}
    assert words == TOLD_APART | ABOUT_THE_CONTAINER
