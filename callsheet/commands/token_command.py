"""`callsheet token`: makes, lists and revokes API keys, with a service running or without.

A service that is named is asked, as by every other command. Else it is about a database, to which one process at a
time writes: where a service holds it, that one is asked; where none does, the command writes itself. The latter needs
no key: whoever may write the database may do anything.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from callsheet.commands import EPILOGUE, output
from callsheet.commands.common import CONFLICT, FAILED, NOT_FOUND, UNREACHABLE, Arguments, connecting, guarded, say
from callsheet.errors import CallsheetError, RefusedToStart
from callsheet.instants import SECOND, parse_duration
from callsheet.models import Token
from callsheet.settings import Settings, secret_of
from callsheet.settings_file import load_settings
from callsheet.tokens import ROLES, check_name, hash_of, new_token

if TYPE_CHECKING:
    from callsheet.client import Client

REFUSED = 78
LIST: output.Columns[Token] = (
    ("name", lambda one: one.name),
    ("role", lambda one: one.role),
    ("state", lambda one: one.state),
    ("created", lambda one: output.when(one.created_at)),
    ("by", lambda one: one.created_by),
    ("expires", lambda one: output.when(one.expires_at)),
    ("revoked", lambda one: output.when(one.revoked_at)),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions."""
    parser.epilog = f"{EPILOGUE.removesuffix('.')}, {REFUSED} settings or database refused."
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    create = _action(actions, "create", _create, "make a key and print it: it is shown this once")
    name = create.add_mutually_exclusive_group(required=True)
    check = _argument(check_name)
    name.add_argument("name", nargs="?", metavar="NAME", type=check, help="how its owner is called in the audit")
    name.add_argument("--name", dest="called", metavar="NAME", type=check, help="the same")
    create.add_argument("--role", required=True, choices=ROLES, help="what it may do; each may do what the former may")
    create.add_argument("--expires", metavar="90d", type=_argument(parse_duration), help="for how long (for ever)")
    _action(actions, "list", _list, "list all keys, without the keys", aliases=["ls"])
    revoke = _action(actions, "revoke", _revoke, "let a key in no more, from now on")
    revoke.add_argument("name", metavar="NAME", help="the name of the key")
    for action in dict.fromkeys(actions.choices.values()):
        action.add_argument("--database", metavar="URL", help="the database of the service, instead of its address")
        action.add_argument("--config", metavar="FILE", help="file of settings that names it (callsheet.toml)")


def _action(actions: Any, name: str, body: Callable[..., None], help_: str, **more: Any) -> argparse.ArgumentParser:
    text = f"{help_[0].upper()}{help_[1:]}."
    parser: argparse.ArgumentParser = actions.add_parser(name, help=help_, description=text, **more)
    connecting(parser)
    parser.set_defaults(run=run, body=body)
    return parser


def run(arguments: Arguments) -> int:
    """Do what the command line says; return the exit code."""
    try:
        code = guarded(lambda: _act(arguments))
    except RefusedToStart as error:
        return _complain(error, REFUSED)
    except CallsheetError as error:
        return _complain(error, {404: NOT_FOUND, 409: CONFLICT}.get(error.status, FAILED))
    if code == UNREACHABLE and _is_named(arguments):
        say("Where no service runs, --database lets this command write to the database itself.")
    return code


def _complain(error: CallsheetError, code: int) -> int:
    say(f"callsheet: {error}")
    return code


def _act(arguments: Arguments) -> None:
    with _keeper(arguments) as keeper:
        arguments.body(keeper, arguments)


def _create(keeper: "Client | Direct", arguments: Arguments) -> None:
    expires = None if arguments.expires is None else arguments.expires / SECOND
    made = keeper.create_token(arguments.name or arguments.called, arguments.role, expires)
    if arguments.output == "table":
        output.line(str(made.token))
    else:
        output.show_one(made, (), arguments.output, lambda one: one.name)
    if arguments.output != "name":
        say(f"This is the only time that the key {made.name!r} ({made.role}) is shown. It is good for {keeper.url}.")


def _list(keeper: "Client | Direct", arguments: Arguments) -> None:
    output.show(keeper.tokens(), LIST, arguments.output, lambda one: one.name)


def _revoke(keeper: "Client | Direct", arguments: Arguments) -> None:
    keeper.revoke_token(arguments.name)
    say(f"The key {arguments.name!r} is not let in any more.")


# --- who does it ---


def _is_named(arguments: Arguments) -> bool:
    """Tell whether a service was named, and no database: then it is that service that is meant."""
    return arguments.database is None and bool(arguments.url or os.environ.get("CALLSHEET_URL"))


@contextmanager
def _keeper(arguments: Arguments) -> Iterator["Client | Direct"]:
    """Give what makes, lists and revokes keys."""
    from callsheet.client import Client  # noqa: PLC0415 - what --help does not need

    if _is_named(arguments):
        with Client(arguments.url, token_file=arguments.token_file, tries=3) as client:
            yield client
        return
    settings = load_settings({"database": arguments.database, "config": arguments.config}).settings
    if arguments.body is not _create:
        _check_is_there(settings.database)
    with _of_database(settings, arguments) as keeper:
        yield keeper


def _check_is_there(database: str) -> None:
    """Refuse to look into a database that is not there: it would be made, and empty, in whatever folder this is."""
    from storage.checkup import look  # noqa: PLC0415

    found = look(database)
    if found.version == 0:
        raise RefusedToStart(
            f"There is no database {found.shown}. Name the service with --url, or its database with --database."
        )


@contextmanager
def _of_database(settings: Settings, arguments: Arguments) -> Iterator["Client | Direct"]:
    """Open the database, or turn to the service that holds it."""
    from callsheet.client import Client, Unreachable  # noqa: PLC0415
    from callsheet.clock import WallClock  # noqa: PLC0415
    from storage.database import open_database  # noqa: PLC0415
    from storage.sqlite_file import Held  # noqa: PLC0415

    try:
        database = open_database(settings.database, WallClock().now())
    except Held as held:
        url = arguments.url or os.environ.get("CALLSHEET_URL") or _address(settings)
        token, file = _key(settings, arguments), arguments.token_file
        try:
            with Client(url, token=token, token_file=file, tries=3) as client:
                yield client
        except Unreachable:
            say(f"callsheet: {held}")
            raise
        return
    try:
        yield Direct(database, WallClock().now)
    finally:
        database.close()


def _address(settings: Settings) -> str:
    """Return where a service with these settings answers its own machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared only
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _key(settings: Settings, arguments: Arguments) -> str | None:
    """Return the configured key, unless another is given: the service is one with these very settings."""
    others = arguments.token_file, os.environ.get("CALLSHEET_TOKEN"), os.environ.get("CALLSHEET_TOKEN_FILE")
    return None if any(others) else secret_of(settings)


class Direct:
    """Writes to the database itself; its methods are those of the client."""

    def __init__(self, database: Any, now: Callable[[], int]) -> None:
        self._database, self._now = database, now

    @property
    def url(self) -> str:
        """Return which database it is."""
        return str(self._database.shown)

    def create_token(self, name: str, role: str, expires: float | None) -> Token:
        """Make a key."""
        from storage.journal.commands import CreateToken  # noqa: PLC0415
        from storage.journal.tokens import apply_alone  # noqa: PLC0415

        secret, now = new_token(), self._now()
        expires_at = None if expires is None else now + round(expires * SECOND)
        apply_alone(self._database, CreateToken(name, role, hash_of(secret), expires_at), now)
        made = next(one for one in self.tokens() if one.name == name)
        made.token = secret
        return made

    def revoke_token(self, name: str) -> None:
        """Let a key in no more."""
        from storage.journal.commands import RevokeToken  # noqa: PLC0415
        from storage.journal.tokens import apply_alone  # noqa: PLC0415

        apply_alone(self._database, RevokeToken(name), self._now())

    def tokens(self) -> Iterator[Token]:
        """Yield all keys, newest first."""
        from storage.queries.tokens import list_tokens  # noqa: PLC0415
        from web.representations import token  # noqa: PLC0415

        cursor = None
        while True:
            page = list_tokens(self._database, 200, cursor)
            yield from (token(one, self._now()) for one in page.items)
            if (cursor := page.next) is None:
                return


def _argument(check: Callable[[Any], Any]) -> Callable[[str], Any]:
    def checked(text: str) -> Any:
        try:
            return check(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked
