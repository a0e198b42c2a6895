"""The commands beside `serve`, one module each; a module is loaded only when its command is called."""

import argparse
import importlib
import sys
from collections.abc import Container, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

COMMANDS = {
    "dev": "run the service, and start it again whenever a task file is saved",
    "task": "list the tasks, and run them",
    "schedule": "list, make and change schedules",
    "instance": "look at runs, follow and cancel them",
    "events": "follow what happens",
    "webhook": "have other servers told of what happens",
    "simulate": "tell what would happen",
    "token": "make, list and revoke API keys",
    "apply": "make the schedules be what a file says",
    "import": "turn a crontab into schedules",
    "doctor": "look for what could be wrong with an installation",
    "health": "tell by the exit code whether the service is well",
    "openapi": "print the OpenAPI document of the API",
    "config": "print each setting and where it comes from",
    "completion": "print a script that completes commands in a shell",
}
INTERRUPTED = 130  # as a shell counts SIGINT
LIKE_SERVE = ("dev", "config", "doctor")  # take the flags of `serve`
EPILOGUE = "Exit codes: 0 ok, 1 the run failed, 2 usage, 3 not found, 4 conflict, 5 unreachable."


CHOOSE = ("COMMAND", "VERB", "ACTION", "WHAT")  # how the place of a word is called that says what to do


class Parser(argparse.ArgumentParser):
    """Shows all there is to choose from where nothing was chosen."""

    def error(self, message: str) -> NoReturn:
        """Say what was not understood, and end with 2."""
        if message.rpartition(": ")[2] in CHOOSE:
            self.print_help(sys.stderr)
            sys.exit(2)
        super().error(message)


def take_rest(
    parser: argparse.ArgumentParser, given: Sequence[str], parsed: argparse.Namespace, rest: Sequence[str]
) -> None:
    """Give words that stand behind an option to the argument that takes many; argparse itself loses track of them."""
    many = getattr(parsed, "many", None)
    if rest and (many is None or any(word.startswith("-") for word in rest)):
        *_, called = _called(parser, given)
        called.error(f"unrecognized arguments: {' '.join(rest)}{_meant(called, rest)}")
    if rest:
        getattr(parsed, str(many)).extend(rest)


def _called(parser: argparse.ArgumentParser, given: Sequence[str]) -> Iterator[argparse.ArgumentParser]:
    """Yield the parsers of a command line, from that of all commands down to that of its verb."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for place, word in enumerate(given):
                if word in action.choices:
                    yield from _called(action.choices[word], given[place + 1 :])
                    return


def _meant(parser: argparse.ArgumentParser, rest: Sequence[str]) -> str:
    known = [option for action in parser._actions for option in action.option_strings]
    close = [found for word in rest if word.startswith("--") for found in get_close_matches(word, known, 1)]
    return f"; did you mean {close[0]}?" if close else ""


def register(commands: Any, serve: argparse.ArgumentParser, wanted: Container[str]) -> None:
    """Name all commands, and load those that are wanted; `serve` lends its flags."""
    for name, help_ in COMMANDS.items():
        options: dict[str, Any] = {"help": help_, "description": f"{help_[0].upper()}{help_[1:]}.", "epilog": EPILOGUE}
        if name in LIKE_SERVE:
            options |= {"parents": [serve], "add_help": False, "conflict_handler": "resolve"}
        parser = commands.add_parser(name, **options)
        if name in wanted:
            module = importlib.import_module(f"callsheet.commands.{name}_command")
            module.configure(parser)
