"""What must hold in the database at any moment, each rule one SELECT, so that it sees one moment only.

The service walks through all of it a slice at a time, by key, reading as much as the slice and its indexes need;
`check_all` looks at everything.
"""

from typing import Any
from uuid import UUID

from attrs import frozen

from callsheet.lifecycle import INSTANCE_STATES
from storage.database import Database
from storage.journal.facts import instance_uri
from storage.queries.reading import read, rows

SLICE = 1000  # rows of one table


@frozen
class Violation:
    """One thing that is not as it must be."""

    kind: str
    schedule: str | None
    instance: UUID | None
    sentence: str


@frozen
class Rule:
    """One rule: its kind; a sentence, in which `{who}` is what it is about and `{what}` what else the query gives.

    The query looks at the rows of a slice, `{page}`, and gives schedule, instance and `what` of those that break it.
    """

    kind: str
    sentence: str
    sql: str


@frozen
class Walk:
    """The rules that look at the rows of one table, and its slices: above a key, and up to a limit."""

    name: str
    key: str
    first: Any
    page: str
    rules: tuple[Rule, ...]


# Scalar subqueries throughout: PostgreSQL would turn EXISTS into joins over whole tables.
_INSTANCE = (
    "(SELECT id, schedule, state, due_at, attempt, node, boot, start_after, state_key, waits_for, queued_at, "
    "started_at, finished_at FROM instance WHERE {where}id > ? ORDER BY id LIMIT ?) page"
)
_ANY, _RUNNING, _QUEUED = (_INSTANCE.format(where=w) for w in ("", "state = 'running' AND ", "state = 'queued' AND "))
_SCHEDULE = "(SELECT id, next_due, last_due FROM schedule WHERE id > ? ORDER BY id LIMIT ?) page"
_OMISSION = "(SELECT id, schedule, first_due, last_due, count FROM omission WHERE id > ? ORDER BY id LIMIT ?) page"
_STATE = "(SELECT key, instance FROM task_state WHERE key > ? ORDER BY key LIMIT ?) page"

_OF_SCHEDULES = (
    Rule(
        "due_backwards",
        "{who} has its next due time at or before its last.",
        "SELECT id, NULL, NULL FROM {page} WHERE next_due <= last_due",
    ),
    Rule(
        "ledger_ahead",
        "{who} has a due time in its ledger that is later than its last.",
        "SELECT id, NULL, NULL FROM {page} WHERE "
        "(SELECT max(i.due_at) FROM instance i WHERE i.schedule = page.id AND i.due_at IS NOT NULL) "
        "> coalesce(last_due, -1) OR "
        "(SELECT max(o.last_due) FROM omission o WHERE o.schedule = page.id) > coalesce(page.last_due, -1)",
    ),
)
_OF_OMISSIONS = (
    Rule(
        "due_twice",
        "{who} has a run and an omission (row {what}) of the same due time.",
        "SELECT schedule, NULL, id FROM {page} WHERE (SELECT 1 FROM instance i WHERE i.schedule = page.schedule "
        "AND i.due_at >= page.first_due AND i.due_at <= page.last_due LIMIT 1) = 1",
    ),
    Rule(
        "due_twice",
        "{who} has two omissions (one is row {what}) of the same due time.",
        "SELECT schedule, NULL, id FROM {page} WHERE (SELECT 1 FROM omission o WHERE o.schedule = page.schedule "
        "AND o.last_due >= page.first_due AND o.last_due < page.last_due LIMIT 1) = 1",
    ),
    Rule(
        "omission_empty",
        "{who} has an omission (row {what}) that ends before it begins, or is of no due time.",
        "SELECT schedule, NULL, id FROM {page} WHERE first_due > last_due OR count < 1",
    ),
)
_OF_INSTANCES = (
    Rule(
        "end_unclear",
        "{who} is {what}, and its times do not agree.",
        "SELECT schedule, id, state FROM {page} WHERE (finished_at IS NULL) <> (state IN ('queued', 'running')) "
        "OR (state IN ('running', 'succeeded', 'failed', 'timed_out', 'interrupted') AND started_at IS NULL)",
    ),
    Rule(
        "state_unknown",
        "{who} is {what}, which is no state.",
        f"SELECT schedule, id, state FROM {{page}} WHERE state NOT IN ({', '.join(map(repr, INSTANCE_STATES))})",
    ),
)
_OF_RUNNING = (
    # of due times only, as a start by hand may be told to overlap; and so may the schedule have been, before a change
    Rule(
        "overlap",
        "{who} was started while another run of its schedule went on.",
        "SELECT schedule, id, NULL FROM {page} WHERE due_at IS NOT NULL AND attempt = 1 AND (SELECT 1 FROM schedule s "
        "WHERE s.id = page.schedule AND s.overlap <> 'allow' AND s.updated_at < page.queued_at) = 1 AND "
        "(SELECT 1 FROM instance i WHERE i.schedule = page.schedule AND i.state = 'running' AND "
        "i.due_at IS NOT NULL AND i.id < page.id LIMIT 1) = 1",
    ),
    Rule(
        "state_shared",
        "{who} runs beside another run that uses the same state.",
        "SELECT schedule, id, NULL FROM {page} WHERE (SELECT 1 FROM instance i "
        "WHERE i.state_key = page.state_key AND i.state = 'running' AND i.id < page.id LIMIT 1) = 1",
    ),
    Rule(
        "process_gone",
        "{who} is said to run in a process that is gone.",
        "SELECT schedule, id, NULL FROM {page} WHERE "
        "(SELECT 1 FROM node n WHERE n.boot = page.boot AND n.last_batch >= 0) IS NULL",
    ),
)
_OF_QUEUED = (
    Rule(
        "waits_for_nothing",
        "{who} is queued, and nothing will let it begin.",
        "SELECT schedule, id, NULL FROM {page} WHERE start_after IS NULL AND waits_for IS NULL",
    ),
)
_OF_STATES = (
    Rule(
        "state_without_success",
        "{who} wrote the state {what!r}, and did not succeed.",
        "SELECT NULL, instance, key FROM {page} WHERE "
        "(SELECT i.state FROM instance i WHERE i.id = page.instance) <> 'succeeded'",
    ),
)
_NO_ID = UUID(int=0)
WALKS = (
    Walk("schedules", "id", "", _SCHEDULE, _OF_SCHEDULES),
    Walk("omissions", "id", 0, _OMISSION, _OF_OMISSIONS),
    Walk("instances", "id", _NO_ID, _ANY, _OF_INSTANCES),
    Walk("running", "id", _NO_ID, _RUNNING, _OF_RUNNING),
    Walk("queued", "id", _NO_ID, _QUEUED, _OF_QUEUED),
    Walk("states", "key", "", _STATE, _OF_STATES),
)

KINDS = tuple(dict.fromkeys(rule.kind for walk in WALKS for rule in walk.rules))
"""What can be found broken."""

# The state of a task has as many versions as runs succeeded, of which retention may have taken some. Those of a
# schedule that was created again count from then on; its runs of before are older than its own row.
_SAVES = (
    "SELECT t.key, t.version, count(*) FROM task_state t JOIN instance i ON i.state_key = t.key "
    "WHERE i.state = 'succeeded' AND i.queued_at >= coalesce((SELECT s.created_at FROM schedule s "
    "WHERE s.id = i.schedule AND t.key <> i.task), 0) GROUP BY t.key, t.version HAVING count(*) > t.version"
)
_LOST_SAVE = "The state {key!r} has version {version}, though {runs} runs succeeded with it."


@frozen
class Slice:
    """What is wrong in a slice, how many rows it has, and after which key the next begins; None: it was the last."""

    violations: tuple[Violation, ...]
    rows: int
    next: Any | None


def check_slice(database: Database, walk: Walk, after: Any | None = None, limit: int = SLICE) -> Slice:
    """Look at the next rows of a walk, from its beginning if `after` is None."""
    first = walk.first if after is None else after

    def query(db: Database) -> Slice:
        wrong = [
            _violation(db, rule, row)
            for rule in walk.rules
            for row in rows(db, rule.sql.format(page=walk.page), first, limit)
        ]
        keys = rows(db, f"SELECT {walk.key} FROM {walk.page}", first, limit)
        return Slice(tuple(wrong), len(keys), keys[-1][0] if len(keys) == limit else None)

    return read(database, query)


def check_all(database: Database) -> list[Violation]:
    """Look at everything, however long that takes."""
    found: list[Violation] = []
    for walk in WALKS:
        after: Any | None = None
        while True:
            part = check_slice(database, walk, after)
            found += part.violations
            after = part.next
            if after is None:
                break
    return found + read(database, _lost_saves)


def _lost_saves(database: Database) -> list[Violation]:
    return [
        Violation("save_lost", None, None, _LOST_SAVE.format(key=key, version=version, runs=runs))
        for key, version, runs in rows(database, _SAVES)
    ]


def _violation(database: Database, rule: Rule, row: Any) -> Violation:
    schedule, instance = row[0], database.dialect.uuid(row[1])
    who = f"The schedule {schedule!r}" if instance is None else instance_uri(instance)
    return Violation(rule.kind, schedule, instance, rule.sentence.format(who=who, what=row[2]))
