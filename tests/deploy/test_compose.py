"""The compose files are valid, keep their secrets to the environment, and give the service the time that it takes."""

import re

import pytest
import yaml
from compose_spec import PyCompose

from callsheet.instants import SECOND, parse_duration
from callsheet.service import AFTER_DRAIN
from callsheet.settings_file import load_settings

FILES = ("compose.yaml", "compose.postgres.yaml")
GIVEN = {"CALLSHEET_API_KEY": "0123456789abcdef" * 2, "POSTGRES_PASSWORD": "fedcba9876543210" * 2}


def filled_in(text, given):
    """Return a compose file with its variables filled in as Compose does; KeyError when a required one is missing."""

    def value(found):
        name, kind, rest = found.groups()
        return given.get(name, rest) if kind == ":-" else given[name]

    return re.sub(r"\$\{(\w+)(:-|:\?)([^}]*)\}", value, text)


@pytest.fixture(params=FILES)
def text(request, root):
    """Return each compose file as it is."""
    return (root / request.param).read_text()


@pytest.fixture
def service(text):
    """Return what it says about callsheet."""
    return yaml.safe_load(filled_in(text, GIVEN))["services"]["callsheet"]


def test_the_file_is_what_compose_understands(text):
    PyCompose.from_yaml(filled_in(text, GIVEN)).validate()
    with pytest.raises(ValueError, match="read_onlyy"):
        PyCompose.from_yaml(filled_in(text, GIVEN).replace("read_only:", "read_onlyy:"))


def test_nothing_starts_without_secrets_and_none_has_a_default(text):
    for name in set(re.findall(r"\$\{(CALLSHEET_API_KEY|POSTGRES_PASSWORD)", text)):
        with pytest.raises(KeyError):
            filled_in(text, {other: GIVEN[other] for other in GIVEN if other != name})
    assert "${CALLSHEET_API_KEY:?" in text


def test_its_variables_are_settings(service):
    settings = load_settings({}, service["environment"]).settings
    assert settings.api_key == GIVEN["CALLSHEET_API_KEY"]
    assert not settings.insecure_no_auth


def test_docker_waits_longer_than_the_drain(service):
    drain = load_settings({}, service["environment"]).settings.drain
    assert parse_duration(service["stop_grace_period"]) / SECOND > drain + AFTER_DRAIN + 5


def test_the_container_can_change_its_data_alone(service):
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    writable = [volume for volume in service["volumes"] if not volume.endswith(":ro")]
    assert writable in ([], ["data:/data"])
    assert service["ports"] == ["127.0.0.1:8080:8080"]


def test_postgresql_is_waited_for_and_kept(root):
    found = yaml.safe_load(filled_in((root / "compose.postgres.yaml").read_text(), GIVEN))
    service, database = found["services"]["callsheet"], found["services"]["database"]
    assert service["depends_on"] == {"database": {"condition": "service_healthy"}}
    user, password, host, name = re.fullmatch(
        r"postgresql://(\w+):(\w+)@(\w+)/(\w+)", service["environment"]["CALLSHEET_DATABASE"]
    ).groups()
    told = database["environment"]
    assert (user, password, name) == (told["POSTGRES_USER"], told["POSTGRES_PASSWORD"], told["POSTGRES_DB"])
    assert host in found["services"]
    assert [volume.split(":")[0] for volume in database["volumes"]] == list(found["volumes"])
