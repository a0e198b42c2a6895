"""A run followed to its end: outputs on standard output, log and progress on standard error."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from callsheet.client.errors import ClientError
from callsheet.commands import output
from callsheet.commands.common import FAILED, OK, say
from callsheet.models import Instance, LogLine

if TYPE_CHECKING:
    from callsheet.client import Client

LOOK = 0.2  # seconds between two looks at the progress
LAST = 5.0  # seconds that the rest of outputs and log may take to arrive

Tell = Callable[[Instance], None]


def follow(client: "Client", name: str) -> int:
    """Show what a run sends, logs and how far it is, until it is over; return its exit code."""
    readers = [
        _reader(lambda: (output.compact(one.value) for one in client.instances.follow_outputs(name)), output.line),
        _reader(lambda: (log_line(one) for one in client.instances.follow_log(name)), say),
    ]
    try:
        with _bar() as tell:
            found = client.instances.get(name)
            for reader in readers:
                reader.start()
            while found.outcome is None:
                tell(found)
                time.sleep(LOOK)
                found = client.instances.get(name)
            for reader in readers:
                reader.join(LAST)
    except KeyboardInterrupt:
        say_it_runs_on(name)
        raise
    return conclude(found)


def wait(client: "Client", name: str) -> Instance:
    """Return a run when it is over."""
    try:
        return client.instances.wait(name)
    except KeyboardInterrupt:
        say_it_runs_on(name)
        raise


def say_how_to_watch(name: str) -> None:
    """Say how to see what becomes of a run."""
    say(f"`callsheet instance watch {name}` follows it.")


def say_it_runs_on(name: str) -> None:
    """Say what becomes of a run that nobody waits for any more."""
    say(f"It runs on; `callsheet instance watch {name}` follows it, `callsheet instance cancel {name}` ends it.")


def conclude(found: Instance) -> int:
    """Say how a run ended; return the exit code."""
    took = f" after {output.length(found.seconds)}" if found.seconds is not None else ""
    why = f": {found.error.type}: {found.error.message}" if found.error else ""
    say(f"{found.task} {found.outcome}{took}{why}")
    if found.outcome == "succeeded":
        return OK
    say(f"`callsheet instance logs {found.id}` has its log, `callsheet instance get {found.id}` all about it.")
    return FAILED


def log_line(one: LogLine) -> str:
    """Return a line of log."""
    fields = "".join(f" {name}={output.compact(value)}" for name, value in one.fields.items())
    return f"{output.clock(one.at)} {one.level:<7} {one.text}{fields}"


def _reader(items: Callable[[], Iterator[str]], show: Callable[[str], None]) -> threading.Thread:
    def read() -> None:
        with suppress(ClientError, BrokenPipeError):  # whoever looks at the instance hears of it, too
            for item in items():
                show(item)

    return threading.Thread(target=read, daemon=True)


@contextmanager
def _bar() -> Iterator[Tell]:
    """Give what shows progress: a live bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - a pipe needs none of it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    words = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(), *words, console=console, transient=True, redirect_stdout=sys.stdout.isatty()
    ) as progress:
        bar = progress.add_task("", total=None)

        def tell(found: Instance) -> None:
            step = found.progress
            note = f"{found.task} {step.note if step and step.note else found.state}"
            done, total = (step.done, step.total) if step else (0, None)
            progress.update(bar, description=note, completed=done, total=total)

        yield tell
