"""How long events, boots, the audit and revoked keys stay, on both databases."""

from callsheet.instants import DAY, SECOND
from storage.journal.commands import CreateToken, OnBehalf, Prune, RevokeToken, Start, StartInstances
from storage.journal.facts import Pruned
from storage.journal.hook_commands import AddWebhook, ChangeWebhook, Plan, PlanDeliveries
from storage.queries.audit import AuditFilter, list_audit
from storage.queries.history import HEAVY
from storage.queries.nodes import list_nodes
from storage.queries.tokens import list_tokens, standing_tokens
from tests.storage.sweeping import sweep


def test_events_go_from_the_oldest_on(bench):
    bench.end(bench.start())
    bench.clock.move(100)
    bench.end(bench.start())
    young = bench.rows("SELECT id FROM event WHERE at >= ?", bench.clock.now())

    gone = sweep(bench, events=50)

    assert gone.events >= 2
    assert bench.rows("SELECT id FROM event") == young


def test_events_go_without_a_hole_though_the_clock_was_ahead_for_a_while(bench):
    bench.end(bench.start())
    bench.write("UPDATE event SET at = at + ? WHERE id = (SELECT min(id) FROM event)", DAY)
    bench.clock.move(100)
    bench.end(bench.start())
    young = bench.rows("SELECT id FROM event WHERE at = ?", bench.clock.now())

    sweep(bench, events=50)

    assert bench.rows("SELECT id FROM event") == young


def test_no_event_goes_before_every_active_webhook_has_looked_at_it(bench):
    hooks = [bench.ask(AddWebhook("https://example.org/", ("*",), (), "whsec_")) for _ in range(3)]
    bench.end(bench.start())
    bench.clock.move(100)
    events = [row[0] for row in bench.rows("SELECT id FROM event ORDER BY id")]
    bench.ask(PlanDeliveries((Plan(hooks[0].id, hooks[0].position, events[-1], ()),)))
    bench.ask(PlanDeliveries((Plan(hooks[1].id, hooks[1].position, events[-2], ()),)))
    bench.ask(Prune(events=(events[0], events[-1])))
    assert [row[0] for row in bench.rows("SELECT id FROM event ORDER BY id")] == [
        one for one in events if one > hooks[2].position
    ]

    bench.ask(ChangeWebhook(hooks[2].id, enabled=False))  # it hears of nothing any more
    sweep(bench, events=50)

    assert bench.rows("SELECT min(id) FROM event") == [(events[-1],)]


def test_boots_that_are_long_over_go_and_ours_stays(bench):
    bench.clock.move(100)
    bench.end(bench.start())  # the first boot was last seen then
    bench.boot()

    assert sweep(bench, age=50) == Pruned()
    bench.clock.move(100)
    assert sweep(bench, age=50).nodes == 1
    (ours,) = list_nodes(bench.database).items
    assert ours.boot == bench.instance(bench.start().id).boot


def test_the_audit_goes_by_age_as_instances_do(bench):
    for name in ("a", "b"):
        bench.ask(OnBehalf(CreateToken(name, "viewer", f"hash of {name}"), "ada"))
        bench.clock.move(100)

    assert sweep(bench, last=1).audit == 0
    assert sweep(bench, age=150).audit == 1
    (kept,) = list_audit(bench.database, AuditFilter(), 10, None).items
    assert "hash" not in kept.data
    assert '"b"' in kept.data
    assert len(standing_tokens(bench.database)) == 2


def test_the_audit_goes_page_by_page(bench):
    bench.journal.apply([OnBehalf(StartInstances((Start("noop", b"null"),)), "ada")] * (HEAVY + 1))
    bench.clock.move(100)

    assert sweep(bench, age=50).audit == HEAVY + 1


def test_a_revoked_key_goes_after_all_that_the_audit_says_of_its_time_and_an_expired_one_stays(bench):
    soon = bench.clock.now() + 10 * SECOND
    for name, expires in (("ada", None), ("bob", soon), ("cy", None)):
        bench.ask(OnBehalf(CreateToken(name, "viewer", f"hash of {name}", expires), "cli"))
    bench.clock.move(100)
    bench.ask(OnBehalf(RevokeToken("ada"), "cli"))
    revoked, *_ = [row[0] for row in bench.rows("SELECT id FROM token WHERE revoked_at IS NOT NULL")]
    standing = [row[0] for row in bench.rows("SELECT id FROM token WHERE revoked_at IS NULL")]
    assert bench.ask(Prune(tokens=(revoked, *standing))) == Pruned()  # the audit still has its revocation

    bench.clock.move(200)
    assert sweep(bench) == Pruned()
    assert sweep(bench, age=201) == Pruned(audit=3)
    bench.clock.move(2)
    assert sweep(bench, age=201) == Pruned(audit=1)
    assert sweep(bench, age=201) == Pruned(tokens=1)
    assert [one.name for one in list_tokens(bench.database, 10, None).items] == ["cy", "bob"]
    assert len(standing_tokens(bench.database)) == 2


def test_the_name_of_a_key_that_is_gone_is_free_for_another(bench):
    for name in ("one", "two"):
        bench.ask(CreateToken("ada", "viewer", f"hash of {name}"))
        bench.ask(RevokeToken("ada"))
        bench.clock.move(100)

    assert sweep(bench, age=100).tokens == 2
    assert bench.ask(CreateToken("ada", "admin", "hash of three")).name == "ada"
