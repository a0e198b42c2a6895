"""`callsheet doctor`: what could be wrong with an installation, each finding with what to do about it."""

import argparse
import errno
import socket
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from msgspec import Struct

from callsheet import __version__
from callsheet.client.connection import target
from callsheet.commands import output
from callsheet.commands.common import FAILED, FORMATS, OK, Arguments
from callsheet.commands.import_command import machine_zone
from callsheet.errors import CallsheetError
from callsheet.settings import Settings, secret_of
from callsheet.settings_file import load_settings
from callsheet.strangers import refuse_strangers

RELEASED = datetime(2026, 11, 1, tzinfo=UTC)  # a clock that is before this is wrong
SKEW = 5.0  # seconds by which the clocks of two machines may differ
FEW_ZONES = 300


class Finding(Struct):
    """One thing that was looked at."""

    what: str
    state: str  # ok, warn or wrong
    found: str
    advice: str = ""


COLUMNS: output.Columns[Finding] = (
    ("what", lambda one: one.what),
    ("", lambda one: one.state),
    ("found", lambda one: one.found),
    ("what to do", lambda one: one.advice),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the flags of `serve`, too: would it start if it were called so?"""
    parser.add_argument("--url", metavar="URL", help="address of the service (CALLSHEET_URL, http://127.0.0.1:8080)")
    parser.add_argument("-o", "--output", choices=FORMATS, default="table", help="how results look (table)")
    parser.set_defaults(run=run)


def run(arguments: Arguments) -> int:
    """Look at everything; 1 when something is wrong."""
    found = list(_look(arguments))
    output.show(found, COLUMNS, arguments.output, lambda one: f"{one.state} {one.what}")
    return FAILED if any(one.state == "wrong" for one in found) else OK


def _look(arguments: Arguments) -> Iterator[Finding]:
    yield Finding("python", "ok", f"{sys.version.split()[0]} in {sys.prefix}")
    try:
        settings = load_settings(vars(arguments)).settings
        secret_of(settings)
    except CallsheetError as error:
        yield Finding("settings", "wrong", str(error), "mend that; `callsheet config` shows where each comes from")
        settings = Settings()
    else:
        yield Finding("settings", "ok", "understood")
    yield from _checked("packages", _packages)
    yield from _checked("database", lambda: _database(settings))
    yield from _checked("tasks", lambda: _tasks(settings))
    yield from _checked("zones", _zones)
    yield from _checked("clock", _clock)
    yield from _checked("port", lambda: _port(settings))
    yield from _checked("service", lambda: _service(arguments.url))


def _checked(what: str, look: Callable[[], Finding]) -> Iterator[Finding]:
    """Look at one thing; whatever goes wrong is what was found."""
    try:
        yield look()
    except CallsheetError as error:
        yield Finding(what, "wrong", str(error), "a service would not start")
    except Exception as error:  # noqa: BLE001 - code of the user's, and the machine as it is
        yield Finding(what, "wrong", f"{type(error).__name__}: {error}", "")


def _packages() -> Finding:
    refuse_strangers()
    return Finding("packages", "ok", f"callsheet {__version__} in {Path(__file__).parents[1]}")


def _database(settings: Settings) -> Finding:
    from storage.checkup import look  # noqa: PLC0415

    found = look(settings.database)
    if found.version == found.newest:
        return Finding("database", "ok", f"{found.shown}, schema {found.version}")
    if found.version == 0:
        return Finding("database", "ok", f"{found.shown} is not set up yet", "`callsheet serve` will do that")
    state = f"{found.shown} has schema {found.version} of {found.newest}"
    return Finding("database", "warn", state, "make a backup; `callsheet serve` brings it up to date")


def _tasks(settings: Settings) -> Finding:
    from callsheet.service import load_tasks  # noqa: PLC0415

    return Finding("tasks", "ok", ", ".join(sorted(load_tasks(settings))))


def _zones() -> Finding:
    count, zone = len(available_timezones()), machine_zone()
    ZoneInfo(zone)
    if count < FEW_ZONES:
        return Finding("zones", "warn", f"only {count} time zones are known", "install tzdata")
    return Finding("zones", "ok", f"{count} are known; this machine is in {zone} ({time.strftime('%Z')})")


def _clock() -> Finding:
    now = datetime.now(UTC)
    if now < RELEASED:
        return Finding("clock", "wrong", f"it says {now:%Y-%m-%d %H:%M} UTC", "set the clock; let it be kept by NTP")
    return Finding("clock", "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _port(settings: Settings) -> Finding:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                advice = "fine if that is callsheet, see below; else choose another --port"
                return Finding("port", "warn", f"{settings.host}:{settings.port} is in use", advice)
            raise
    return Finding("port", "ok", f"{settings.host}:{settings.port} is free")


def _service(url: str | None) -> Finding:
    import httpx2  # noqa: PLC0415

    from callsheet.client.errors import in_words  # noqa: PLC0415

    where = target(url)
    try:
        answer = httpx2.get(f"{where.url}/readyz", timeout=3, headers=where.headers, trust_env=not where.is_local)
    except httpx2.TransportError as error:
        return Finding(
            "service", "warn", f"nobody answers at {where.url} ({in_words(error)})", "start it: callsheet serve"
        )
    if not answer.is_success:
        return Finding("service", "wrong", f"{where.url} answers {answer.status_code}", "its log says why")
    skew = _skew(answer.headers.get("Date"))
    if abs(skew) > SKEW:
        return Finding("service", "warn", f"its clock is {skew:+.0f} s from ours", "let both be kept by NTP")
    return Finding("service", "ok", f"{where.url} is ready")


def _skew(date: str | None) -> float:
    return 0.0 if date is None else (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
