import pytest

from callsheet.errors import RefusedToStart
from callsheet.instants import DAY
from callsheet.settings import DEFAULT_DATABASE, Settings, read_settings, secret_of


def test_without_anything_the_defaults_are_safe():
    assert read_settings({}, {}) == Settings()
    assert Settings().host == "127.0.0.1"
    assert Settings().database == DEFAULT_DATABASE
    assert not Settings().insecure_no_auth


def test_a_flag_goes_before_the_environment_and_that_before_the_default():
    environment = {"CALLSHEET_PORT": "9000", "CALLSHEET_HOST": "::1"}
    settings = read_settings({"port": "9001", "host": None}, environment)
    assert (settings.port, settings.host, settings.drain) == (9001, "::1", 20.0)


def test_every_setting_can_come_from_the_environment():
    environment = {
        "CALLSHEET_HOST": "0.0.0.0",
        "CALLSHEET_PORT": "0",
        "CALLSHEET_DATABASE": "postgresql:///callsheet",
        "CALLSHEET_TASKS": "jobs, other/jobs.py,",
        "CALLSHEET_DEMO": "true",
        "CALLSHEET_DRAIN": "1m30s",
        "CALLSHEET_HTTP_ALLOW": "10.0.0.0/8",
        "CALLSHEET_ALLOW_COMMANDS": "yes",
        "CALLSHEET_INSECURE_NO_AUTH": "1",
        "CALLSHEET_LOG_FORMAT": "json",
        "CALLSHEET_NODE": "n1",
        "CALLSHEET_MAX_RUNNING": "50",
        "CALLSHEET_KEEP_FOR": "30d",
        "CALLSHEET_KEEP_LAST": "500",
        "CALLSHEET_KEEP_EVENTS": "off",
        "CALLSHEET_LOG_LEVEL": "warning",
        "CALLSHEET_ACCESS_LOG": "1",
        "CALLSHEET_API_KEY": "a-key-of-some-length",
        "CALLSHEET_API_KEY_FILE": "/run/secrets/key",
        "CALLSHEET_RATE_LIMIT": "50/s",
        "CALLSHEET_OTEL": "1",
    }
    assert read_settings({}, environment) == Settings(
        "0.0.0.0",
        0,
        "postgresql:///callsheet",
        ("jobs", "other/jobs.py"),
        True,
        90.0,
        ("10.0.0.0/8",),
        True,
        True,
        "json",
        "n1",
        50,
        30 * DAY,
        500,
        None,
        "warning",
        True,
        "a-key-of-some-length",
        "/run/secrets/key",
        50.0,
        True,
    )
    assert len(environment) == len(Settings.__annotations__)


def test_an_empty_variable_and_foreign_ones_are_as_none():
    assert read_settings({}, {"CALLSHEET_PORT": "", "PORT": "1", "CALLSHEET_SOMETHING": "else"}) == Settings()


@pytest.mark.parametrize(("text", "seconds"), [("20s", 20), ("2", 2), ("2.5", 2.5), ("250ms", 0.25), ("0", 0)])
def test_the_drain_takes_durations_and_plain_seconds(text, seconds):
    assert read_settings({"drain": text}, {}).drain == seconds


@pytest.mark.parametrize(("text", "flag"), [("1", True), ("TRUE", True), ("yes", True), ("0", False), ("No", False)])
def test_a_switch_takes_the_usual_words(text, flag):
    assert read_settings({}, {"CALLSHEET_DEMO": text}).demo is flag


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("port", "http", "must be a port from 0 to 65535"),
        ("port", "65536", "must be a port from 0 to 65535"),
        ("port", "-1", "must be a port from 0 to 65535"),
        ("port", "²", "must be a port from 0 to 65535"),
        ("drain", "soon", "must be a duration"),
        ("drain", "-1", "must be a duration"),
        ("drain", "inf", "must be a duration"),
        ("demo", "maybe", "must be true or false"),
        ("log_format", "xml", "must be one of auto, console, json"),
        ("keep_for", "a while", 'must be a duration like "90d", or "off"'),
        ("keep_for", "-1d", 'must be a duration like "90d", or "off"'),
        ("keep_last", "1.5", 'must be a number of runs, or "off"'),
        ("keep_last", "-1", 'must be a number of runs, or "off"'),
        ("keep_events", "all", 'must be a duration like "90d", or "off"'),
        ("rate_limit", "often", "must be requests a second"),
        ("rate_limit", "0", "must be requests a second"),
        ("rate_limit", "1/m", "must be requests a second"),
    ],
)
def test_what_is_wrong_is_named_as_it_is_called_where_it_stands(name, value, sentence):
    with pytest.raises(RefusedToStart) as caught:
        read_settings({name: value}, {})
    said = str(caught.value)
    assert said.startswith(f"--{name.replace('_', '-')} {sentence}")
    assert repr(value) in said
    with pytest.raises(RefusedToStart, match=f"^CALLSHEET_{name.upper()} must"):
        read_settings({}, {f"CALLSHEET_{name.upper()}": value})
    with pytest.raises(RefusedToStart, match=f"^{name} must"):
        read_settings({}, {}, {name: value})


def test_history_is_kept_for_a_quarter_and_events_for_a_week_unless_told_otherwise():
    assert (Settings().keep_for, Settings().keep_last, Settings().keep_events) == (90 * DAY, None, 7 * DAY)


@pytest.mark.parametrize("word", ["off", "OFF", "0", "0s"])
def test_off_and_0_keep_history_for_ever(word):
    settings = read_settings({"keep_for": word, "keep_events": word, "keep_last": word.rstrip("s")}, {})
    assert (settings.keep_for, settings.keep_last, settings.keep_events) == (None, None, None)


@pytest.mark.parametrize(("text", "rate"), [("100", 100.0), ("100/s", 100.0), ("0.5/s", 0.5), ("off", None)])
def test_a_rate_is_a_number_a_second_or_off(text, rate):
    assert read_settings({}, {"CALLSHEET_RATE_LIMIT": text}).rate_limit == rate


def test_a_key_is_read_from_its_file_and_shown_nowhere(tmp_path):
    secret = "a-key-of-some-length"
    (tmp_path / "key").write_text(secret + "\n")

    assert secret_of(Settings()) is None
    assert secret_of(Settings(api_key=secret)) == secret
    assert secret_of(Settings(api_key_file=str(tmp_path / "key"))) == secret
    assert secret not in repr(Settings(api_key=secret))


@pytest.mark.parametrize("content", ["", "short", "with spaces in it, which no header likes", "schlüssel-schlüssel"])
def test_a_key_that_is_none_is_refused_and_not_shown(tmp_path, content):
    (tmp_path / "key").write_text(content)

    with pytest.raises(RefusedToStart, match="at least 16 visible ASCII characters") as caught:
        secret_of(Settings(api_key_file=str(tmp_path / "key")))
    assert not content or content not in str(caught.value)


def test_a_file_that_is_not_there_and_two_keys_are_refused():
    with pytest.raises(RefusedToStart, match="cannot be read"):
        secret_of(Settings(api_key_file="/nowhere/key"))
    with pytest.raises(RefusedToStart, match="both set"):
        secret_of(Settings(api_key="a-key-of-some-length", api_key_file="/nowhere/key"))
