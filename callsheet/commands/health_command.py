"""`callsheet health`: for the health check of a container; it loads nothing and asks once."""

import argparse
import http.client
import json
import os
from urllib.parse import urlsplit

from callsheet.client.connection import DEFAULT_URL
from callsheet.commands.common import FAILED, OK, Arguments, say

WAIT = 3.0  # seconds


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument(
        "--url", metavar="URL", help="address of the service (CALLSHEET_URL, or port CALLSHEET_PORT here)"
    )
    parser.add_argument("--live", action="store_true", help="ask whether it works, not whether it takes new work")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing")
    parser.set_defaults(run=run)


def run(arguments: Arguments) -> int:
    """Ask the probe: 0 when it is well, else 1."""
    url = arguments.url or os.environ.get("CALLSHEET_URL") or _own()
    path = "/livez" if arguments.live else "/readyz"
    try:
        status, body = _ask(url, path)
    except (OSError, ValueError, http.client.HTTPException) as error:
        status, said = 0, f"nobody answers: {getattr(error, 'strerror', None) or error}"
    else:
        said = _in_words(status, body)
    if not arguments.quiet:
        say(f"{url}{path}: {said}")
    return OK if status == http.HTTPStatus.OK else FAILED


def _in_words(status: int, body: bytes) -> str:
    """Return what a probe says: its status, or why it is not well."""
    try:
        told = json.loads(body)
        return str(told["status"] if status == http.HTTPStatus.OK else told["detail"])
    except (ValueError, TypeError, LookupError):  # another server's answer
        return f"the answer was {status}"


def _own() -> str:
    """Return where a service with the settings of this environment listens."""
    port = os.environ.get("CALLSHEET_PORT", "")
    return f"http://127.0.0.1:{port}" if port.isdigit() else DEFAULT_URL


def _ask(url: str, path: str) -> tuple[int, bytes]:
    where = urlsplit(url)
    kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    connection = kind(where.hostname or "127.0.0.1", where.port, timeout=WAIT)
    try:
        connection.request("GET", where.path.rstrip("/") + path)
        answer = connection.getresponse()
        return answer.status, answer.read(4096)
    finally:
        connection.close()
