"""`callsheet apply`: the schedules of a sheet, made so; to apply it again changes nothing."""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from callsheet.client.errors import Invalid
from callsheet.commands import output
from callsheet.commands.common import Arguments, asking, say
from callsheet.commands.inputs import read_text
from callsheet.commands.sheets import Sheet, Step, carry_out, plan, read_sheet
from callsheet.models import LocalTime
from callsheet.timetable import describe, parse_trigger

if TYPE_CHECKING:
    from callsheet.client import Client

SIGNS = {"create": "+", "update": "~", "keep": "=", "delete": "-"}


class Planned(Struct):
    """One step as it is printed: how many due times appear and vanish, and the first of them."""

    does: str
    id: str
    when: str
    appearing: int
    appear: list[LocalTime]
    vanishing: int
    vanish: list[LocalTime]


COLUMNS: output.Columns[Planned] = (
    ("", lambda one: SIGNS[one.does]),
    ("does", lambda one: one.does),
    ("id", lambda one: one.id),
    ("when", lambda one: one.when),
    ("due times that appear", lambda one: _from(one.appearing, one.appear)),
    ("that vanish", lambda one: _from(one.vanishing, one.vanish)),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    asking(parser, _apply)
    parser.add_argument("-f", "--file", required=True, metavar="FILE|-", help="the sheet, in TOML")
    parser.add_argument("--name", metavar="NAME", help="name of the sheet, instead of its own")
    plan_flags(parser)


def plan_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of whatever carries out a plan."""
    parser.add_argument("--dry-run", action="store_true", help="print the plan, and change nothing")
    parser.add_argument("--prune", action="store_true", help="delete schedules of this sheet that it names no more")


def _apply(client: "Client", arguments: Arguments) -> None:
    text = read_text("-" if arguments.file == "-" else f"@{arguments.file}")
    make_so(client, read_sheet(text, arguments.name), arguments)


def make_so(client: "Client", sheet: Sheet, arguments: Arguments) -> None:
    """Print the plan for a sheet and carry it out, unless only the plan is wanted."""
    try:
        steps = plan(client, sheet, prune=arguments.prune)
    except Invalid:
        say("Nothing was changed, for this is wrong:")
        raise
    output.show([_planned(step) for step in steps], COLUMNS, arguments.output, lambda one: one.id)
    count = sum(step.does != "keep" for step in steps)
    if arguments.dry_run:
        say(f"{count} of {len(steps)} would change. Nothing was changed.")
        return
    for step in steps:
        carry_out(client, step)
    say(f"{count} of {len(steps)} changed.")


def _planned(step: Step) -> Planned:
    would = step.would
    if would is None:
        return Planned(step.does, step.id, _after(step.document), 0, [], 0, [])
    return Planned(
        step.does, step.id, would.description, would.appearing, would.appear, would.vanishing, would.vanish
    )  # fmt: skip


def _after(document: Mapping[str, Any]) -> str:
    """Return when a schedule is due that comes after one which is not there yet; nothing for one that goes."""
    trigger = document.get("trigger")
    return describe(parse_trigger(trigger, anchor=0)) if trigger else ""


def _from(count: int, dues: list[LocalTime]) -> str:
    return f"{count} from {output.local(dues[0].due_at)}" if dues else ""
