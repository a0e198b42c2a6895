"""The schedules that a body asks to create: up to ten thousand, checked whole before any is created."""

from typing import Any

from callsheet import models
from callsheet.definition import Definition, check_slug, define
from callsheet.errors import FieldError, Invalid
from web.replies import Reply, reply
from web.representations import schedule_uri
from web.starts import Tasks, read_batch

New = tuple[str | None, Definition]


async def read_schedules(tasks: Tasks, items: Any, now: int) -> tuple[New, ...]:
    """Check the schedules of a batch."""
    seen: set[str] = set()
    return await read_batch(items, lambda item: _read(tasks, item, now, seen))


def _read(tasks: Tasks, item: Any, now: int, seen: set[str]) -> New:
    if not isinstance(item, dict):
        raise Invalid(FieldError("", "must be an object"))
    name = item.pop("id", None)
    errors = () if name is None else _wrong_with(name, seen)
    try:
        definition = define(item, tasks, now=now)
    except Invalid as error:
        raise Invalid(*errors, *error.errors) from None
    if errors:
        raise Invalid(*errors)
    if name is not None:
        seen.add(name)
    return name, definition


def _wrong_with(name: Any, seen: set[str]) -> tuple[FieldError, ...]:
    if not isinstance(name, str):
        return (FieldError("/id", "must be a text"),)
    if name in seen:
        return (FieldError("/id", "comes twice in this batch"),)
    try:
        check_slug(name)
    except Invalid as error:
        return error.errors
    return ()


def all_created(slugs: list[str]) -> Reply:
    """Return the answer: where they are to be found, in the order of the request."""
    return reply(models.BatchCreated([models.Created(id=slug, uri=schedule_uri(slug)) for slug in slugs]), 201)
