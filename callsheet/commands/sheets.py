"""Declared schedules: a sheet in TOML, and the plan that makes the service have what it says."""

import tomllib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from callsheet import errors
from callsheet.client.errors import Conflict, Invalid
from callsheet.client.values import problem_of
from callsheet.commands.common import Usage
from callsheet.commands.documents import plain_document
from callsheet.models import Comparison, WrongField
from callsheet.timetable import parse_trigger

if TYPE_CHECKING:
    from callsheet.client import Client

TAG = "sheet:"


@frozen
class Sheet:
    """A name, and what each schedule of it shall be; all carry its tag."""

    name: str
    schedules: Mapping[str, Mapping[str, Any]]

    @property
    def tag(self) -> str:
        """Return the tag by which the sheet knows its own."""
        return TAG + self.name


@frozen
class Step:
    """What becomes of one schedule; `would` is what a dry run of it says, None where none is possible."""

    id: str
    does: str  # create, update, keep or delete
    document: Mapping[str, Any] = field(factory=dict)
    would: Comparison | None = None


def read_sheet(text: str, name: str | None = None) -> Sheet:
    """Read a sheet; Usage says what is wrong with its form. `name` stands in for its own."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Usage(f"The sheet is not TOML: {error}.") from None
    unknown = found.keys() - {"name", "defaults", "schedules"}
    if unknown:
        raise Usage(f"The sheet has unknown keys: {', '.join(sorted(unknown))}; it takes name, defaults and schedules.")
    chosen = name or found.get("name")
    if not isinstance(chosen, str) or not chosen:
        raise Usage('The sheet has no name: begin it with name = "…", or give --name.')
    defaults, schedules = found.get("defaults", {}), found.get("schedules", {})
    if not all(isinstance(one, dict) for one in (defaults, schedules, *schedules.values())):
        raise Usage("defaults, schedules and each [schedules.ID] must be tables.")
    tag = TAG + chosen
    return Sheet(chosen, {slug: _document(defaults, one, tag) for slug, one in schedules.items()})


def _document(defaults: Mapping[str, Any], own: Mapping[str, Any], tag: str) -> dict[str, Any]:
    if any(name in own for name in ("trigger", "every", "at", "after")):
        defaults = {name: value for name, value in defaults.items() if name != "timezone"}  # only cron has a zone
    tags = [*defaults.get("tags", ()), *own.get("tags", ()), tag]
    return plain_document({**defaults, **own, "tags": list(dict.fromkeys(tags))})


def plan(client: "Client", sheet: Sheet, *, prune: bool) -> list[Step]:
    """Find out what has to be done, in the order in which it can be; Invalid lists what is wrong with any schedule."""
    there = {one.id for one in client.schedules.list(tag=sheet.tag)}
    steps, wrong = [], list[WrongField]()
    new: set[str] = set()
    for slug in _ordered(sheet.schedules):
        try:
            step = _step(client, sheet, slug, new)
        except Invalid as error:
            told = [_missing(sheet.schedules[slug], one) for one in error.errors] or [WrongField("", str(error))]
            wrong += [WrongField(f"schedules.{slug}{one.pointer.removeprefix('#')}", one.detail) for one in told]
            continue
        new |= {slug} if step.does == "create" else set()
        steps.append(step)
    if wrong:
        detail = "; ".join(f"{one.pointer}: {one.detail}" for one in wrong)
        problem = problem_of({"type": "/problems/validation", "status": 422, "detail": detail})
        problem.errors = wrong
        raise Invalid(problem)
    gone = sorted(there - sheet.schedules.keys()) if prune else []
    return steps + [Step(slug, "delete") for slug in gone]


def _check_trigger(document: Mapping[str, Any]) -> None:
    """Raise Invalid, as the service would, for the trigger of a schedule that the service cannot be asked about."""
    try:
        parse_trigger(document["trigger"], anchor=0)
    except errors.Invalid as error:
        problem = problem_of({"type": "/problems/validation", "status": 422, "detail": str(error)})
        problem.errors = [WrongField(f"#/trigger{one.pointer}", one.detail) for one in error.errors]
        raise Invalid(problem) from None


def _missing(document: Mapping[str, Any], wrong: WrongField) -> WrongField:
    """Say of a task that is missing that it is: the service was asked for one without a name."""
    return WrongField(wrong.pointer, "is missing") if wrong.pointer == "#/task" and "task" not in document else wrong


def _step(client: "Client", sheet: Sheet, slug: str, new: set[str]) -> Step:
    document = sheet.schedules[slug]
    found = client.schedules.find(slug)
    owners = [] if found is None else [tag for tag in found.tags if tag.startswith(TAG) and tag != sheet.tag]
    if owners:
        detail = f"Nothing was changed: {slug} belongs to {owners[0]} already."
        raise Conflict(problem_of({"status": 409, "detail": detail}))
    if _upstream(document) in new:
        _check_trigger(document)
        return Step(slug, "create" if found is None else "update", document)  # what it comes after is not there yet
    task, fields = _split(document)
    would = client.schedules.compare(slug, task, **fields)
    return Step(slug, "keep" if would.would == "change nothing" else would.would, document, would)


def carry_out(client: "Client", step: Step) -> None:
    """Do one step."""
    if step.does == "delete":
        client.schedules.delete(step.id)
    elif step.does != "keep":
        task, fields = _split(step.document)
        client.schedules.put(step.id, task, **fields)


def _split(document: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return task and the rest; what is missing is for the service to name, together with all else that is wrong."""
    fields = {name: value for name, value in document.items() if name != "task"}
    return str(document.get("task", "")), {"trigger": {}} | fields


def _upstream(document: Mapping[str, Any]) -> str | None:
    trigger = document.get("trigger")
    return trigger.get("after") if isinstance(trigger, dict) else None


def _ordered(schedules: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield ids so that what others come after comes before them; a circle is left for the service to refuse."""
    told: set[str] = set()

    def visit(slug: str, path: tuple[str, ...]) -> Iterator[str]:
        if slug in told or slug in path or slug not in schedules:
            return
        upstream = _upstream(schedules[slug])
        if upstream is not None:
            yield from visit(upstream, (*path, slug))
        told.add(slug)
        yield slug

    for slug in schedules:
        yield from visit(slug, ())
