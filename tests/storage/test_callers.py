"""What is asked on somebody's behalf: done once for each idempotency key, and never without its entry in the audit."""

import msgspec
import pytest

from callsheet.errors import KeyReused, Refused, Unknown
from callsheet.instants import DAY, SECOND
from storage.journal import audit, commands, hook_commands
from storage.journal.callers import MOST_PRUNED
from storage.journal.commands import (
    CreateToken,
    IdempotencyKey,
    Kept,
    OnBehalf,
    PatchSchedule,
    PutSchedule,
    RevokeToken,
    Start,
    StartInstances,
    TriggerSchedule,
)
from storage.journal.facts import TokenCreated, TokenRevoked
from storage.journal.journal import _HANDLERS
from storage.journal.tokens import apply_alone
from storage.queries.audit import AuditFilter, list_audit
from storage.queries.tokens import list_tokens, standing_tokens

START = StartInstances((Start("noop", b"null"),))
EVERY = {"task": "noop", "trigger": {"every": "10s"}}
# what the engine tells itself, and what changes nothing: nobody asks for it over HTTP
UNASKED = {
    "EndInstance", "KeepOutput", "KeepLog", "MarkStuck", "KeepEvent", "Claim", "PlanChange", "Recover", "Drain",
    "StopNode", "Prune", "PlanDeliveries", "EndDelivery", "PostponeDelivery",
}  # fmt: skip


def key(name="k", fingerprint="f"):
    return IdempotencyKey(name, fingerprint, lambda answer: f"kept {answer}")


def entries(bench, **wanted):
    """Return the audit, oldest first, as caller, action and details."""
    found = list_audit(bench.database, AuditFilter(**wanted), 200, None).items[::-1]
    return [(entry.by, entry.action, msgspec.json.decode(entry.data)) for entry in found]


def count(bench, table):
    return bench.rows(f"SELECT count(*) FROM {table}")[0][0]


def test_the_same_key_again_is_answered_and_not_done(bench):
    first = bench.ask(OnBehalf(START, "ada", "r1", key()))
    second = bench.ask(OnBehalf(START, "ada", "r2", key()))

    assert not first.replayed
    assert second == Kept(first.text, replayed=True)
    assert bench.facts == []
    assert count(bench, "instance") == 1
    assert entries(bench) == [("ada", "instance.start", {"task": "noop", "count": 1, "request": "r1"})]


def test_twins_in_one_batch_are_one(bench):
    applied = bench.journal.apply([OnBehalf(START, "ada", None, key())] * 3 + [OnBehalf(START, "bob")])

    assert [getattr(verdict.answer, "replayed", None) for verdict in applied.verdicts] == [False, True, True, None]
    assert count(bench, "instance") == 2
    assert [by for by, *_ in entries(bench)] == ["ada", "bob"]


def test_another_request_under_the_same_key_is_refused(bench):
    bench.ask(OnBehalf(START, "ada", None, key()))
    with pytest.raises(KeyReused):
        bench.ask(OnBehalf(START, "ada", None, key(fingerprint="other")))

    assert count(bench, "instance") == 1


def test_what_is_refused_leaves_neither_an_answer_nor_an_entry(bench):
    with pytest.raises(Unknown):
        bench.ask(OnBehalf(TriggerSchedule("nobody"), "ada", None, key()))

    assert (count(bench, "idempotency"), count(bench, "audit")) == (0, 0)
    assert bench.ask(OnBehalf(START, "ada", None, key())).text.startswith("kept ")


def test_a_change_whose_answer_cannot_be_kept_is_not_made(bench):
    """The change, its entry and its answer are one transaction: here the last of the three fails."""

    def fail(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        bench.ask(OnBehalf(START, "ada", None, IdempotencyKey("k", "f", fail)))

    assert [count(bench, table) for table in ("instance", "idempotency", "audit", "event")] == [0, 0, 0, 1]


def test_a_key_is_forgotten_after_a_day_and_not_before(bench):
    bench.ask(OnBehalf(START, "ada", None, key()))
    bench.clock.move(DAY / SECOND - 1)
    assert bench.ask(OnBehalf(START, "ada", None, key())).replayed
    bench.clock.move(1)
    assert not bench.ask(OnBehalf(START, "ada", None, key())).replayed


def test_old_answers_are_taken_away_a_few_at_a_time(bench):
    for number in range(MOST_PRUNED * 2 + 5):
        bench.ask(OnBehalf(START, "ada", None, key(str(number))))
    bench.clock.move(2 * DAY / SECOND)
    left = []
    for number in range(4):
        bench.ask(OnBehalf(START, "ada", None, key(f"new {number}")))
        left.append(count(bench, "idempotency") - number - 1)

    assert left == [MOST_PRUNED + 5, 5, 0, 0]


def test_a_batch_has_one_entry_however_many_it_starts(bench):
    bench.ask(OnBehalf(StartInstances((Start("noop", b"null"),) * 500), "ada"))

    assert entries(bench) == [("ada", "instance.start", {"task": "noop", "count": 500})]


def test_changes_by_entity_and_by_statement_keep_their_order_in_a_batch(bench):
    put, patch = PutSchedule("s", EVERY), PatchSchedule("s", {"tags": ["x"]})
    batch = [OnBehalf(put, "a"), OnBehalf(START, "b"), OnBehalf(patch, "c"), OnBehalf(TriggerSchedule("s"), "d")]
    applied = bench.journal.apply(batch)

    assert not [verdict.error for verdict in applied.verdicts if verdict.error]
    assert [by for by, *_ in entries(bench)] == ["a", "b", "c", "d"]


def test_whoever_replaces_a_run_is_the_one_who_cancels_it(bench):
    bench.put("s")
    running = bench.ask(OnBehalf(TriggerSchedule("s"), "ada"))
    bench.ask(OnBehalf(TriggerSchedule("s", overlap="replace"), "bob"))

    assert bench.instance(running).cancel_by == "bob"
    bench.ask(TriggerSchedule("s", overlap="allow"))


def test_every_command_that_somebody_can_ask_for_has_an_action():
    known = {kind.__name__ for kind in _HANDLERS}
    parts = (audit.entry_of, audit._of_instances, audit._of_schedule, audit._of_webhook)
    named = {name for part in parts for name in part.__code__.co_names}
    commanded = {name for module in (commands, hook_commands) for name in named if hasattr(module, name)}

    assert known - UNASKED == {name for name in commanded if isinstance(getattr(audit, name, None), type)}


def test_tokens_are_made_and_revoked_by_name(bench):
    bench.ask(OnBehalf(CreateToken("ci", "operator", "hash 1", bench.clock.now() + SECOND), "ada"))
    (made,) = bench.facts
    assert isinstance(made, TokenCreated)
    assert b"hash" not in made.data()
    assert [(token.name, token.role, token.hash) for token in standing_tokens(bench.database)] == [
        ("ci", "operator", "hash 1")
    ]
    with pytest.raises(Refused, match="already"):
        bench.ask(CreateToken("ci", "viewer", "hash 2"))
    bench.ask(OnBehalf(RevokeToken("ci"), "bob"))
    assert bench.facts == [TokenRevoked(made.id, "ci")]
    assert standing_tokens(bench.database) == []
    with pytest.raises(Unknown):
        bench.ask(RevokeToken("ci"))
    bench.ask(CreateToken("ci", "viewer", "hash 3"))

    assert [token.state(bench.clock.now()) for token in list_tokens(bench.database, 9, None).items] == [
        "active", "revoked"
    ]  # fmt: skip
    told = [(by, action, data["token"]) for by, action, data in entries(bench)]
    assert told == [("ada", "token.create", "ci"), ("bob", "token.revoke", "ci")]


def test_a_token_made_while_no_service_runs_is_in_the_audit_and_the_events(bench):
    apply_alone(bench.database, CreateToken("ci", "admin", "hash"), bench.clock.now())

    assert [(by, action) for by, action, _ in entries(bench)] == [("cli", "token.create")]
    assert bench.rows("SELECT type FROM event ORDER BY id DESC LIMIT 1")[0][0] == "token.created"
