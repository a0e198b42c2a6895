import pytest

from callsheet.commands.config_command import masked
from callsheet.errors import RefusedToStart
from callsheet.settings import Settings, secret_of
from callsheet.settings_file import load_settings, variables


@pytest.fixture
def load(tmp_path):
    """A function (file, flags, **environment) -> what is loaded; `file` is the text of callsheet.toml."""

    def load(text=None, flags=None, **environment):
        if text is not None:
            (tmp_path / "callsheet.toml").write_text(text)
        return load_settings(flags or {}, environment, tmp_path)

    return load


def test_a_flag_goes_before_a_variable_that_before_the_file_that_before_the_default(load):
    text = 'port = 1\nhost = "file"\nnode = "file"\ntasks = ["a", "b.py"]\ndemo = true\ndrain = 3'
    found = load(text, {"port": "3"}, CALLSHEET_PORT="2", CALLSHEET_HOST="variable")

    assert found.settings == Settings(host="variable", port=3, node="file", tasks=("a", "b.py"), demo=True, drain=3.0)
    assert found.origins["port"] == "--port"
    assert found.origins["host"] == "CALLSHEET_HOST"
    assert found.origins["node"].endswith("callsheet.toml")
    assert found.origins["database"] == "default"


def test_settings_of_every_kind_may_stand_in_the_file(load):
    text = """
        allow_commands = true
        access_log = true
        log_format = "json"
        log_level = "debug"
        keep_for = "30d"
        keep_last = 100
        keep_events = "off"
        max_running = 5
    """
    found = load(text)

    assert found.settings == Settings(
        allow_commands=True, access_log=True, log_format="json", log_level="debug", keep_for=30 * 86_400_000_000,
        keep_last=100, keep_events=None, max_running=5,
    )  # fmt: skip
    assert set(found.origins) == set(Settings.__annotations__)


def test_without_a_file_nothing_is_asked_of_one(load):
    assert load().settings == Settings()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("prot = 1", "There is no setting prot .* Did you mean port?"),
        ("port = [", "is not TOML"),
        ("port = 'http'", r"callsheet\.toml: port must be a port"),
        ("port = true", "must be a port"),
        ("[port]\nx = 1", "cannot be a table"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(load, text, why):
    with pytest.raises(RefusedToStart, match=why):
        load(text)


def test_a_wrong_variable_is_not_blamed_on_the_file(load):
    with pytest.raises(RefusedToStart) as caught:
        load("port = 1", CALLSHEET_DRAIN="soon")
    assert "toml" not in str(caught.value)


def test_a_variable_that_nobody_reads_is_refused(load):
    with pytest.raises(RefusedToStart, match=r"CALLSHEET_DRIAN .* Did you mean CALLSHEET_DRAIN?"):
        load(CALLSHEET_DRIAN="3s")
    assert load(CALLSHEET_URL="http://x", CALLSHEET_TOKEN="x", OTHER="x").settings == Settings()


def test_what_kubernetes_sets_for_a_service_of_our_name_is_no_setting(load):
    links = {
        "CALLSHEET_PORT": "tcp://10.0.0.1:8080",
        "CALLSHEET_SERVICE_HOST": "10.0.0.1",
        "CALLSHEET_SERVICE_PORT": "8080",
        "CALLSHEET_SERVICE_PORT_HTTP": "8080",
        "CALLSHEET_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "CALLSHEET_PORT_8080_TCP_ADDR": "10.0.0.1",
        "CALLSHEET_PORT_8080_TCP_PROTO": "tcp",
    }
    assert load(**links).settings == Settings()


def test_a_secret_may_lie_in_a_file_of_its_own(load, tmp_path):
    path = tmp_path / "secret"
    path.write_text("postgresql://me:pw@db/x\n")

    found = load(CALLSHEET_DATABASE_FILE=str(path))
    assert found.settings.database == "postgresql://me:pw@db/x"
    assert found.origins["database"] == f"CALLSHEET_DATABASE_FILE={path}"
    assert load(f"database_file = '{path}'").settings.database == "postgresql://me:pw@db/x"
    assert load(CALLSHEET_DATABASE="sqlite:///x").settings.database == "sqlite:///x"
    with pytest.raises(RefusedToStart, match="not both"):
        load(CALLSHEET_DATABASE_FILE=str(path), CALLSHEET_DATABASE="sqlite:///x")
    path.write_text("")
    with pytest.raises(RefusedToStart, match="is empty"):
        load(CALLSHEET_DATABASE_FILE=str(path))
    with pytest.raises(RefusedToStart, match="cannot be read"):
        load(CALLSHEET_DATABASE_FILE=str(tmp_path / "gone"))


def test_the_key_of_an_admin_may_lie_in_a_file_that_the_file_of_settings_names(load, tmp_path):
    path = tmp_path / "key"
    path.write_text("a-key-of-some-length\n")

    assert secret_of(load(f"api_key_file = '{path}'").settings) == "a-key-of-some-length"
    assert secret_of(load(CALLSHEET_API_KEY_FILE=str(path)).settings) == "a-key-of-some-length"
    assert secret_of(load(CALLSHEET_API_KEY="another-key-of-some-length").settings) == "another-key-of-some-length"


def test_the_file_may_be_named(load, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text("port = 5")

    assert load("port = 4", CALLSHEET_CONFIG=str(other)).settings.port == 5
    assert load("port = 4", {"config": str(other)}).settings.port == 5
    with pytest.raises(RefusedToStart, match="cannot be read"):
        load(flags={"config": str(tmp_path / "gone.toml")})


def test_every_setting_has_a_variable():
    assert {f"CALLSHEET_{name.upper()}" for name in Settings.__annotations__} < variables()


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("database", "postgresql://me:s3cret@db/x", "postgresql://me:***@db/x"),
        ("database", "postgresql://db/x?user=me&password=s3cret", "postgresql://db/x?user=me&password=***"),
        ("database", "sqlite:///x", "sqlite:///x"),
        ("api_key", "s3cret", "***"),
        ("client token_file", "/run/x", "/run/x"),
        ("tasks", ("a", "b"), "a, b"),
        ("node", None, "none"),
        ("keep_for", 90 * 86_400_000_000, "90d"),
        ("keep_for", 5_400_000_000, "90m"),
        ("keep_events", 1_500_000, "1.5s"),
        ("keep_events", None, "off"),
        ("keep_last", 5, "5"),
        ("keep_last", None, "off"),
        ("demo", True, "true"),
    ],
)
def test_secrets_are_masked(name, value, shown):
    assert masked(name, value) == shown
