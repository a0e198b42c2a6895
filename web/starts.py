"""The starts that a body asks for: one, or ten thousand, checked whole before anything is started."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from uuid import UUID

import trio
from msgspec import UNSET

from callsheet import models
from callsheet.definition import check_input, check_tags, check_timeout
from callsheet.errors import FieldError, Invalid, Unknown
from callsheet.tasks import Task
from storage.journal.commands import Start
from web import representations as show
from web.asking import Fields
from web.replies import Reply, reply

MAX_BATCH = 10_000
MAX_ERRORS = 100  # of one batch that are told
BREATH = 100  # items between two breaths of the event loop

_PLAIN = {"task", "input"}

T = TypeVar("T")

Tasks = Mapping[str, Task[Any, Any]]


async def read_batch(items: Any, read: Callable[[Any], T]) -> tuple[T, ...]:
    """Read the items of a batch; Invalid lists what is wrong with any of them, by `/items/N`."""
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_BATCH:
        raise Invalid(FieldError("/items", f"must be a list of 1 to {MAX_BATCH} items"))
    errors: list[FieldError] = []
    found: list[T] = []
    for index, item in enumerate(items):
        try:
            found.append(read(item))
        except Invalid as error:
            errors.extend(error.under(f"/items/{index}").errors)
        if len(errors) > MAX_ERRORS:
            break
        if index % BREATH == BREATH - 1:
            await trio.lowlevel.checkpoint()
    if errors:
        raise Invalid(*errors[:MAX_ERRORS])
    return tuple(found)


async def read_starts(tasks: Tasks, items: Any) -> tuple[Start, ...]:
    """Check the starts of a batch."""
    return await read_batch(items, lambda item: _plain(tasks, item) or read_start(tasks, item))


def _plain(tasks: Tasks, item: Any) -> Start | None:
    """Check an item that has a task and an input only, as most have; None for all others."""
    if not isinstance(item, dict) or item.keys() != _PLAIN or not isinstance(item["task"], str):
        return None
    task = tasks.get(item["task"])
    if task is None:
        return None
    try:
        return Start(task.name, task.check_input(item["input"]))
    except Invalid as error:
        raise error.under("/input") from None


def read_start(tasks: Tasks, document: Any) -> Start:
    """Check one start; Invalid lists all its wrong fields."""
    if not isinstance(document, dict):
        raise Invalid(FieldError("", "must be an object"))
    fields = Fields(document)
    task = fields.read("task", lambda name: _known_task(tasks, name), required=True)
    given = fields.read("input", lambda value: value if task is None else check_input(task, value, given=True))
    timeout, tags = fields.read("timeout", check_timeout), fields.read("tags", check_tags)
    fields.close()
    assert task is not None
    checked = given if isinstance(given, bytes) else _default_input(task)
    return Start(task.name, checked, timeout, tags or ())


def _default_input(task: Task[Any, Any]) -> bytes:
    try:
        return check_input(task, None, given=False)
    except Invalid as error:
        raise error.under("/input") from None


def _known_task(tasks: Tasks, name: Any) -> Task[Any, Any]:
    task = tasks.get(name) if isinstance(name, str) else None
    if name == "command" and task is None:
        raise ValueError(str(Unknown("task", name)))
    if task is None:
        raise ValueError("must be the name of a task; GET /v1/tasks lists them")
    return task


def accepted(started: UUID, task: str | None) -> Reply:
    """Return the answer to a start: where the instance is to be found."""
    uri = show.instance_uri(started)
    body = models.Started(id=str(started), uri=uri, task=UNSET if task is None else task)
    return reply(body, 202, Location=uri)
