"""Promises about speed that do not depend on a stopwatch: nothing reads a whole table, nothing sorts without bound.

A recorder stands where the dialect does and notes every statement of a full scenario; each is then explained by the
database itself. `BOUNDED` lists the few that may read more than an index tells them to, with the reason.
"""

import json
import re
from itertools import product
from uuid import UUID

import pytest
from attrs import evolve

from callsheet import Out, task
from callsheet.instants import SECOND
from callsheet.lifecycle import OUTCOMES
from callsheet.retention import Keep
from callsheet.tasks import Registry
from storage.dialect import update_from
from storage.journal.commands import (
    BackfillSchedule,
    CancelInstance,
    CancelInstances,
    CreateToken,
    DeleteSchedule,
    IdempotencyKey,
    KeepLog,
    KeepOutput,
    MarkStuck,
    OnBehalf,
    PatchSchedule,
    PauseSchedule,
    PlanChange,
    Prune,
    RerunInstance,
    ResumeSchedule,
    RevokeToken,
    SkipDue,
    Start,
    StartInstances,
    StopNode,
    TriggerSchedule,
    UnskipDue,
)
from storage.journal.hook_commands import (
    AddWebhook,
    ChangeWebhook,
    EndDelivery,
    Plan,
    PlanDeliveries,
    PostponeDelivery,
    RemoveWebhook,
)
from storage.queries import history, invariants
from storage.queries.audit import AuditFilter, list_audit
from storage.queries.events import Wanted, last_event, read_events
from storage.queries.explain import explain
from storage.queries.instances import Filter, get_whole, list_instances, list_log, list_outputs, unfinished
from storage.queries.ledger import ledger
from storage.queries.nodes import list_nodes
from storage.queries.schedules import count_schedules, has_schedule, list_schedules, upcoming_of, upcoming_of_all
from storage.queries.stats import stats
from storage.queries.tokens import list_tokens, standing_tokens
from storage.queries.webhooks import active_webhooks, due_messages, get_webhook, list_webhooks

BOUNDED = {
    "FROM node": "one row for each boot",
    "UPDATE node": "one row for each boot",
    "SELECT state, count(*) FROM schedule": "once at the start, from an index alone",
    "SELECT o.fate, sum(o.count) FROM omission": "figures that are asked for; omissions are few rows",
    "FROM known_task": "one row for each task in the code",
    "FROM webhook": "a hundred at most",
    "SELECT instance, value FROM output": "fifty rows of each of some instances, which PostgreSQL prefers to sort",
    "FROM token": "a row for each key that stands or was revoked of late",
}
GROWING = (
    "schedule",
    "schedule_tag",
    "instance",
    "instance_tag",
    "output",
    "log",
    "omission",
    "task_state",
    "event",
    "delivery",
    "audit",
    "idempotency",
)


@task(max_running=1)
async def narrow(_in: None, out: Out[int]) -> None:
    """Have the others wait."""


class Recorder:
    """A dialect that notes the statements that go through it."""

    def __init__(self, dialect):
        self._dialect, self.seen = dialect, {}

    def __getattr__(self, name):
        return getattr(self._dialect, name)

    def marked(self, sql):
        self.seen[sql] = None
        return self._dialect.marked(sql)

    def execute(self, cursor, sql, values=()):
        self.seen[sql] = None
        return self._dialect.execute(cursor, sql, values)

    def update(self, cursor, sql, rows):
        self.seen[sql] = None
        if self._dialect.name == "sqlite" and sql.startswith("UPDATE"):
            self.seen[update_from(sql, 4)] = None
        return self._dialect.update(cursor, sql, rows)


@pytest.fixture
def statements(bench, tasks):
    """Return every statement of a scenario in which everything happens once."""
    recorder = Recorder(bench.database.dialect)
    bench.database = evolve(bench.database, dialect=recorder)
    bench.boot(Registry([*tasks.values(), narrow]))
    work(bench)
    look(bench)
    return [sql for sql in recorder.seen if not sql.startswith("INSERT")]


def work(bench):
    """Give every command, in every shape that changes its statements."""
    for name in ("noop", "failing", "tally", "again"):
        bench.put(name, task=name, tags=["x"], overlap="skip" if name == "noop" else "allow")
    for _ in range(3):
        for run in bench.claim_after(10):
            said = [KeepOutput(run.id, 0, 1, b"1"), KeepLog(run.id, 0, 1, "info", "a"), MarkStuck(run.id, "x")]
            bench.journal.apply(said)
            if run.task != "noop":
                bench.end(run, "failed" if run.task == "failing" else "succeeded", state=b"{}")
    bench.ask(StartInstances((Start("narrow", b"null"),) * 2))
    bench.end(bench.started[0])
    run = bench.start()
    bench.ask(RerunInstance(run.id))
    bench.ask(CancelInstance(run.id, None, "api"))
    for name, schedule, tag in product((None, "noop"), (None, "noop"), (None, "x")):
        bench.ask(CancelInstances(name, schedule, tag, None, "api"))
    bench.ask(StartInstances((Start("common", b"null"),) * 3))
    bench.clock.move(35)
    bench.boot()
    bench.claim()
    bench.ask(TriggerSchedule("noop", overlap="allow"))
    bench.ask(PauseSchedule("again", until=bench.clock.now() + SECOND))
    bench.claim_after(1)
    bench.ask(PauseSchedule("again"))
    bench.ask(ResumeSchedule("again"))
    (trigger,) = bench.rows("SELECT trigger FROM schedule WHERE id = 'again'")[0]
    bench.write("UPDATE schedule SET trigger = 'unreadable' WHERE id = 'again'")
    bench.claim_after(60)
    bench.write("UPDATE schedule SET trigger = ? WHERE id = 'again'", trigger)
    plan_ahead(bench)
    bench.ask(DeleteSchedule("noop", cancel_running=True))
    bench.put("noop")
    tell_others(bench)
    call(bench)
    clear_away(bench)
    bench.ask(StopNode())


def call(bench):
    """Make and revoke keys, and start under an idempotency key twice, and once more when that has been forgotten."""
    for command in (CreateToken("old", "viewer", "hash of the old"), RevokeToken("old")):
        bench.ask(command)
    bench.clock.move(1)
    for command in (CreateToken("a", "viewer", "hash"), RevokeToken("a")):
        bench.ask(OnBehalf(command, "ada"))
    start = StartInstances((Start("noop", b"null"),))
    for hours in (0, 0, 25):
        bench.clock.move(hours * 3600)
        bench.ask(OnBehalf(start, "ada", key=IdempotencyKey("id", "fingerprint", str)))


def tell_others(bench):
    """Make a webhook, have it told, and remove it."""
    hook = bench.ask(AddWebhook("https://example.org/", ("*",), ("noop",), "whsec_"))
    bench.ask(ChangeWebhook(hook.id, "https://example.org/", ("*",), (), "whsec_", enabled=False))
    hook = bench.ask(ChangeWebhook(hook.id, enabled=True))
    bench.ask(PlanDeliveries((Plan(hook.id, hook.position, hook.position + 1, ((1, b"{}"), (2, b"{}"), (3, b"{}"))),)))
    one, two, three = due_messages(bench.database, hook.id, bench.clock.now(), 50).messages
    bench.ask(EndDelivery(one.id, hook.id, bench.clock.now()))
    bench.ask(PostponeDelivery(two.id, hook.id, bench.clock.now(), "error", bench.clock.now() + 1))
    bench.ask(PostponeDelivery(three.id, hook.id, bench.clock.now(), "error", None))
    bench.ask(RemoveWebhook(hook.id))


def plan_ahead(bench):
    """Queue, follow, skip, make up for, and look at the code again."""
    bench.put("line", overlap="queue", every="5s")
    bench.put("next", trigger={"after": "line", "on": "any"}, overlap="replace")
    bench.ask(SkipDue("line", count=1))
    bench.ask(UnskipDue("line"))
    runs = [*bench.claim_after(5), *bench.claim_after(5)]
    bench.end(next(run for run in runs if run.schedule == "line"))
    bench.ask(PlanChange(PatchSchedule("line", {"trigger": {"after": "noop"}})))
    bench.ask(BackfillSchedule("line", bench.clock.now() - 60 * SECOND, bench.clock.now()))
    bench.write("DELETE FROM known_task")
    bench.boot()


def clear_away(bench):
    """Look for history that may go, have some deleted, and check what is left."""
    bench.write("UPDATE schedule SET keep_for = 1 WHERE id = 'noop'")
    keep, now = Keep(age=SECOND, last=1, events=SECOND), bench.clock.now() + 90 * SECOND
    assert all(walk(bench.database, keep, now, None).prunes for walk in history.WALKS)
    bench.put("bare")
    bench.ask(DeleteSchedule("bare"))
    ended = [one.id for one in bench.instances(states=OUTCOMES)]
    boots, nobody = (bench.journal._node.boot,), (UUID(int=0),)
    gone = bench.ask(Prune(tuple(ended[-2:]), (1, 2), ("noop", "bare"), boots, (1, 2), nobody, nobody))
    assert (gone.instances, gone.schedules, gone.events) == (2, 1, 2)
    for walk in invariants.WALKS:
        invariants.check_slice(bench.database, walk)


def look(bench):
    """Ask every question, with every filter that changes its statement."""
    database = bench.database
    run = bench.start()
    filters = product((None, "noop"), (None, "s"), ((), ("running",), OUTCOMES), (None, "x"), (None, 1))
    for name, schedule, states, tag, since in filters:
        list_instances(database, Filter(name, schedule, states, tag, since, None), 50, None)
    for name, state, tag in product((None, "noop"), (None, "active"), (None, "x")):
        list_schedules(database, task=name, state=state, tag=tag, limit=50, cursor=None)
    for name, schedule, since in product((None, "noop"), (None, "s"), (None, 1)):
        stats(database, task=name, schedule=schedule, since=since)
    ledger(database, "noop", 50, None)
    for question in (list_outputs, list_log):
        question(database, run.id, 50, None)
    get_whole(database, [run.id])
    get_whole(database, [run.id], most=0)
    get_whole(database, [run.id, bench.start().id])
    unfinished(database)
    list_nodes(database)
    count_schedules(database)
    list_tokens(database, 50, None)
    standing_tokens(database)
    for by, action, schedule, since in product((None, "ada"), (None, "token.create"), (None, "s"), (None, 1)):
        list_audit(database, AuditFilter(by, action, schedule, since, None), 50, None)
    has_schedule(database, "noop")
    upcoming_of(database, "noop", 50)
    upcoming_of_all(database, 50, None)
    explain(database, "noop", None, bench.clock.now())
    last_event(database)
    for types, schedule, instance in product(((), ("a.b", "c.*")), (None, "noop"), (None, run.id)):
        read_events(database, Wanted(types, schedule, instance), 0, 50, checked=True)
    hook = bench.ask(AddWebhook("https://example.org/", ("*",), (), "whsec_"))
    get_webhook(database, hook.id)
    list_webhooks(database, 50, None)
    active_webhooks(database)


def is_bounded(sql):
    return any(sql.startswith(known) or f" {known} " in sql for known in BOUNDED)


def is_merge(sql):
    return " UNION ALL " in sql


def explained_by_sqlite(bench, sql):
    """Return what is wrong with the plan of a statement."""
    lines = [row[3] for row in bench.rows(f"EXPLAIN QUERY PLAN {sql}", *[None] * sql.count("?"))]
    scans = [line for line in lines if re.match(rf"SCAN ({'|'.join(GROWING)}|[a-z])\b", line) and not is_part(line)]
    sorts = [] if is_merge(sql) else [line for line in lines if "TEMP B-TREE" in line]
    return scans + sorts


def is_part(line):
    """Tell whether a scan is of a part of a merge, which is no longer than the page."""
    return line in ("SCAN b", "SCAN latest", "SCAN r")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_sqlite_reads_by_index_only(bench, statements):
    wrong = {sql: explained_by_sqlite(bench, sql) for sql in statements if not is_bounded(sql)}

    assert {sql: lines for sql, lines in wrong.items() if lines} == {}
    assert len(statements) > 60


FILL = """
INSERT INTO schedule SELECT 's' || n, 'task' || mod(n, 7), '{}', '{}', 'skip', 'latest', 0, 0, NULL, '[]', 'active',
    NULL, 1, n, n, n, n + 1000000, n + 1000000 FROM generate_series(1, 3000) n;
INSERT INTO instance SELECT gen_random_uuid(), 'task' || mod(n, 7), 's' || mod(n, 3000) + 1, n, 1, 'schedule',
    CASE WHEN mod(n, 100) = 0 THEN 'running' WHEN mod(n, 50) = 1 THEN 'queued'
        WHEN mod(n, 10) = 0 THEN 'failed' ELSE 'succeeded' END,
    '{}', NULL, '[]', 'n', gen_random_uuid(), NULL, CASE WHEN mod(n, 100) = 1 THEN n END,
    CASE WHEN mod(n, 9) = 0 THEN 'key' || mod(n, 90) END, n FROM generate_series(1, 8000) n;
INSERT INTO omission (schedule, fate, reason, first_due, last_due, count)
    SELECT 's' || mod(n, 3000) + 1, 'skipped', 'overlap', n, n, 1 FROM generate_series(1, 6000) n;
INSERT INTO schedule_tag SELECT 'tag' || mod(n, 5), 's' || n FROM generate_series(1, 3000) n;
INSERT INTO instance_tag SELECT 'tag' || mod(row_number() OVER (), 5), id FROM instance;
INSERT INTO output SELECT id, n, 1, '1' FROM instance, generate_series(10, 11) n;
INSERT INTO log SELECT id, n, 1, 'info', '1' FROM instance, generate_series(10, 11) n;
INSERT INTO event (at, type, data) SELECT n, 'a.b', '{}' FROM generate_series(1, 6000) n;
INSERT INTO webhook SELECT gen_random_uuid(), 'u', '[]', '[]', 's', 'active', NULL, 0, n, n
    FROM generate_series(1, 100) n;
INSERT INTO delivery SELECT gen_random_uuid(), w.id, n, '{}', 0, n, n FROM webhook w, generate_series(1, 50) n;
INSERT INTO task_state SELECT 'key' || n, '{}', 1, gen_random_uuid(), n FROM generate_series(1, 2000) n;
INSERT INTO idempotency SELECT 'id' || n, 'f', 'a', n FROM generate_series(1, 4000) n;
INSERT INTO audit SELECT gen_random_uuid(), n, 'caller' || mod(n, 9), 'action' || mod(n, 9), 's' || mod(n, 3000) + 1,
    NULL, '{}' FROM generate_series(1, 8000) n;
INSERT INTO event (at, type, data) SELECT n, 'instance.ended', '{}' FROM generate_series(1, 8000) n;
"""


def explained_by_postgres(bench, sql):
    """Return what is wrong with the plan of a statement, with whatever parameters (a generic plan)."""
    numbers = iter(range(1, 1000))
    text = re.sub(r"\?", lambda _: f"${next(numbers)}", sql)
    (plan,) = bench.rows(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {text}")[0]
    plan = json.loads(plan) if isinstance(plan, str) else plan
    return list(faults(plan[0]["Plan"], limited=False, may_sort=is_merge(sql) or is_choice(sql)))


def is_choice(sql):
    """Tell whether PostgreSQL may choose by its statistics to sort the few rows of what is rarer."""
    return "_tag t JOIN" in sql or "state = 'queued'" in sql or "caller = ? AND action" in sql


def faults(node, *, limited, may_sort):
    """Yield scans of whole tables and sorts without bound; below a limit, a walk along an index is no scan."""
    kind, of = node["Node Type"], node.get("Relation Name")
    bound = "Index Cond" in node or limited
    if of in GROWING and (kind == "Seq Scan" or (kind.startswith("Index") and not bound)):
        yield f"{kind} of {of} by {node.get('Index Name')}: {node.get('Filter')}"
    if "Sort" in kind and not may_sort:
        yield f"{kind} by {node['Sort Key']}"
    below = kind == "Limit" or (limited and kind in ("Nested Loop", "Result", "LockRows", "Subquery Scan"))
    for child in node.get("Plans", ()):
        yield from faults(child, limited=below, may_sort=may_sort)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_postgres_reads_by_index_only(bench, statements):
    for statement in FILL.split(";\n")[:-1]:
        bench.write(statement)
    bench.write("ANALYZE")
    wrong = {sql: explained_by_postgres(bench, sql) for sql in statements if not is_bounded(sql)}

    assert {sql: lines for sql, lines in wrong.items() if lines} == {}
    assert len(statements) > 60
