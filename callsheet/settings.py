"""What can be set from outside: flags over CALLSHEET_… variables over a file over defaults."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import field, frozen

from callsheet.errors import RefusedToStart
from callsheet.instants import SECOND, parse_duration
from callsheet.logs import FORMATS, LEVELS
from callsheet.retention import DEFAULT as KEPT
from callsheet.tokens import check_secret

DEFAULT_DATABASE = "sqlite:///callsheet-data/callsheet.db"
RUN_WORKER = "run-worker"
"""The command by which a one-file binary starts its worker processes: it has no interpreter to call."""


@frozen
class Settings:
    """All settings of `callsheet serve`; `drain` is in seconds, what is kept for None is kept for ever."""

    host: str = "127.0.0.1"
    port: int = 8080
    database: str = DEFAULT_DATABASE
    tasks: tuple[str, ...] = ()
    demo: bool = False
    drain: float = 20.0
    http_allow: tuple[str, ...] = ()
    allow_commands: bool = False
    insecure_no_auth: bool = False
    log_format: str = "auto"
    node: str | None = None
    max_running: int | None = None
    keep_for: int | None = KEPT.age
    keep_last: int | None = KEPT.last
    keep_events: int | None = KEPT.events
    log_level: str = "info"
    access_log: bool = False
    api_key: str | None = field(default=None, repr=False)
    api_key_file: str | None = None
    rate_limit: float | None = 2500.0  # requests a second for each caller; None: no limit
    otel: bool = False


def read_settings(
    flags: Mapping[str, object], environment: Mapping[str, str] = os.environ, file: Mapping[str, object] | None = None
) -> Settings:
    """Merge flags (None: not given) with the environment and a file; RefusedToStart names what is wrong."""
    given: dict[str, object] = {}
    for name in Settings.__annotations__:
        value, called = _given(name, flags, environment, file or {})
        if value is not None:
            given[name] = _convert(name, value, called)
    return Settings(**given)  # type: ignore[arg-type]


def _given(
    name: str, flags: Mapping[str, object], environment: Mapping[str, str], file: Mapping[str, object]
) -> tuple[object, str]:
    """Return the value of a setting, None when it is not given, and how it is called where that stands."""
    flag, variable = "--" + name.replace("_", "-"), f"CALLSHEET_{name.upper()}"
    if flags.get(name) is not None:
        return flags[name], flag
    return (environment[variable], variable) if environment.get(variable) else (file.get(name), name)


def secret_of(settings: Settings) -> str | None:
    """Return the configured API key, from the file if one is named; RefusedToStart when it is none."""
    if settings.api_key is not None and settings.api_key_file is not None:
        raise RefusedToStart("CALLSHEET_API_KEY and CALLSHEET_API_KEY_FILE are both set: keep one.")
    source, secret = "CALLSHEET_API_KEY", settings.api_key
    if settings.api_key_file is not None:
        source = f"The file {settings.api_key_file} (CALLSHEET_API_KEY_FILE)"
        try:
            secret = Path(settings.api_key_file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise RefusedToStart(f"{source} cannot be read: {getattr(error, 'strerror', error)}.") from None
    try:
        return None if secret is None else check_secret(secret)
    except ValueError as error:
        raise RefusedToStart(f"{source} {error}.") from None


def _convert(name: str, value: object, called: str) -> object:
    try:
        return _CONVERTERS.get(name, str)(value)
    except ValueError as error:
        raise RefusedToStart(f"{called} {error}; it is {value!r}.") from None


def _port(value: object) -> int:
    text = str(value)
    if not text.isascii() or not text.isdigit() or not 0 <= int(text) <= 65535:
        raise ValueError("must be a port from 0 to 65535")
    return int(text)


def _count(value: object) -> int:
    text = str(value)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1_000_000:
        raise ValueError("must be a whole number from 1 to 1,000,000")
    return int(text)


def _seconds(value: object) -> float:
    text = str(value)
    plain = text.isascii() and text.replace(".", "", 1).isdigit()
    return parse_duration(float(text) if plain else text) / SECOND


def _kept_for(value: object) -> int | None:
    text = str(value).lower()
    try:
        return None if text == "off" else round(_seconds(text) * SECOND) or None
    except ValueError:
        raise ValueError('must be a duration like "90d", or "off" to keep it for ever') from None


def _kept_last(value: object) -> int | None:
    text = str(value).lower()
    if text != "off" and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError('must be a number of runs, or "off" for any number')
    return None if text == "off" else int(text) or None


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if str(value).lower() not in words:
        raise ValueError("must be true or false")
    return words[str(value).lower()]


def _several(value: object) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(str(part).strip() for part in parts if str(part).strip())  # type: ignore[attr-defined]


def _one_of(words: tuple[str, ...]) -> Callable[[object], str]:
    def convert(value: object) -> str:
        if value not in words:
            raise ValueError("must be one of " + ", ".join(words))
        return str(value)

    return convert


def _rate(value: object) -> float | None:
    text = str(value).strip().lower().removesuffix("/s")
    if text in ("off", "none"):
        return None
    if not text.isascii() or not text.replace(".", "", 1).isdigit() or not 0.1 <= float(text) <= 1_000_000:
        raise ValueError("must be requests a second, such as 100/s, or off")
    return float(text)


_CONVERTERS = {
    "port": _port,
    "drain": _seconds,
    "max_running": _count,
    "demo": _flag,
    "insecure_no_auth": _flag,
    "allow_commands": _flag,
    "tasks": _several,
    "http_allow": _several,
    "log_format": _one_of(FORMATS),
    "log_level": _one_of(LEVELS),
    "access_log": _flag,
    "keep_for": _kept_for,
    "keep_last": _kept_last,
    "keep_events": _kept_for,
    "rate_limit": _rate,
    "otel": _flag,
}
