"""Where settings come from: a flag goes before a variable, that before callsheet.toml, that before the default.

What nobody reads is refused, in the file as well as in the environment: a typing mistake would go unnoticed.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from attrs import frozen

from callsheet.errors import RefusedToStart
from callsheet.settings import Settings, read_settings

FILE = "callsheet.toml"
SECRETS = ("database",)  # may also lie in a file of their own, named by …_FILE; `api_key_file` is a setting itself
KEY = ("api_key", "api_key_file")  # two settings that mean one
OTHERS = ("CALLSHEET_CONFIG", "CALLSHEET_URL", "CALLSHEET_TOKEN", "CALLSHEET_TOKEN_FILE")  # not of `serve`

_OF_KUBERNETES = re.compile(r"CALLSHEET_(\w+_)?(SERVICE_HOST|SERVICE_PORT\w*|PORT_\d+_(TCP|UDP)\w*)")
"""What Kubernetes sets in every container beside a service called `callsheet`, `CALLSHEET_PORT` included."""


@frozen
class Loaded:
    """Settings, and where each comes from."""

    settings: Settings
    origins: Mapping[str, str]


def load_settings(
    flags: Mapping[str, object], environment: Mapping[str, str] = os.environ, folder: Path | None = None
) -> Loaded:
    """Gather all settings; `folder` is where callsheet.toml may lie. RefusedToStart names what is wrong."""
    environment = {name: value for name, value in environment.items() if value and not _is_a_link(name, value)}
    _check_variables(environment)
    path = _path(flags.get("config"), environment, folder or Path())
    file = {} if path is None else _read(path)
    secret_files = _secret_files(environment, file)
    environment |= {f"CALLSHEET_{name.upper()}": _content(name, given) for name, given in secret_files.items()}
    passed_over = KEY if _has_key(flags, environment) else ()
    file = {name: value for name, value in file.items() if name in Settings.__annotations__ and name not in passed_over}
    origins = {name: _origin(name, flags, environment, file, secret_files, path) for name in Settings.__annotations__}
    return Loaded(_merged(flags, environment, file, path), origins)


def _has_key(flags: Mapping[str, object], environment: Mapping[str, str]) -> bool:
    """Tell whether the key is given other than by the file, in either way: that goes before either way in the file."""
    return any(flags.get(name) is not None or f"CALLSHEET_{name.upper()}" in environment for name in KEY)


def variables() -> set[str]:
    """Return the names of all variables that mean something."""
    ours = {f"CALLSHEET_{name.upper()}" for name in Settings.__annotations__}
    return ours | {f"CALLSHEET_{name.upper()}_FILE" for name in _secrets()} | set(OTHERS)


def _secrets() -> list[str]:
    return [name for name in SECRETS if name in Settings.__annotations__]


def _merged(
    flags: Mapping[str, object], environment: Mapping[str, str], file: Mapping[str, Any], path: Path | None
) -> Settings:
    try:
        return read_settings(flags, environment, file)
    except RefusedToStart as error:
        read_settings(flags, environment)  # raises the same again, unless it is the file that is wrong
        raise RefusedToStart(f"{path}: {error}") from None


def _origin(
    name: str,
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    file: Mapping[str, Any],
    secret_files: Mapping[str, str],
    path: Path | None,
) -> str:
    variable = f"CALLSHEET_{name.upper()}"
    if flags.get(name) is not None:
        return "--" + name.replace("_", "-")
    if name in secret_files:
        return secret_files[name]
    if variable in environment:
        return variable
    return str(path) if name in file else "default"


def _is_a_link(name: str, value: str) -> bool:
    return _OF_KUBERNETES.fullmatch(name) is not None or (name == "CALLSHEET_PORT" and value.startswith("tcp://"))


def _check_variables(environment: Mapping[str, str]) -> None:
    known = variables()
    for name in environment:
        if name.startswith("CALLSHEET_") and name not in known:
            raise RefusedToStart(f"There is no setting {name} (in the environment).{_meant(name, known)}")


def _path(given: object, environment: Mapping[str, str], folder: Path) -> Path | None:
    named = given or environment.get("CALLSHEET_CONFIG")
    if named:
        return Path(str(named))
    return folder / FILE if (folder / FILE).exists() else None


def _read(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text())
    except OSError as error:
        raise RefusedToStart(f"The file of settings {path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise RefusedToStart(f"The file of settings {path} is not TOML: {error}.") from None
    known = {*Settings.__annotations__, *(f"{name}_file" for name in _secrets())}
    for name, value in found.items():
        if name not in known:
            raise RefusedToStart(f"There is no setting {name} (in {path}).{_meant(name, known)}")
        if isinstance(value, dict):
            raise RefusedToStart(f"{path}: {name} cannot be a table.")
    return found


def _secret_files(environment: Mapping[str, str], file: Mapping[str, Any]) -> dict[str, str]:
    """Return for each secret that lies in a file of its own where that is said: `CALLSHEET_X_FILE=path`."""
    found = {}
    for name in _secrets():
        variable = f"CALLSHEET_{name.upper()}"
        if f"{variable}_FILE" in environment:
            if variable in environment:
                raise RefusedToStart(f"Give {variable} or {variable}_FILE, not both.")
            found[name] = f"{variable}_FILE={environment[f'{variable}_FILE']}"
        elif f"{name}_file" in file and variable not in environment:
            found[name] = f"{name}_file={file[f'{name}_file']}"
    return found


def _content(name: str, given: str) -> str:
    path = Path(given.partition("=")[2])
    try:
        text = path.read_text().strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise RefusedToStart(f"The file {path} with the setting {name} cannot be read: {why}.") from None
    if not text:
        raise RefusedToStart(f"The file {path} with the setting {name} is empty.")
    return text


def _meant(name: str, known: set[str]) -> str:
    close = get_close_matches(name, known, 1)
    return f" Did you mean {close[0]}?" if close else ""
