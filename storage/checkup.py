"""A look at a database from outside: nothing is locked, made or changed, also while a service uses it."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg2
from attrs import frozen

from callsheet.errors import RefusedToStart
from storage import postgres, sqlite_file
from storage.migrate import check, migrations

_VERSIONS = "SELECT version, checksum FROM schema_version ORDER BY version"


@frozen
class Found:
    """What there is: `version` of the schema, 0 where nothing is set up yet; `newest` is the one that we know."""

    shown: str
    version: int
    newest: int


def look(url: str) -> Found:
    """Return what there is at a URL; RefusedToStart says why no service could use it."""
    if url.startswith("sqlite:///"):
        return _look_sqlite(Path(url.removeprefix("sqlite:///")))
    if url.startswith(("postgresql://", "postgres://")):
        return _look_postgres(url)
    raise RefusedToStart(f"The database must be sqlite:///PATH or postgresql://…, not {url!r}.")


def _look_sqlite(path: Path) -> Found:
    newest = migrations("sqlite")[-1].version
    _check_may_write(path)
    sqlite_file.inspect(path)
    if not path.exists() or path.stat().st_size == 0:
        return Found(str(path), 0, newest)
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            (version,) = connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchone()
    except sqlite3.Error:
        version = 0  # an empty file of SQLite's own
    return Found(str(path), int(version), newest)


def _check_may_write(path: Path) -> None:
    """Refuse what this user cannot write: SQLite needs the folder, too, for its journal."""
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    for place in (folder, *([path] if path.exists() else [])):
        if not os.access(place, os.W_OK):
            raise RefusedToStart(f"This user may not write to {place}.")


def _look_postgres(url: str) -> Found:
    known = migrations("postgres")
    try:
        with closing(psycopg2.connect(url, **postgres.OPTIONS)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('schema_version') IS NOT NULL")
            found = []
            if cursor.fetchone()[0]:
                cursor.execute(_VERSIONS)
                found = [(int(version), str(checksum)) for version, checksum in cursor.fetchall()]
    except psycopg2.Error as error:
        reason = " ".join(str(error).split())
        raise RefusedToStart(f"Cannot reach the database {postgres.shown(url)}: {reason}") from None
    check(found, known)
    return Found(postgres.shown(url), max((version for version, _ in found), default=0), known[-1].version)
