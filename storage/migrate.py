"""Numbered migrations: plain SQL per database, applied once each, in order, in one transaction."""

import hashlib
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any

from attrs import frozen

from callsheet.errors import RefusedToStart

_VERSIONS = (
    "CREATE TABLE IF NOT EXISTS schema_version "
    "(version INTEGER NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL, checksum TEXT NOT NULL)"
)


@frozen
class Migration:
    """One step of the schema: its number, counted from 1, and its SQL."""

    version: int
    sql: str

    @property
    def checksum(self) -> str:
        """Return the hash by which a changed migration is found out."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations(dialect: str) -> list[Migration]:
    """Return the migrations of a database, in order; `dialect` is "sqlite" or "postgres"."""
    folder = resources.files("storage") / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(f"_{dialect}.sql"))
    return [Migration(int(name.split("_")[0]), (folder / name).read_text()) for name in names]


def check(found: Sequence[tuple[int, str]], known: Sequence[Migration]) -> None:
    """Refuse a schema that is newer than we are, or that other migrations made; `found` is (version, checksum)."""
    newest = known[-1].version
    ahead = max((version for version, _ in found), default=0)
    if ahead > newest:
        raise RefusedToStart(
            f"The database has schema {ahead}, this callsheet knows {newest}: start a newer callsheet on it."
        )
    checksums = {migration.version: migration.checksum for migration in known}
    for version, checksum in found:
        if checksums.get(version) != checksum:
            raise RefusedToStart(f"The database was set up by another migration {version} than ours.")


def migrate(cursor: Any, mark: str, known: Sequence[Migration], now: int, run: Callable[[Any, str], None]) -> int:
    """Bring the schema up to date inside the caller's transaction; return how many migrations were applied.

    `mark` is the driver's mark for a parameter, `run` executes a text of several statements.
    """
    cursor.execute(_VERSIONS)
    cursor.execute("SELECT version, checksum FROM schema_version ORDER BY version")
    found = [(int(version), str(checksum)) for version, checksum in cursor.fetchall()]
    check(found, known)
    todo = known[len(found) :]
    for migration in todo:
        run(cursor, migration.sql)
        values = (migration.version, now, migration.checksum)
        cursor.execute(f"INSERT INTO schema_version VALUES ({mark}, {mark}, {mark})", values)
    return len(todo)


def run_statements(cursor: Any, sql: str) -> None:
    """Execute a text of several statements one by one, so that the transaction stays the caller's."""
    for statement in sql.split(";\n"):
        if statement.strip():
            cursor.execute(statement)
