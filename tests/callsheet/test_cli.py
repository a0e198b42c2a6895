"""The command line without a service: help, completion, settings, inputs."""

import argparse
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from callsheet import cli
from callsheet.commands import COMMANDS, completion_command, documents, output
from callsheet.commands.common import Usage, read_time
from callsheet.commands.inputs import read_input
from callsheet.definition import READ_ONLY

HEAVY = {"trio", "httpx2", "anyio", "rich", "quart", "pony", "jsonschema", "asyncio", "callsheet.tasks"}
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS), ["schedule", "put"], ["serve"]], ids=" ".join)
def test_help_loads_nothing_heavy(words):
    code = (
        "import sys\nfrom callsheet.cli import main\n"
        f"try:\n    main({[*words, '--help']!r})\nexcept SystemExit:\n    print(list(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("usage: ")
    assert set(HEAVY) & set(done.stderr.replace("'", "").strip("[]\n").split(", ")) == set()


def test_every_command_has_a_module_and_help_that_says_what_it_does():
    parser = cli.every_command()
    for path, _ in completion_command.words_of(parser):
        assert path == "" or path.split()[0] in {*COMMANDS, "serve"}
    assert all(help_[0].islower() and not help_.endswith(".") for help_ in COMMANDS.values())


def test_words_behind_an_option_are_not_lost():
    words = ["schedule", "put", "x", "--task", "t", "a=1", "--every", "1s", "b=2"]
    parser = cli._parser(["schedule"])
    parsed, rest = parser.parse_known_args(words)
    cli.others.take_rest(parser, parsed, rest)

    assert (parsed.id, parsed.pairs) == ("x", ["a=1", "b=2"])


@pytest.mark.parametrize(
    "words", [["serve", "--prot", "1"], ["schedule", "ls", "--nope"], ["task", "ls", "x"], ["nope"], []]
)
def test_what_is_not_understood_is_a_usage_error(words, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2


def test_config_shows_each_setting_and_where_it_comes_from(tmp_path, monkeypatch, capsys):
    (tmp_path / "callsheet.toml").write_text('node = "n1"\ndatabase = "postgresql://me:s3cret@db/x"')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CALLSHEET_PORT", "9000")
    monkeypatch.setenv("CALLSHEET_TOKEN", "s3cret")

    assert cli.main(["config", "--host", "::1", "-o", "json"]) == 0
    shown = capsys.readouterr().out
    found = {one["name"]: (one["value"], one["origin"]) for one in json.loads(shown)}
    assert found["host"] == ("::1", "--host")
    assert found["port"] == ("9000", "CALLSHEET_PORT")
    assert found["node"] == ("n1", "callsheet.toml")
    assert found["drain"] == ("20.0", "default")
    assert found["client token"] == ("***", "CALLSHEET_TOKEN")
    assert "s3cret" not in shown

    monkeypatch.setenv("CALLSHEET_PROT", "1")
    assert cli.main(["config"]) == 2
    assert cli.main(["serve"]) == 78
    assert "Did you mean CALLSHEET_PORT?" in capsys.readouterr().err


@pytest.mark.parametrize("shell", completion_command.SHELLS)
def test_a_completion_script_can_be_read_by_its_shell(shell, capsys, tmp_path):
    assert cli.main(["completion", shell]) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)

    assert "backfill" in script.read_text()
    if shutil.which(shell):
        subprocess.run([shell, "-n", script], check=True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sch"], {"schedule"}),
        (["schedule", "un"], {"unskip"}),
        (["schedule", "ls", "--st"], {"--state"}),
        (["completion", ""], {"bash", "zsh", "fish", "--help"}),
    ],
)
@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_what_was_begun(words, expected, capsys, tmp_path):
    cli.main(["completion", "bash"])
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    line = " ".join(f"'{word}'" for word in ["callsheet", *words])
    code = f'source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _callsheet; echo "${{COMPREPLY[@]}}"'

    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert set(done.stdout.split()) == expected


SCHEMA = {
    "$ref": "#/$defs/In",
    "$defs": {
        "In": {"properties": {"name": {"type": "string"}, "n": {"type": "integer"}, "in": {"$ref": "#/$defs/Deep"}}},
        "Deep": {"properties": {"code": {"type": "string"}}},
    },
}


def test_inputs_are_typed_as_the_schema_says():
    words = ["name=5", "n=5", "free=[1,2]", "word=hi", "in.code=007", "in.x=7"]
    found = read_input('{"kept": 1, "n": 0}', words, SCHEMA)

    assert found == {
        "kept": 1, "name": "5", "n": 5, "free": [1, 2], "word": "hi", "in": {"code": "007", "x": 7},
    }  # fmt: skip
    assert read_input(None, [], SCHEMA) is msgspec.UNSET


@pytest.mark.parametrize(("given", "pairs"), [("[1]", ["a=1"]), ("{", []), (None, ["word"]), (None, ["=1"])])
def test_an_input_that_makes_no_sense_is_a_usage_error(given, pairs):
    with pytest.raises(Usage):
        read_input(given, pairs, SCHEMA)


def test_an_input_may_lie_in_a_file(tmp_path):
    (tmp_path / "in.json").write_text('{"a": 1}')

    assert read_input(f"@{tmp_path}/in.json", ["b=2"], {}) == {"a": 1, "b": 2}


def test_times_are_absolute_local_or_relative():
    assert read_time("2026-11-24T02:00:00Z") == datetime(2026, 11, 24, 2, tzinfo=UTC)
    assert read_time("2026-11-24 02:00").tzinfo is not None
    assert timedelta(hours=1) < read_time("+2h") - datetime.now(UTC) <= timedelta(hours=2)
    assert read_time("-3d") < read_time("now")
    with pytest.raises(argparse.ArgumentTypeError, match="is no time"):
        read_time("soon")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(180, "in 3 m"), (-7200, "2 h ago"), (0.5, "in 0.5 s"), (86400 * 3, "in 3 d"), (45, "in 45 s"), (0, "in 0 s")],
)
def test_distances_are_told_in_their_largest_unit(seconds, text):
    assert output.distance(NOW + timedelta(seconds=seconds), NOW) == text


def test_times_are_shown_with_the_name_of_their_zone(monkeypatch):
    import time

    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert output.when(NOW + timedelta(hours=1), NOW) == "2026-11-24 14:00:00 CET (in 1 h)"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_what_only_the_service_sets_is_left_out_of_a_document():
    assert set(READ_ONLY) == documents._SERVICE
    assert documents.plain_document({"id": "x", "version": 3, "task": "t", "every": "1s"}) == {
        "task": "t",
        "trigger": {"every": "1s"},
    }
