"""The unit is well formed, as closed as can be, and gives the service the time that it takes; see prove_unit.py."""

import configparser
import subprocess
import tomllib
from pathlib import Path

import pytest

from callsheet.instants import SECOND, parse_duration
from callsheet.service import AFTER_DRAIN, REFUSED
from callsheet.settings import Settings
from callsheet.settings_file import load_settings

MOST_EXPOSED = 15  # in tenths, as systemd counts; what opens more than its network must be dropped in by its owner


@pytest.fixture
def unit(root: Path) -> configparser.SectionProxy:
    """Return the lines about the service; of those that come twice, the last one."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes="#")
    parser.optionxform = str
    parser.read(root / "deploy/systemd/callsheet.service")
    return parser["Service"]


@pytest.fixture
def installed(root: Path, tmp_path: Path) -> Path:
    """Return the unit with a program that is there on this machine."""
    path = tmp_path / "callsheet.service"
    text = (root / "deploy/systemd/callsheet.service").read_text()
    path.write_text(text.replace("/opt/callsheet/bin/callsheet", "/bin/true"))
    return path


def analyzed(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Return what systemd itself says."""
    return subprocess.run(["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False)


def test_systemd_understands_every_line(installed):
    found = analyzed("verify", installed)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_the_service_is_closed_up(installed):
    found = analyzed("security", "--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager", installed)
    assert found.returncode == 0, found.stdout


def test_systemd_waits_longer_than_the_drain_and_signals_the_service_alone(unit):
    assert parse_duration(int(unit["TimeoutStopSec"])) / SECOND > Settings().drain + AFTER_DRAIN + 5
    assert unit["KillMode"] == "mixed"


def test_a_refusal_is_final(unit):
    assert unit["Restart"] == "on-failure"
    assert unit["RestartPreventExitStatus"] == str(REFUSED)


def test_the_settings_that_come_with_it_are_settings(root, unit):
    path = root / "deploy/systemd/callsheet.toml"
    settings = load_settings({"config": str(path)}, {}).settings
    assert settings.host == "127.0.0.1"
    assert settings.database == f"sqlite:////var/lib/{unit['StateDirectory']}/callsheet.db"
    assert set(tomllib.loads(path.read_text())) == {"database", "tasks"}
    assert "CALLSHEET_CONFIG=/etc/callsheet/callsheet.toml" in unit["Environment"].split()
