"""`callsheet dev`: the service, started again whenever a task file is saved; the database stays."""

import argparse
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from callsheet import onefile
from callsheet.commands.common import OK, USAGE, Arguments, say
from callsheet.settings import Settings

LOOK = 0.3  # seconds between two looks at the files
DRAIN = "1s"  # whoever saves wants to see what is new, not what still runs
IGNORED = {"__pycache__", "node_modules", "callsheet-data"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the files; the flags of `serve` are there already."""
    parser.add_argument("files", nargs="+", metavar="FILE|MODULE|FOLDER", help="where your tasks are")
    parser.set_defaults(run=run)


def run(arguments: Arguments) -> int:
    """Run the service until it is told to stop."""
    gone = [spec for spec in arguments.files if _is_file(spec) and not Path(spec).is_file()]
    if gone:
        say(f"callsheet: There is no file {gone[0]}.")
        return USAGE
    command = onefile.command("serve", *flags(arguments))
    signal.signal(signal.SIGTERM, _interrupt)
    child = _serve(command)
    folders = [watched(spec) for spec in arguments.files]
    seen, told = stamps(folders), 0
    try:
        while child.poll() != OK:  # as told; after any other end a change may help
            if child.poll() is not None and told != child.pid:
                told = child.pid
                say("callsheet: it does not run; it is started again when a file is saved")
            time.sleep(LOOK)
            now = stamps(folders)
            changed = sorted(path for path in now.keys() | seen.keys() if now.get(path) != seen.get(path))
            seen = now
            if changed and _compiles(path for path in changed if path.exists()):
                say(f"callsheet: {', '.join(path.name for path in changed)} changed, starting again")
                _end(child)
                child = _serve(command)
        return OK
    except KeyboardInterrupt:
        return _end(child)


def _serve(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env=onefile.environment())  # noqa: S603 - it is ourselves


def _is_file(spec: str) -> bool:
    return spec.endswith(".py") or os.sep in spec


def _interrupt(*_: object) -> None:
    """Let SIGTERM end us as Ctrl-C does."""
    raise KeyboardInterrupt


def flags(arguments: Arguments) -> list[str]:
    """Return the flags of the service that is to run."""
    given = vars(arguments) | {"tasks": [*arguments.files, *(arguments.tasks or ())]}
    given["drain"] = given["drain"] or DRAIN
    found: list[str] = []
    for name in (*Settings.__annotations__, "config"):
        option, value = "--" + name.replace("_", "-"), given.get(name)
        if value is True:
            found.append(option)
        elif value is not None:
            found += [word for one in (value if isinstance(value, list) else [value]) for word in (option, str(one))]
    return found


def watched(spec: str) -> Path:
    """Return what to look at for a file or a module of tasks: the folder it is in."""
    path = Path(spec)
    if path.exists():
        return path.resolve() if path.is_dir() else path.resolve().parent
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - sys.path takes texts
    found = importlib.util.find_spec(spec.partition(".")[0])
    return Path(found.origin).parent if found is not None and found.origin else Path.cwd()


def stamps(folders: Iterable[Path]) -> dict[Path, int]:
    """Return when each Python file below some folders was saved; hidden folders and environments are passed over."""
    found: dict[Path, int] = {}
    for folder in folders:
        for root, inner, names in os.walk(folder):
            inner[:] = [name for name in inner if not _is_foreign(Path(root, name))]
            for path in (Path(root, name) for name in names if name.endswith(".py")):
                try:
                    found[path] = path.stat().st_mtime_ns
                except FileNotFoundError:  # editors save by renaming
                    continue
    return found


def _is_foreign(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name in IGNORED or (folder / "pyvenv.cfg").exists()


def _compiles(paths: Iterable[Path]) -> bool:
    """Tell whether files can be loaded as far as their form goes; else say why, and let what runs run on."""
    for path in paths:
        try:
            compile(path.read_bytes(), path, "exec")
        except (SyntaxError, ValueError) as error:
            say(f"callsheet: {path.name}: {error}; what runs stays as it was")
            return False
    return True


def _end(child: subprocess.Popen[bytes]) -> int:
    """Stop the service as one should; a second Ctrl-C reaches it by itself."""
    while True:
        try:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
            return child.wait()
        except KeyboardInterrupt:
            continue
