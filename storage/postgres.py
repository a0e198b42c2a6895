"""PostgreSQL: how to reach it, who holds it, and its schema."""

import socket
import time
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import psycopg2.extras

from callsheet.errors import RefusedToStart
from storage.migrate import migrate, migrations, run_statements
from storage.sqlite_file import Held

_LOCK = 0x63616C6C73686565  # an advisory lock's key: "callshee"

# Settings travel in the connection string: Pony's DISCARD ALL at each session's end would wipe those SET later.
OPTIONS = {
    "options": "-c statement_timeout=30000 -c timezone=UTC -c lock_timeout=10000",
    "connect_timeout": 3,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10000,
    "application_name": "callsheet",
}


def shown(url: str) -> str:
    """Return the URL without its password, for people to see."""
    parts = urlsplit(url)
    host = parts.netloc.rsplit("@", 1)[-1]
    user = f"{parts.username}@" if parts.username else ""
    return urlunsplit((parts.scheme, user + host, parts.path, "", ""))


class DatabaseLock:
    """Holds a PostgreSQL database for one node, for as long as its connection lives."""

    def __init__(self, url: str) -> None:
        psycopg2.extras.register_uuid()
        try:
            self._connection = psycopg2.connect(url, **OPTIONS)
        except psycopg2.Error as error:
            reason = " ".join(str(error).split())
            raise RefusedToStart(f"Cannot reach the database {shown(url)}: {reason}") from None
        self._connection.autocommit = True
        cursor = self._connection.cursor()
        if not _locked(cursor):
            holder = _holder(cursor)
            self._connection.close()
            raise Held(f"The database {shown(url)} is held by {holder}: one node at a time, so far.")

    def prepare(self, now: int) -> None:
        """Create the schema or bring it up to date."""
        self._connection.autocommit = False
        try:
            with self._connection, self._connection.cursor() as cursor:
                migrate(cursor, "%s", migrations("postgres"), now, run_statements)
        except psycopg2.Error as error:
            reason = " ".join(str(error).split())
            raise RefusedToStart(f"Cannot set up the database: {reason}") from None
        finally:
            self._connection.autocommit = True

    def release(self) -> None:
        """Let go of the database."""
        self._connection.close()


def _locked(cursor: Any) -> bool:
    """Take the lock, or return False; the server may need a moment to see that a node before us is gone."""
    for pause in (0.1, 0.3, 0.6, 0.0):
        cursor.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,))
        if cursor.fetchone()[0]:
            return True
        time.sleep(pause)
    return False


def _holder(cursor: Any) -> str:
    """Return who holds the lock, as the node table and the server tell it."""
    cursor.execute("SELECT to_regclass('node') IS NOT NULL")
    if not cursor.fetchone()[0]:
        return "another process"
    cursor.execute(
        "SELECT name, host, pid, to_timestamp(started_at / 1e6) AT TIME ZONE 'UTC' FROM node "
        "WHERE stopped_at IS NULL ORDER BY started_at DESC LIMIT 1"
    )
    row = cursor.fetchone()
    if row is None:
        return "another process"
    return f"node {row[0]} (process {row[2]} on {row[1]}) since {row[3]:%Y-%m-%dT%H:%M:%SZ}"


def this_host() -> str:
    """Return the name of this machine."""
    return socket.gethostname()
