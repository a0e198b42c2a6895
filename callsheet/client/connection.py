"""Where the service is and who asks: from arguments, or from the environment."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from attrs import frozen

DEFAULT_URL = "http://127.0.0.1:8080"
VARIABLES = ("CALLSHEET_URL", "CALLSHEET_TOKEN", "CALLSHEET_TOKEN_FILE")


@frozen
class Target:
    """One service; the token is not shown."""

    url: str
    token: str | None = None

    def __repr__(self) -> str:
        return f"Target({self.url!r}, {'with' if self.token else 'without'} a token)"

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that every request carries."""
        from callsheet import __version__  # noqa: PLC0415 - that module may be the one that imports us

        ours = {"User-Agent": f"callsheet/{__version__}", "Accept": "application/json"}
        return ours | ({"Authorization": f"Bearer {self.token}"} if self.token else {})

    @property
    def is_local(self) -> bool:
        """Tell whether it is this machine, to which no proxy leads."""
        host = urlsplit(self.url).hostname or ""
        return host in ("localhost", "::1") or host.startswith("127.")

    @property
    def is_encrypted(self) -> bool:
        """Tell whether certificates are needed; to read them takes longer than a request."""
        return self.url.startswith("https:")


def target(
    url: str | None = None,
    token: str | None = None,
    token_file: str | Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Target:
    """Return what to talk to; ValueError says what is wrong with an address or a file."""
    chosen = (url or environment.get("CALLSHEET_URL") or DEFAULT_URL).rstrip("/")
    if urlsplit(chosen).scheme not in ("http", "https") or not urlsplit(chosen).hostname:
        raise ValueError(f"The address of a service is like {DEFAULT_URL}, not {chosen!r}.")
    return Target(chosen, token or _token(token_file, environment))


def _token(given: str | Path | None, environment: Mapping[str, str]) -> str | None:
    if given is None and environment.get("CALLSHEET_TOKEN"):
        return environment["CALLSHEET_TOKEN"].strip()
    path = given or environment.get("CALLSHEET_TOKEN_FILE")
    if not path:
        return None
    try:
        return Path(path).read_text().strip() or None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ValueError(f"The token file {path} cannot be read: {why}.") from None
