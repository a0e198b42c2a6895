"""All tasks of a service by name, and how they are found: modules, files, entry points."""

import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from callsheet.errors import RefusedToStart
from callsheet.tasks.definition import Task

ENTRY_POINTS = "callsheet.tasks"

TaskSource = Task[Any, Any] | type[Any] | ModuleType | str
"""A task, a module that holds tasks, or what `--tasks` takes: a module's name or a file."""


class Registry(Mapping[str, Task[Any, Any]]):
    """Tasks by name; what cannot be loaded is RefusedToStart with one sentence."""

    def __init__(self, tasks: Iterable[Task[Any, Any]] = ()) -> None:
        self._tasks: dict[str, Task[Any, Any]] = {}
        for task in tasks:
            self.add(task)

    def __getitem__(self, name: str) -> Task[Any, Any]:
        return self._tasks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def add(self, task: Task[Any, Any]) -> None:
        """Take a task in; the same one twice is fine, two of one name are refused."""
        known = self._tasks.setdefault(task.name, task)
        if known is not task:
            raise RefusedToStart(
                f'Two tasks are named {task.name!r}: {known.origin} and {task.origin}. Give one of them a name="…".'
            )

    def load(self, spec: str) -> None:
        """Import `pkg.mod`, `path/to/file.py` or the files of `path/to/folder`, and take in their tasks."""
        folder = os.sep in spec and Path(spec).is_dir()  # a bare name is a package, also where a folder has it
        found = _in_folder(Path(spec).resolve()) if folder else _found(f"--tasks {spec}", lambda: _module(spec))
        for task in found:
            self.add(task)

    def load_entry_points(self) -> None:
        """Take in what installed packages offer as `callsheet.tasks`: modules, or single tasks."""
        for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
            for task in _found(f"The entry point {entry.name} = {entry.value}", entry.load):
                self.add(task)

    def load_builtin(self, *, commands: bool = False) -> None:
        """Take in the tasks that come with callsheet; `command`, which runs any program, only where it is allowed."""
        for spec in ("callsheet.builtin", "callsheet.builtin.command")[: 1 + commands]:
            for task in _found(spec, partial(_module, spec)):
                self.add(task)


def registry_of(sources: Iterable[TaskSource]) -> Registry:
    """Return all tasks of some sources; TypeError for what is none."""
    tasks = Registry()
    for source in sources:
        if isinstance(source, str):
            tasks.load(source)
        elif isinstance(source, ModuleType):
            tasks.load(source.__name__)
        elif isinstance(source, Task):
            tasks.add(source)
        else:
            raise TypeError(f"tasks takes tasks made by @task, modules, or names of them; got {source!r}")
    return tasks


def _found(what: str, load: Callable[[], object]) -> list[Task[Any, Any]]:
    """Import a module, or a single task, and give the tasks in it; never none."""
    found = _top_level(_loaded(what, load))
    if not found:
        raise RefusedToStart(f"{what}: there is no task at its top level.")
    return found


def _top_level(loaded: object) -> list[Task[Any, Any]]:
    values = [loaded] if isinstance(loaded, Task) else getattr(loaded, "__dict__", {}).values()
    return [value for value in values if isinstance(value, Task)]


def _in_folder(folder: Path) -> Iterator[Task[Any, Any]]:
    """Import the files of a folder by their names, so that one which imports another gets the same tasks.

    Files without tasks are fine, as is an empty folder: a container's may be filled or not.
    """
    _append_to_path(folder)
    for path in sorted(folder.glob("*.py")):
        if not path.name.startswith(("_", "test_")) and path.name != "conftest.py":
            yield from _top_level(_loaded(f"--tasks {path}", partial(_neighbour, path)))


def _neighbour(path: Path) -> ModuleType:
    module = importlib.import_module(path.stem)
    if module.__file__ is None or not path.samefile(module.__file__):
        raise RefusedToStart(f"--tasks {path}: there is another module {path.stem}; give the file another name.")
    return module


def _loaded(what: str, load: Callable[[], object]) -> object:
    """Run an import; whatever the code in it raises becomes one sentence."""
    try:
        return load()
    except (KeyboardInterrupt, RefusedToStart):
        raise
    except SyntaxError as error:
        where = f" ({error.filename}, line {error.lineno})"
        raise RefusedToStart(f"{what}: {error.msg}{where}.") from error
    except BaseException as error:  # the user's code, SystemExit included
        where = _line(error)
        raise RefusedToStart(f"{what}: {type(error).__name__}: {error}{where}.") from error


def _line(error: BaseException) -> str:
    """Tell the last line outside of the import machinery that the error came by."""
    lines, here = [], _line.__code__.co_filename  # which is not `__file__` in a one-file binary
    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if not name.startswith("<frozen") and "importlib" not in name and name != here:
            lines.append(f" ({name}, line {trace.tb_lineno})")
        trace = trace.tb_next
    return lines[0] if lines else ""


def _module(spec: str) -> ModuleType:
    if spec.endswith(".py") or os.sep in spec:
        return _file_module(Path(spec).resolve())
    _append_to_path(Path.cwd())  # a console script does not look there by itself
    return importlib.import_module(spec)


def _file_module(path: Path) -> ModuleType:
    """Import a file under a name of its own, so that it shadows nothing and nothing shadows it."""
    if not path.is_file():
        raise RefusedToStart(f"--tasks {path}: there is no such file.")
    name = f"{path.stem}_{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    source = importlib.util.spec_from_file_location(name, path)
    if source is None or source.loader is None:
        raise RefusedToStart(f"--tasks {path}: it is not a Python file.")
    _append_to_path(path.parent)
    return _executed(source)


def module_again(name: str, file: str | None) -> ModuleType:
    """Import in a worker process what another process has imported: by its name, or else from its file."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        unknown = error.name is not None and f"{name}.".startswith(f"{error.name}.")
        source = importlib.util.spec_from_file_location(name, file) if unknown and file else None
        if source is None or source.loader is None:
            raise
        return _executed(source)


def _executed(source: ModuleSpec) -> ModuleType:
    module = sys.modules[source.name] = importlib.util.module_from_spec(source)
    try:
        source.loader.exec_module(module)  # type: ignore[union-attr] # the callers have checked
    except BaseException:
        del sys.modules[source.name]
        raise
    return module


def _append_to_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
