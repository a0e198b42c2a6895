"""API keys as they are made and taken back. Of a key only its hash is known here."""

from functools import partial
from uuid import UUID

from callsheet.errors import FieldError, Invalid, Refused, Unknown
from callsheet.ids import IdMaker
from storage.database import Database
from storage.failures import translated
from storage.journal.callers import once
from storage.journal.commands import CreateToken, OnBehalf, RevokeToken
from storage.journal.facts import TokenCreated, TokenRevoked
from storage.journal.work import Work
from storage.records import TokenRecord

COLUMNS = "id, name, role, created_at, created_by, expires_at, revoked_at"
_STANDING = f"SELECT {COLUMNS} FROM token WHERE name = ? AND revoked_at IS NULL"
_CREATE = "INSERT INTO token (id, name, role, hash, created_at, created_by, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
_REVOKE = "UPDATE token SET revoked_at = ? WHERE id = ?"


def apply_alone(database: Database, command: CreateToken | RevokeToken, now: int, by: str = "cli") -> None:
    """Make or revoke a key while no service holds the database; its audit and its event are written, too."""
    with translated(), database.transaction(objects=False) as cursor:
        work = Work(cursor, database.dialect, database.entities, {}, IdMaker(), now, by, UUID(int=0))
        do = create_token if isinstance(command, CreateToken) else revoke_token
        once(work, OnBehalf(command, by), partial(do, work, command))  # type: ignore[arg-type]
        work.finish()


def create_token(work: Work, command: CreateToken) -> TokenRecord:
    """Let a key in from now on; the name of one that was revoked may be used again."""
    if command.expires_at is not None and command.expires_at <= work.now:
        raise Invalid(FieldError("/expires_at", "has passed"))
    if work.one(_STANDING, command.name) is not None:
        raise Refused(f"There is a token {command.name!r} already: revoke it, or choose another name.")
    made = TokenRecord(
        work.ids.make(work.now), command.name, command.role, work.now, work.by, command.expires_at, None
    )  # fmt: skip
    work.execute(
        _CREATE, made.id, made.name, made.role, command.hash, made.created_at, made.created_by, made.expires_at
    )
    work.facts.append(TokenCreated(made.id, made.name, made.role, command.hash, made.expires_at))
    return made


def revoke_token(work: Work, command: RevokeToken) -> TokenRecord:
    """Let a key in no more; that it was there stays written down."""
    row = work.one(_STANDING, command.name)
    if row is None:
        raise Unknown("token", command.name)
    token = work.dialect.uuid(row[0])
    assert token is not None
    work.execute(_REVOKE, work.now, token)
    work.facts.append(TokenRevoked(token, command.name))
    _, name, role, created_at, created_by, expires_at, _ = row
    return TokenRecord(token, name, role, created_at, created_by, expires_at, work.now)
