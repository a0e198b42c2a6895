"""How retention goes about it: page by page, in small orders, and beside others who change the same rows."""

from uuid import UUID

import pytest

from callsheet.errors import Unknown
from callsheet.instants import SECOND
from callsheet.retention import Keep
from storage.journal.commands import CancelInstance, KeepLog, KeepOutput, Prune, RerunInstance, Start, StartInstances
from storage.journal.facts import Pruned
from storage.queries import history
from storage.queries.history import HEAVY
from storage.queries.instances import Filter, list_instances
from storage.queries.ledger import ledger
from tests.storage.sweeping import find, run


def test_no_order_deletes_more_than_a_few_hundred_rows(bench):
    chatty, quiet = bench.start(), [bench.start() for _ in range(5)]
    bench.journal.apply([KeepOutput(chatty.id, n, 1, b"1") for n in range(HEAVY)])
    bench.journal.apply([KeepLog(quiet[0].id, n, 1, "info", "x") for n in range(HEAVY - 2)])
    for one in (chatty, *quiet):
        bench.end(one)
    bench.clock.move(10)

    orders = find(bench, Keep(age=SECOND))

    assert [len(order.instances) for order in orders] == [1, 2, 3]
    assert [bench.ask(order).instances for order in orders] == [1, 2, 3]


def test_a_walk_looks_at_a_page_at_a_time_and_goes_on_where_it_stood(bench, monkeypatch):
    monkeypatch.setattr(history, "PAGE", 3)
    bench.put()
    for _ in range(8):
        run(bench)
    bench.clock.move(100)
    keep = Keep(age=SECOND)

    first = history.old_instances(bench.database, keep, bench.clock.now(), None)
    second = history.old_instances(bench.database, keep, bench.clock.now(), first.next)
    third = history.old_instances(bench.database, keep, bench.clock.now(), second.next)

    found = [sum(len(order.instances) for order in page.prunes) for page in (first, second, third)]
    assert found == [3, 3, 1]
    assert third.next is None


def test_more_than_a_page_of_one_schedule_goes_in_several_steps(bench, monkeypatch):
    monkeypatch.setattr(history, "PAGE", 3)
    bench.put("a")
    bench.put("b")
    for _ in range(10):
        for one in bench.claim_after(10):
            bench.end(one)
    keep, steps, after, found = Keep(last=2), 0, None, None
    while found is None or after is not None:
        found = history.of_schedules(bench.database, keep, bench.clock.now(), after)
        for order in found.prunes:
            bench.ask(order)
        after, steps = found.next, steps + 1

    assert steps > 4
    assert [len(bench.ledger(slug)) for slug in ("a", "b")] == [2, 2]


def test_a_page_of_a_list_goes_on_though_its_last_row_was_pruned(bench):
    bench.put()
    runs = [run(bench) for _ in range(6)]
    newest = list_instances(bench.database, Filter(), 2, None)
    account = ledger(bench.database, "s", 2, None)
    bench.ask(Prune(instances=(runs[4].id, runs[3].id)))

    rest = list_instances(bench.database, Filter(), 2, newest.next)
    assert [one.id for one in rest.items] == [runs[2].id, runs[1].id]
    assert [one.instance for one in ledger(bench.database, "s", 2, account.next).items] == [runs[2].id, runs[1].id]


@pytest.mark.parametrize("command", [RerunInstance, lambda instance: CancelInstance(instance, None, "api")])
def test_what_was_pruned_in_the_same_transaction_is_unknown(bench, command):
    run = bench.start()
    bench.end(run)

    pruned, refused = bench.journal.apply([Prune(instances=(run.id,)), command(run.id)]).verdicts

    assert pruned.answer == Pruned(instances=1)
    assert isinstance(refused.error, Unknown)


def test_a_rerun_in_the_same_transaction_keeps_what_it_repeats(bench):
    run = bench.start()
    bench.end(run)

    again, pruned = bench.journal.apply([RerunInstance(run.id), Prune(instances=(run.id,))]).verdicts

    assert isinstance(again.answer, UUID)
    assert pruned.answer == Pruned()


def test_a_line_of_log_that_comes_after_its_instance_is_gone_harms_nobody(bench):
    run = bench.start()
    bench.end(run)
    bench.ask(Prune(instances=(run.id,)))

    late, other = bench.journal.apply(
        [KeepLog(run.id, 0, 1, "info", "x"), StartInstances((Start("noop", b"null"),))]
    ).verdicts

    assert late.error is not None
    assert other.error is None
