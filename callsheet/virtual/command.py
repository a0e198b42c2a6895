"""`callsheet simulate`: from a database, or from a plan made elsewhere, to an answer for people or programs."""

import os
import resource
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from callsheet.clock import WallClock
from callsheet.definition import Definition, check_positive
from callsheet.errors import CallsheetError, Invalid, RefusedToStart
from callsheet.instants import parse_duration, parse_instant
from callsheet.settings_file import load_settings
from callsheet.simulation import Plan, check_resolution, check_seed, check_span, read_durations, read_schedules
from callsheet.tasks import Registry
from callsheet.virtual.parts import in_processes
from callsheet.virtual.report import report
from callsheet.virtual.simulate import simulate
from storage.queries.simulation import make_plan
from storage.readonly import open_read_only

T = TypeVar("T")

_POLITE = 10  # how much the service, which started us, goes first
_MOST_CPU = 60  # seconds, should the service be gone and not end us


def run(options: Namespace) -> int:
    """Simulate and print the answer; 0, or 78 with a sentence on what is wrong."""
    try:
        return _run(options)
    except BaseExceptionGroup as group:  # in which Trio tells of Ctrl-C
        if group.subgroup(KeyboardInterrupt) is None:
            raise
        raise KeyboardInterrupt from None


def _run(options: Namespace) -> int:
    try:
        if options.plan is not None:
            os.nice(_POLITE)
            resource.setrlimit(resource.RLIMIT_CPU, (_MOST_CPU, _MOST_CPU))
            plan = msgspec.json.decode(_read(options.plan), type=Plan)
            answer = simulate(plan, in_processes)
        else:
            answer = simulate(_plan(options), in_processes)
    except Invalid as error:
        _complain("; ".join(f"{one.pointer.lstrip('/') or 'it'} {one.detail}" for one in error.errors))
        return 78
    except (CallsheetError, msgspec.DecodeError, OSError) as error:
        _complain(str(error))
        return 78
    as_json = options.output == "json" or options.plan is not None
    sys.stdout.write(msgspec.json.encode(answer).decode() + "\n" if as_json else report(answer))
    return 0


def _complain(why: str) -> None:
    sys.stderr.write(f"callsheet: {why}\n")


def _read(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


def _plan(options: Namespace) -> Plan:
    now = WallClock().now()
    start = _checked("--from", lambda: now if options.start in (None, "now") else parse_instant(options.start))
    end = _checked("--to", lambda: _end(options.end, start))
    check_span(start, end)
    settings = load_settings({"database": options.database, "tasks": options.tasks}).settings
    tasks = Registry()
    tasks.load_builtin(commands=settings.allow_commands)
    tasks.load_entry_points()
    for spec in settings.tasks:
        tasks.load(spec)
    resolution = None if options.resolution is None else _checked("--resolution", lambda: _fine(options.resolution))
    seed = _checked("--seed", lambda: check_seed(options.seed))
    _checked("--max-running", lambda: check_positive(options.max_running))
    given = read_durations(_given(options.task_seconds or []))
    with open_read_only(settings.database) as database:
        tried = _tried(options.schedules, tasks, start)
        return make_plan(
            database, tasks, start=start, end=end, seed=seed, resolution=resolution,
            max_running=options.max_running, given=given, tried=tried,
        )  # fmt: skip


def _checked(flag: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except ValueError as error:
        raise RefusedToStart(f"{flag} {error}.") from None


def _end(text: str, start: int) -> int:
    return parse_instant(text) if "T" in text.upper() else start + parse_duration(text)


def _fine(text: str) -> int:
    return check_resolution(float(text) if text.replace(".", "", 1).isdigit() else text)


def _given(pairs: list[str]) -> dict[str, Any]:
    """Read NAME=DURATION, several durations of one name being several to draw from."""
    given: dict[str, Any] = {}
    for pair in pairs:
        name, equals, duration = pair.partition("=")
        if not equals:
            raise RefusedToStart(f"--task-seconds {pair}: must be NAME=DURATION.")
        given.setdefault(name, []).append(float(duration) if duration.replace(".", "", 1).isdigit() else duration)
    return given


def _tried(name: str | None, tasks: Registry, start: int) -> dict[str, Definition]:
    """Read a file of schedules by id that are to be tried."""
    if name is None:
        return {}
    try:
        documents = msgspec.json.decode(_read(name))
    except msgspec.DecodeError as error:
        raise RefusedToStart(f"{name} is not JSON: {error}.") from None
    return read_schedules(documents, tasks, start)
