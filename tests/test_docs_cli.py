"""The command line and the client are documented whole: docs/reference/cli.md is what the parsers say.

`python tests/test_docs_cli.py` writes its arguments anew.
"""

import argparse
import re
import sys
from pathlib import Path

import callsheet
import callsheet.client
from callsheet import cli, commands, settings_file
from callsheet.client.sync_parts import Instances, Schedules, Tasks, Webhooks
from callsheet.commands import COMMANDS, LIKE_SERVE, common

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"


def read(name):
    """Return the text of a page of the reference."""
    return (REFERENCE / name).read_text()


def rows(text, heading=None):
    """Return the rows of the tables, maybe only of those below a heading, as lists of cells."""
    if heading is not None:
        text = re.split(rf"^#+ {heading}$", text, maxsplit=1, flags=re.MULTILINE)[1]
        text = re.split(r"^## ", text, maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line.strip() for line in text.splitlines() if line.startswith("|")]
    return [re.split(r"(?<!\\)\|", line.strip("|")) for line in lines]


def first_words(found):
    """Return what stands in backticks in the first cell of each row."""
    return [word for row in found for word in re.findall(r"`([^`]+)`", row[0])]


def test_every_variable_that_means_something_is_documented():
    text = read("settings.md")

    assert {name for name in settings_file.variables() if f"`{name}`" not in text} == set()


def command_reference():
    """Describe every command but `serve`, whose flags are settings."""
    lines = []
    for path, one in commands_below(cli.every_command(), ()):
        lines += [f"### `callsheet {path}`", "", f"{one.description.rstrip('.')}.", ""]
        arguments = [f"| `{shown(action)}` | {told(action)} |" for action in own_actions(one)]
        lines += ["| argument | meaning |", "|---|---|", *arguments, ""] if arguments else []
    return "\n".join(lines).strip()


def commands_below(parser, path):
    """Yield all commands that do something, with their parsers."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            named = {below: name for name, below in reversed(action.choices.items())}  # not by its other names
            for below, name in reversed(named.items()):
                yield from commands_below(below, (*path, name))
            return
    if path[0] != "serve":
        yield " ".join(path), parser


def own_actions(parser):
    """Return what a command takes beside what others take, too."""
    serve = cli._parser()._subparsers._group_actions[0].choices["serve"]
    known = {"--help", "--url", "--token-file"}
    if parser.prog.split()[-1] in LIKE_SERVE:
        known |= {option for action in serve._actions for option in action.option_strings}
    return [
        action
        for action in parser._actions
        if action.help != argparse.SUPPRESS
        and not set(action.option_strings) & known
        and not ("--output" in action.option_strings and action.choices == common.FORMATS)
    ]


def shown(action):
    """Return how an argument is written."""
    choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else ""
    if action.option_strings:
        value = "" if action.nargs == 0 else action.metavar or choices or action.dest.upper()
        text = f"{', '.join(action.option_strings)} {value}".strip()
    else:
        text = action.metavar or choices or action.dest
    return text.replace("|", "\\|")


def told(action):
    """Return what an argument means."""
    return (action.help or "").replace("|", "\\|") + (
        " (required)" if action.required and action.option_strings else ""
    )


def with_commands(page):
    """Return the page of commands as it should be."""
    head, rest = page.split("<!-- commands -->", 1)
    return f"{head}<!-- commands -->\n\n{command_reference()}\n\n<!-- end -->{rest.split('<!-- end -->', 1)[1]}"


def test_every_command_is_documented():
    page = read("cli.md")

    assert page == with_commands(page)
    assert set(first_words(rows(page, "Commands"))) == {"serve", *COMMANDS}


def test_every_exit_code_of_a_command_is_documented():
    documented = rows(read("cli.md"), "Exit codes")
    codes = {common.OK, common.FAILED, common.USAGE, common.NOT_FOUND, common.CONFLICT, common.UNREACHABLE}

    assert {int(row[0]) for row in documented if row[0].strip().isdigit()} == codes | {commands.INTERRUPTED}


def test_everything_of_the_client_is_documented():
    text = read("client.md")
    parts = ("tasks.", Tasks), ("instances.", Instances), ("schedules.", Schedules), ("webhooks.", Webhooks)
    faces = (("", callsheet.Client), *parts)
    wanted = {prefix + name for prefix, face in faces for name in vars(face) if not name.startswith("_")}
    named = {word.split("(")[0] for word in first_words(rows(text))}

    assert wanted - {"url", "close"} - named == set()
    assert set(callsheet.client.__all__) <= set(re.findall(r"`(\w+)`", text))


if __name__ == "__main__":
    target = REFERENCE / "cli.md"
    target.write_text(with_commands(target.read_text()))
    sys.stdout.write(f"wrote {target.name}\n")
