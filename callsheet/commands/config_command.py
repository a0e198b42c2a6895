"""`callsheet config`: each setting, and where it comes from; secrets are masked."""

import argparse
import os
import re
from collections.abc import Callable

from attrs import asdict
from msgspec import Struct

from callsheet.client.connection import DEFAULT_URL, VARIABLES
from callsheet.commands import output
from callsheet.commands.common import FORMATS, OK, USAGE, Arguments, say
from callsheet.errors import RefusedToStart
from callsheet.instants import SECOND
from callsheet.settings_file import load_settings


class Setting(Struct):
    """One setting as it stands."""

    name: str
    value: str
    origin: str


COLUMNS: output.Columns[Setting] = (
    ("setting", lambda one: one.name),
    ("value", lambda one: one.value),
    ("from", lambda one: one.origin),
)
_PASSWORD = re.compile(r"(?<=://)([^:/@]*:).*(?=@)|(password=)[^&\s]+")
OFF = ("keep_for", "keep_last", "keep_events", "rate_limit")  # what may be `off`
_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_SECRET = re.compile(r"key|token|secret|password")


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the flags of `serve`, too: what would it be if it were called so?"""
    parser.add_argument("-o", "--output", choices=FORMATS, default="table", help="how results look (table)")
    parser.set_defaults(run=run)


def run(arguments: Arguments) -> int:
    """Print all settings."""
    try:
        loaded = load_settings(vars(arguments))
    except RefusedToStart as error:
        say(f"callsheet: {error}")
        return USAGE
    found = [
        Setting(name, masked(name, value), loaded.origins[name]) for name, value in asdict(loaded.settings).items()
    ]
    output.show([*found, *_of_client()], COLUMNS, arguments.output, lambda one: one.name)
    return OK


def masked(name: str, value: object) -> str:
    """Return a value to be shown: passwords and keys are not."""
    if value is None or value == ():
        return "off" if name in OFF else "none"
    if name in _WRITTEN:
        return _WRITTEN[name](float(str(value)))
    if isinstance(value, bool):
        return "true" if value else "false"
    text = ", ".join(value) if isinstance(value, tuple) else str(value)
    is_file = name.endswith("_file")
    return (
        "***"
        if _SECRET.search(name) and not is_file
        else _PASSWORD.sub(lambda found: (found[1] or found[2]) + "***", text)
    )


def _length(seconds: float) -> str:
    """Return a length of time as a setting has it, in the largest unit of which it is a whole number."""
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0 or unit == "s")
    return f"{seconds / size:.15g}{unit}"


_WRITTEN: dict[str, Callable[[float], str]] = {
    "keep_for": lambda microseconds: _length(microseconds / SECOND),
    "keep_events": lambda microseconds: _length(microseconds / SECOND),
    "drain": _length,
    "rate_limit": lambda number: f"{number:.15g}/s",
}


def _of_client() -> list[Setting]:
    found = []
    for variable in VARIABLES:
        name = variable.removeprefix("CALLSHEET_").lower()
        value = os.environ.get(variable)
        default = DEFAULT_URL if name == "url" else None
        origin = variable if value else "default"
        found.append(Setting(f"client {name}", masked(name, value or default), origin))
    return found
