"""Promises on PostgreSQL when the connection goes: all or nothing, once, and it goes on when the server is back.

A proxy stands between the journal and the server. It sees every statement and may lose the connection before it, after
it, or without ever passing it on.
"""

import socket
import struct
import threading
from contextlib import closing, suppress

import psycopg2
import pytest
from pony import orm

from callsheet.errors import GaveUp, RefusedToStart, StorageFull, Unavailable
from storage import failures
from storage.database import open_database
from storage.journal import journal as journals
from storage.journal.commands import Claim, EndInstance, KeepEvent, KeepOutput, PutSchedule, Start, StartInstances
from storage.journal.journal import Interrupted
from storage.queries.instances import list_outputs

START_ONE = StartInstances((Start("noop", b"null"),))
KILL = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE application_name = 'callsheet' AND state = 'idle in transaction'"
)
PASS, CUT, SWALLOW, LINGER = "pass", "cut before", "do it but lose the reply", "lose the reply, then do it late"


class Proxy:
    """Passes PostgreSQL's protocol on; `on_query` decides by its text what becomes of each simple query."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.on_query = lambda text: PASS
        self.open = True
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Lose every connection there is."""
        for pair in self._pairs:
            hang_up(*pair)
        self._pairs.clear()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if not self.open:
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._pairs.append((client, server))
                threading.Thread(target=self._up, args=(client, server), daemon=True).start()
                threading.Thread(target=self._down, args=(client, server), daemon=True).start()

    def _down(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
        hang_up(client, server)

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError, EOFError):
            for message in messages(client):
                fate = self.on_query(message[5:-1].decode()) if message[:1] == b"Q" else PASS
                if fate == LINGER:
                    client.shutdown(socket.SHUT_RDWR)
                    threading.Event().wait(0.5)  # as a network may keep a packet
                if fate == SWALLOW:
                    client.shutdown(socket.SHUT_RDWR)
                if fate != CUT:
                    server.sendall(message)
                if fate in (SWALLOW, LINGER):
                    server.recv(65536)
                if fate != PASS:
                    break
        hang_up(client, server)


def hang_up(*sockets: socket.socket) -> None:
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


def messages(client: socket.socket):
    """Yield whole messages: first those without a type, up to the start-up one, then typed ones."""
    while True:
        length, code = struct.unpack("!II", head := exactly(client, 8))
        yield head + exactly(client, length - 8)
        if code == 3 << 16:
            break
    while True:
        head = exactly(client, 5)
        yield head + exactly(client, struct.unpack("!I", head[1:])[0] - 4)


def exactly(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        if not (part := client.recv(count - len(data))):
            raise EOFError
        data += part
    return data


@pytest.fixture
def proxy(postgres_url):
    folder = psycopg2.extensions.parse_dsn(postgres_url)["host"]
    proxy = Proxy(f"{folder}/.s.PGSQL.5432")
    yield proxy
    proxy.close()


@pytest.fixture
def database_url(proxy):
    return f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres"


class Script:
    """Decides the fate of queries: `fates` for those that match, one after the other, then all pass."""

    def __init__(self, matches, *fates, then=lambda: None):
        self._matches, self._fates, self._then = matches, list(fates), then
        self.seen = []

    def __call__(self, text):
        if text.startswith(("SELECT pg_", "DISCARD")) or not self._matches(text):
            return PASS
        self.seen.append(text)
        if not self._fates:
            return PASS
        fate = self._fates.pop(0)
        if fate != PASS:
            self._then()
        return fate


def is_commit(text):
    return text == "COMMIT"


def everything(text):
    return True


def batch(bench, run):
    """Return a batch that writes to most tables, as one transaction."""
    return [StartInstances((Start("noop", b"null", None, ("x",)),) * 2), KeepOutput(run.id, 0, 1, b"1"),
            EndInstance(run, "succeeded", 1, 2, state=b'{"value":1}'), Claim(0)]  # fmt: skip


def check_done_once(bench, run, applied):
    """Check that the batch took place exactly once and as it was told."""
    assert [verdict.error for verdict in applied.verdicts] == [None] * 4
    assert sorted(row.id for row in bench.instances(tag="x")) == applied.verdicts[0].answer
    assert bench.instance(run.id).state == "succeeded"
    assert len(list_outputs(bench.database, run.id, 10, None).items) == 1
    assert bench.fates() == [("ran", 10, 10, 1)]
    assert bench.rows("SELECT value, version FROM task_state") == [('{"value":1}', 1)]
    assert bench.rows("SELECT count(*) FROM event WHERE type = 'instance.started'")[0][0] == 4


def prepare(bench):
    bench.put(overlap="allow")
    run = bench.start("tally")
    bench.clock.move(10)
    return run


def test_a_backend_that_is_killed_between_any_two_statements_makes_all_or_nothing(bench, proxy, postgres_url):
    """Kill it before each statement of the transaction in turn, the commit included; each time it is done once."""

    def kill():
        killed.append(threading.Event())
        with closing(psycopg2.connect(postgres_url)) as other, other, other.cursor() as cursor:
            cursor.execute(KILL)
        killed[-1].set()

    runs, killed = [], []
    for number in range(40):
        bench.put(f"s{number}", overlap="allow", every="1h")
        runs.append(bench.start())
        run, one = runs[-1], StartInstances((Start("noop", b"null", None, (f"t{number}",)),))
        before = len(killed)
        proxy.on_query = Script(lambda text: text != "BEGIN", *[PASS] * number, CUT, then=kill)
        applied = bench.journal.apply([one, KeepOutput(run.id, 0, 1, b"1"), EndInstance(run, "succeeded", 1, 2)])
        proxy.on_query = lambda text: PASS

        assert [verdict.error for verdict in applied.verdicts] == [None] * 3
        assert [row.id for row in bench.instances(tag=f"t{number}")] == applied.verdicts[0].answer
        assert bench.instance(run.id).state == "succeeded"
        assert len(list_outputs(bench.database, run.id, 10, None).items) == 1
        if len(killed) == before:
            break
        assert killed[-1].wait(10)
    assert 4 < number < 39


def test_a_session_does_not_go_on_with_the_second_half_of_a_transaction(bench, proxy):
    """Left to itself, Pony would connect anew and commit what came after the loss."""

    @orm.db_session(optimistic=False)
    def two_halves():
        bench.database.entities.Event(at=1, type="first", data="{}")
        orm.flush()
        proxy.cut()
        bench.database.entities.Event(at=2, type="second", data="{}")
        orm.flush()

    with pytest.raises(orm.OrmError):
        two_halves()

    assert bench.rows("SELECT type FROM event WHERE type IN ('first', 'second')") == []


@pytest.mark.parametrize("number", range(12))
def test_a_connection_that_is_lost_before_any_statement_is_made_up_for(bench, proxy, number):
    run = prepare(bench)
    proxy.on_query = Script(everything, *[PASS] * number, CUT)

    check_done_once(bench, run, bench.journal.apply(batch(bench, run)))


@pytest.mark.parametrize("number", range(10))
def test_a_schedule_is_put_whole_or_not_at_all(bench, proxy, number):
    proxy.on_query = Script(everything, *[PASS] * number, CUT)
    document = {"task": "noop", "trigger": {"every": "10s"}, "tags": ["x", "y"]}
    applied = bench.journal.apply([PutSchedule("a", document), PutSchedule("b", document)])

    assert [verdict.error for verdict in applied.verdicts] == [None, None]
    tags = bench.rows("SELECT tag, schedule FROM schedule_tag ORDER BY 2, 1")
    assert [tag + schedule for tag, schedule in tags] == ["xa", "ya", "xb", "yb"]
    assert [bench.schedule(slug).version for slug in "ab"] == [1, 1]


@pytest.mark.parametrize("fate", [CUT, SWALLOW, LINGER])
def test_a_commit_whose_reply_was_lost_is_settled_by_reading_back(bench, proxy, fate):
    run = prepare(bench)
    proxy.on_query = script = Script(is_commit, fate)
    applied = bench.journal.apply(batch(bench, run))

    check_done_once(bench, run, applied)
    assert len(script.seen) == (3 if fate == CUT else 2)  # the lost one, the one of reading back, and the second try


@pytest.mark.parametrize("fate", [CUT, SWALLOW, LINGER])
def test_nothing_goes_on_before_it_is_known_what_became_of_a_commit(bench, proxy, fate):
    """The reply is lost, and the server cannot be asked for some time after."""
    run = prepare(bench)

    def away():
        proxy.open = False
        threading.Timer(1.0, lambda: setattr(proxy, "open", True)).start()

    proxy.on_query = Script(is_commit, fate, then=away)

    check_done_once(bench, run, bench.journal.apply(batch(bench, run)))


def test_a_commit_that_nobody_can_tell_about_ends_the_node(bench, proxy, monkeypatch):
    monkeypatch.setattr(journals, "SETTLE", 0.3)
    proxy.on_query = Script(is_commit, SWALLOW, then=lambda: setattr(proxy, "open", False))
    with pytest.raises(Interrupted) as interrupted:
        bench.journal.apply([START_ONE])

    assert isinstance(interrupted.value.reason, GaveUp)


def test_a_server_that_is_gone_is_unavailable_and_back_it_goes_on(bench, proxy):
    run = bench.start()
    proxy.open = False
    proxy.cut()
    for _ in range(2):
        with pytest.raises(Interrupted) as interrupted:
            bench.journal.apply([START_ONE, KeepOutput(run.id, 0, 1, b"1")])
        assert type(interrupted.value.reason) is Unavailable
        assert interrupted.value.applied.verdicts == []
        with pytest.raises(Unavailable):
            bench.instances()
    proxy.open = True

    assert len(bench.instances()) == 1
    bench.ask(KeepOutput(run.id, 0, 1, b"1"))
    bench.ask(START_ONE)
    assert len(bench.instances()) == 2


def test_a_reader_that_lost_its_connection_reads_on(bench, proxy):
    bench.start()
    bench.instances()
    proxy.cut()

    assert len(bench.instances()) == 1


def test_what_came_before_an_outage_in_a_batch_is_committed_and_told(bench, proxy):
    """A batch of two transactions, and the server goes between them."""
    document = {"task": "noop", "trigger": {"every": "10s"}}

    def gone():
        proxy.open = False

    proxy.on_query = Script(lambda text: 'FROM "schedule"' in text, CUT, then=gone)
    with pytest.raises(Interrupted) as interrupted:
        bench.journal.apply([START_ONE, START_ONE, PutSchedule("a", document), START_ONE])
    applied = interrupted.value.applied
    proxy.open = True

    assert len(applied.verdicts) == 2
    assert [fact.type for fact in applied.facts] == ["instance.started"] * 2
    assert sorted(row.id for row in bench.instances()) == [verdict.answer[0] for verdict in applied.verdicts]


def test_a_second_node_is_refused_and_told_who_holds_the_database(bench, postgres_url):
    with pytest.raises(RefusedToStart) as refused:
        open_database(postgres_url, 1)
    sentence = str(refused.value)

    assert "is held by node n1 (process" in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    bench.database.close()
    open_database(postgres_url, 1).close()


def test_a_node_that_lost_its_hold_to_another_writes_nothing_more(bench, proxy, postgres_url, make_journal):
    """The hold goes with its connection; whoever takes it over shuts the first one out."""
    run = bench.start()
    proxy.cut()
    other = open_database(postgres_url, 1)
    try:
        make_journal(other, node="n2")
        with pytest.raises(Interrupted) as interrupted:
            bench.journal.apply([KeepEvent("test", b"{}")])
    finally:
        other.close()

    assert isinstance(interrupted.value.reason, GaveUp)
    assert bench.instance(run.id).state == "running"


def test_a_schedule_that_another_transaction_holds_is_left_for_the_next_look(bench, postgres_url):
    bench.put("a")
    bench.put("b")
    bench.clock.move(10)
    with closing(psycopg2.connect(postgres_url)) as other, other.cursor() as cursor:
        cursor.execute("SELECT id FROM schedule WHERE id = 'a' FOR UPDATE")
        bench.claim()
        assert [run.schedule for run in bench.started] == ["b"]
        other.rollback()  # a connection that is closed lets go of its locks a little later
    bench.claim()

    assert [run.schedule for run in bench.started] == ["a"]


def test_a_server_that_cannot_be_reached_is_refused_without_showing_the_password():
    with pytest.raises(RefusedToStart) as refused:
        open_database("postgresql://ada:secret@127.0.0.1:1/x?password=secret", 1)

    assert "postgresql://ada@127.0.0.1:1/x" in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("code", "meaning"),
    [("53100", StorageFull), ("XX001", GaveUp), ("XX002", GaveUp)]
    + [(code, Unavailable) for code in ("53300", "40001", "40P01", "57014", "57P01", "55P03", "58030")]
    + [(code, type(None)) for code in ("23505", "42P01", "22001")],
)
def test_an_error_of_postgres_means_what_it_means(bench, code, meaning):
    with pytest.raises(psycopg2.Error) as error:
        bench.write(f"DO $body$ BEGIN RAISE EXCEPTION 'as it were' USING ERRCODE = '{code}'; END $body$")

    assert type(failures.meaning_of(error.value)) is meaning


LOST = [("57014", False), ("55P03", False), ("40001", False), ("57P01", True), ("08006", True)]


@pytest.mark.parametrize(("code", "lost"), LOST)
def test_only_a_connection_that_is_gone_counts_as_lost(bench, code, lost):
    with pytest.raises(psycopg2.Error) as error:
        bench.write(f"DO $body$ BEGIN RAISE EXCEPTION 'as it were' USING ERRCODE = '{code}'; END $body$")

    assert failures.connection_lost(error.value) is lost
