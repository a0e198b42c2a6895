"""`callsheet token`: makes, lists and revokes API keys, with a service running or without.

One process at a time writes to a database. So where a service holds it, that service is asked over HTTP; where none
does, the command writes itself. The latter needs no key: whoever may write the database may do anything.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from callsheet.client.connection import DEFAULT_URL
from callsheet.commands import EPILOGUE
from callsheet.commands.common import CONFLICT, FAILED, NOT_FOUND, UNREACHABLE, Arguments
from callsheet.errors import CallsheetError, RefusedToStart
from callsheet.instants import format_instant, parse_duration
from callsheet.settings import Settings, secret_of
from callsheet.settings_file import load_settings
from callsheet.tokens import ROLES, check_name, hash_of, new_token

COLUMNS = ("name", "role", "state", "created_at", "created_by", "expires_at", "revoked_at")
DOOR_SHUT = {401, 403}

Answer = dict[str, Any]


class Failed(CallsheetError):
    """The service answered that it will not do this, or not at all."""

    def __init__(self, detail: str, code: int) -> None:
        super().__init__(detail)
        self.code = code


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions."""
    parser.epilog = f"{EPILOGUE.removesuffix('.')}, 78 settings or database refused."
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = _action(actions, "create", "make a key and print it: it is shown this once")
    create.add_argument(
        "--name", required=True, type=_argument(check_name), help="how its owner is called in the audit"
    )
    create.add_argument("--role", required=True, choices=ROLES, help="what it may do; each may do what the former may")
    create.add_argument("--expires", metavar="90d", type=_argument(parse_duration), help="for how long (for ever)")
    _action(actions, "list", "list all keys, without the keys")
    revoke = _action(actions, "revoke", "let a key in no more, from now on")
    revoke.add_argument("name", help="the name of the key")
    parser.set_defaults(run=run)
    for action in actions.choices.values():
        action.add_argument("--database", metavar="URL", help="the database of the service")
        action.add_argument(
            "--url",
            metavar="URL",
            help=f"the service to ask where one holds the database (CALLSHEET_URL, {DEFAULT_URL})",
        )


def _action(actions: Any, name: str, help_: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=help_, description=f"{help_[0].upper()}{help_[1:]}."
    )
    return parser


def run(arguments: Arguments) -> int:
    """Do what the command line says; return the exit code."""
    flags = vars(arguments)
    try:
        settings = load_settings({"database": flags["database"]}).settings
        _act(flags, settings, flags["url"] or os.environ.get("CALLSHEET_URL") or DEFAULT_URL)
    except Failed as error:
        return _complain(error, error.code)
    except RefusedToStart as error:
        return _complain(error, 78)
    except CallsheetError as error:
        return _complain(error, {404: NOT_FOUND, 409: CONFLICT}.get(error.status, FAILED))
    return 0


def _act(flags: dict[str, Any], settings: Settings, url: str) -> None:
    with _keeper(settings, url) as keeper:
        if flags["action"] == "create":
            secret = keeper.create(flags["name"], flags["role"], flags["expires"])
            print(secret)
            print(f"This is the only time that the key {flags['name']!r} ({flags['role']}) is shown.", file=sys.stderr)
        elif flags["action"] == "revoke":
            keeper.revoke(flags["name"])
            print(f"The key {flags['name']!r} is not let in any more.", file=sys.stderr)
        else:
            _print_table(keeper.tokens())


@contextmanager
def _keeper(settings: Settings, url: str) -> Iterator["_Direct | _Remote"]:
    """Open the database, or turn to the service that holds it."""
    from callsheet.clock import WallClock  # noqa: PLC0415 - what --help does not need
    from storage.database import open_database  # noqa: PLC0415
    from storage.sqlite_file import Held  # noqa: PLC0415

    try:
        database = open_database(settings.database, WallClock().now())
    except Held as held:
        yield _Remote(url, secret_of(settings), str(held))
        return
    try:
        yield _Direct(database, WallClock().now)
    finally:
        database.close()


class _Direct:
    """Writes to the database itself."""

    def __init__(self, database: Any, now: Callable[[], int]) -> None:
        self._database, self._now = database, now

    def create(self, name: str, role: str, expires: int | None) -> str:
        from storage.journal.commands import CreateToken  # noqa: PLC0415
        from storage.journal.tokens import apply_alone  # noqa: PLC0415

        secret, now = new_token(), self._now()
        expires_at = None if expires is None else now + expires
        apply_alone(self._database, CreateToken(name, role, hash_of(secret), expires_at), now)
        return secret

    def revoke(self, name: str) -> None:
        from storage.journal.commands import RevokeToken  # noqa: PLC0415
        from storage.journal.tokens import apply_alone  # noqa: PLC0415

        apply_alone(self._database, RevokeToken(name), self._now())

    def tokens(self) -> list[Answer]:
        from storage.queries.tokens import list_tokens  # noqa: PLC0415

        found, cursor, now = [], None, self._now()
        while True:
            page = list_tokens(self._database, 200, cursor)
            found += [_row(token, now) for token in page.items]
            if (cursor := page.next) is None:
                return found


class _Remote:
    """Asks the service that holds the database."""

    def __init__(self, url: str, secret: str | None, held: str) -> None:
        self._url, self._held = url.rstrip("/"), held
        self._headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}

    def create(self, name: str, role: str, expires: int | None) -> str:
        body = {"name": name, "role": role} | ({} if expires is None else {"expires_in": expires / 1_000_000})
        return str(self._ask("POST", "/v1/tokens", json=body)["token"])

    def revoke(self, name: str) -> None:
        from urllib.parse import quote  # noqa: PLC0415

        self._ask("DELETE", f"/v1/tokens/{quote(name, safe='')}")

    def tokens(self) -> list[Answer]:
        found: list[Answer] = []
        query = {"limit": "200"}
        while True:
            page = self._ask("GET", "/v1/tokens", params=query)
            found += page["items"]
            if page["next"] is None:
                return found
            query["cursor"] = page["next"]

    def _ask(self, method: str, path: str, **more: Any) -> Answer:
        import httpx2  # noqa: PLC0415

        try:
            answer = httpx2.request(method, self._url + path, headers=self._headers, timeout=30, **more)
            body: Answer = answer.json() if answer.content else {}
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            why = f"{self._held} And no callsheet answers at {self._url} ({error}): name its address with --url."
            raise Failed(why, UNREACHABLE) from None
        if answer.status_code >= 400:
            advice = " Set CALLSHEET_API_KEY to the key of an admin." if answer.status_code in DOOR_SHUT else ""
            code = {404: NOT_FOUND, 409: CONFLICT}.get(answer.status_code, FAILED)
            raise Failed(f"{body.get('detail', answer.status_code)}{advice}", code)
        return body


def _row(token: Any, now: int) -> Answer:
    times = {name: getattr(token, name) for name in COLUMNS if name.endswith("_at")}
    shown = {name: None if time is None else format_instant(time) for name, time in times.items()}
    return {"name": token.name, "role": token.role, "state": token.state(now), "created_by": token.created_by, **shown}


def _print_table(tokens: list[Answer]) -> None:
    cells = [COLUMNS, *([str(token[name] or "-") for name in COLUMNS] for token in tokens)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _argument(check: Callable[[Any], Any]) -> Callable[[str], Any]:
    def checked(text: str) -> Any:
        try:
            return check(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


def _complain(error: CallsheetError, code: int) -> int:
    print(f"callsheet: {error}", file=sys.stderr)
    return code
