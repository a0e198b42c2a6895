"""The command line without a service: help, completion, settings, inputs."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from callsheet import cli
from callsheet.commands import COMMANDS, completion_command, config_command, documents, output
from callsheet.commands.common import Usage, read_time
from callsheet.commands.inputs import read_input
from callsheet.commands.schemas import in_words
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
    for path, _ in completion_command.places_of(parser):
        assert path == "" or path.split()[0] in {*COMMANDS, "serve"}
    assert all(help_[0].islower() and not help_.endswith(".") for help_ in COMMANDS.values())


def test_words_behind_an_option_are_not_lost():
    words = ["schedule", "put", "x", "--task", "t", "a=1", "--every", "1s", "b=2"]
    parser = cli._parser(["schedule"])
    parsed, rest = parser.parse_known_args(words)
    cli.others.take_rest(parser, words, parsed, rest)

    assert (parsed.id, parsed.pairs) == ("x", ["a=1", "b=2"])


@pytest.mark.parametrize(
    "words", [["serve", "--prot", "1"], ["schedule", "ls", "--nope"], ["task", "ls", "x"], ["nope"], []]
)
def test_what_is_not_understood_is_a_usage_error(words, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2


def test_where_nothing_was_chosen_there_is_a_list_to_choose_from(capsys):
    for words in ([], ["schedule"]):
        with pytest.raises(SystemExit):
            cli.main(words)
    said = capsys.readouterr().err
    assert ("run the service" in said, "plan nothing until resumed" in said) == (True, True)


@pytest.mark.parametrize(
    ("words", "called"),
    [(["serve", "--prot", "1"], "callsheet serve: error: .* --port?"),
     (["task", "run", "x", "--folow"], "callsheet task run: error: .* --follow?")],
)  # fmt: skip
def test_a_flag_that_was_mistyped_is_answered_by_its_command(words, called, capsys):
    with pytest.raises(SystemExit):
        cli.main(words)
    assert re.search(called, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("database", "postgresql://me:s3cret@db/x", "postgresql://me:***@db/x"),
        ("database", "postgresql://me:s3/c@r:et@db/x", "postgresql://me:***@db/x"),
        ("database", "postgresql://me@db/x?password=s3cret&a=b", "postgresql://me@db/x?password=***&a=b"),
        ("drain", 90.0, "90s"),
        ("drain", 0.25, "0.25s"),
        ("rate_limit", 100.0, "100/s"),
        ("rate_limit", None, "off"),
        ("keep_for", 90 * 86_400_000_000, "90d"),
    ],
)
def test_a_setting_is_shown_as_it_may_be_given_but_no_secret(name, value, shown):
    assert config_command.masked(name, value) == shown


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
    assert found["drain"] == ("20s", "default")
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


BEGUN = [
    (["sch"], {"schedule"}),
    (["schedule", "un"], {"unskip"}),
    (["schedule", "ls", "--st"], {"--state"}),
    (["schedule", "ls", "--state", ""], {"active", "paused", "blocked", "finished"}),
    (["schedule", "ls", "-o", "js"], {"json", "jsonl"}),
    (["schedule", "get", "n"], {"nightly", "noon"}),
    (["instance", "ls", "--schedule", "no"], {"noon"}),
]
PLAYED = """#!/bin/sh
[ "$*" = 'schedule ls -o name' ] && printf 'nightly\\nnoon\\nother\\n'
"""
COMPLETE = {
    "bash": """
        source {script}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _callsheet
        printf '%s\\n' "${{COMPREPLY[@]}}" """,
    "zsh": """
        compdef() {{ :; }}; _files() {{ :; }}; source {script}
        compadd() {{ shift; for one in "$@"; do [[ $one == "${{words[CURRENT]}}"* ]] && print -r -- $one; done; }}
        words=({words}); CURRENT=${{#words}}; _callsheet""",
    "fish": """
        source {script}; complete -C "$(string join -- ' ' {words})" | string split -f 1 \\t""",
}


@pytest.mark.parametrize(("words", "expected"), BEGUN)
@pytest.mark.parametrize("shell", completion_command.SHELLS)
def test_what_was_begun_is_completed(words, expected, shell, capsys, tmp_path):
    """`callsheet schedule ls -o name`, which the scripts ask for names, is played by a small program here."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    cli.main(["completion", shell])
    (tmp_path / "script").write_text(capsys.readouterr().out)
    (tmp_path / "callsheet").write_text(
        "#!/bin/sh\n[ \"$*\" = 'schedule ls -o name' ] && printf 'nightly\\nnoon\\nother\\n'\n"
    )
    (tmp_path / "callsheet").chmod(0o755)
    code = COMPLETE[shell].format(
        script=tmp_path / "script", words=" ".join(f"'{word}'" for word in ["callsheet", *words])
    )

    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        [shell, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path, env=os.environ | {"PATH": path}
    )
    assert set(done.stdout.split()) == expected, done.stderr


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


def test_what_came_before_an_error_is_printed_all_the_same(capsys):
    def items():
        yield {"id": "a"}
        raise LookupError

    for form, expected in (("table", "ID\na\n"), ("json", '[\n  {\n    "id": "a"\n  }\n]\n'), ("name", "a\n")):
        with pytest.raises(LookupError):
            output.show(items(), [("id", lambda one: one["id"])], form, lambda one: one["id"])
        assert capsys.readouterr().out == expected


def test_a_type_is_told_in_words():
    given = {
        "$ref": "#/$defs/In",
        "$defs": {
            "In": {
                "properties": {
                    "url": {"type": "string", "description": "where"},
                    "tags": {"type": "array", "items": {"type": "string"}, "default": []},
                    "mode": {"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}], "default": None},
                    "deep": {"$ref": "#/$defs/Deep"},
                },
                "required": ["url", "deep"],
            },
            "Deep": {"type": "object"},
        },
    }
    assert in_words(given).splitlines() == [
        "url: string: where",
        "tags?: list of string, else []",
        'mode?: "a" or "b" or null, else null',
        "deep: object",
    ]
    assert in_words({"type": ["integer", "null"]}) == "integer or null"
    assert in_words({}) == "any JSON"


def test_dev_says_at_once_that_there_is_no_such_file(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["dev", "nope.py"]) == 2
    assert "There is no file nope.py" in capsys.readouterr().err


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
