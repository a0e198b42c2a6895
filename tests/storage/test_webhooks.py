"""Webhooks in the journal: what is on its way is written down with how far events were looked at."""

import pytest

from callsheet.errors import Refused, Unknown
from callsheet.instants import SECOND
from storage.journal.commands import KeepEvent
from storage.journal.facts import NodeSaid
from storage.journal.hook_commands import (
    AddWebhook,
    ChangeWebhook,
    EndDelivery,
    Plan,
    PlanDeliveries,
    PostponeDelivery,
    RemoveWebhook,
)
from storage.queries.events import last_event
from storage.queries.webhooks import active_webhooks, due_messages, get_webhook

DAY = 24 * 3600 * SECOND


@pytest.fixture
def hook(bench):
    """Return a webhook that is told of everything."""
    bench.boot()
    return bench.ask(AddWebhook("https://example.org/", ("*",), (), "whsec_x"))


def plan(bench, hook, *events, upto=100):
    """Have messages written down; return all that are due."""
    messages = tuple((event, b"{}") for event in events)
    bench.ask(PlanDeliveries((Plan(hook.id, hook.position, upto, messages),)))
    return due(bench, hook)


def due(bench, hook):
    return due_messages(bench.database, hook.id, bench.clock.now(), 50).messages


def told(bench, command):
    """Return the types of the events that a command leaves."""
    applied = bench.journal.apply([command])
    return [fact.type for fact in applied.facts if isinstance(fact, NodeSaid)]


def test_a_webhook_hears_of_what_comes_after_it(bench, hook):
    assert hook.position == last_event(bench.database)
    assert active_webhooks(bench.database) == [hook]


def test_the_same_events_are_never_planned_twice(bench, hook):
    assert len(plan(bench, hook, 5, 6)) == 2
    assert len(plan(bench, hook, 5, 6)) == 2  # from the same position: as after a crash before the answer
    assert get_webhook(bench.database, hook.id).position == 100


def test_a_delivered_message_is_forgotten(bench, hook):
    one, two = plan(bench, hook, 5, 6)
    bench.ask(EndDelivery(one.id, hook.id, bench.clock.now()))

    found = get_webhook(bench.database, hook.id)
    assert (found.pending, found.delivered_at) == (1, bench.clock.now())
    assert [left.id for left in due(bench, hook)] == [two.id]


def test_a_postponed_message_waits_for_its_time(bench, hook):
    (one,) = plan(bench, hook, 5)
    bench.ask(PostponeDelivery(one.id, hook.id, bench.clock.now(), "no", bench.clock.now() + SECOND))
    waits = due_messages(bench.database, hook.id, bench.clock.now(), 50)
    bench.clock.move(1)

    assert (waits.messages, waits.next_at) == ([], bench.clock.now())
    assert [(left.id, left.attempts) for left in due(bench, hook)] == [(one.id, 1)]


def test_giving_up_disables_only_what_has_not_delivered_since(bench, hook):
    one, two, three = plan(bench, hook, 5, 6, 7)
    bench.clock.move(DAY / SECOND)
    bench.ask(EndDelivery(one.id, hook.id, bench.clock.now()))

    assert told(bench, PostponeDelivery(two.id, hook.id, bench.clock.now(), "no", None)) == ["webhook.gave_up"]
    assert get_webhook(bench.database, hook.id).state == "active"
    bench.write("UPDATE webhook SET delivered_at = NULL")
    gave_up = PostponeDelivery(three.id, hook.id, bench.clock.now(), "no", None)
    assert told(bench, gave_up) == ["webhook.gave_up", "webhook.disabled"]
    assert told(bench, gave_up) == []  # there is nothing left to give up


def test_a_disabled_webhook_is_planned_nothing_and_begins_anew_when_enabled(bench, hook):
    assert told(bench, ChangeWebhook(hook.id, enabled=False)) == ["webhook.disabled"]
    assert plan(bench, hook, 5) == []
    bench.ask(KeepEvent("clock.jumped", b"{}"))
    enabled = bench.ask(ChangeWebhook(hook.id, enabled=True))

    assert enabled.position == last_event(bench.database) > hook.position
    assert (enabled.state, enabled.state_reason) == ("active", None)


def test_what_is_changed_is_changed_and_nothing_else(bench, hook):
    bench.clock.move(1)
    changed = bench.ask(ChangeWebhook(hook.id, url="https://example.com/", schedules=("s",)))

    assert (changed.url, changed.schedules, changed.updated_at) == ("https://example.com/", ("s",), bench.clock.now())
    assert (changed.events, changed.secret, changed.position) == (hook.events, hook.secret, hook.position)


def test_a_removed_webhook_takes_its_messages_along(bench, hook):
    (one,) = plan(bench, hook, 5)
    bench.ask(RemoveWebhook(hook.id))
    bench.ask(PostponeDelivery(one.id, hook.id, bench.clock.now(), "no", None))

    assert bench.rows("SELECT count(*) FROM delivery") == [(0,)]
    for command in (RemoveWebhook(hook.id), ChangeWebhook(hook.id, enabled=True)):
        with pytest.raises(Unknown):
            bench.ask(command)


def test_there_are_a_hundred_webhooks_at_most(bench, hook):
    for _ in range(99):
        bench.ask(AddWebhook("https://example.org/", ("*",), (), "whsec_x"))
    with pytest.raises(Refused):
        bench.ask(AddWebhook("https://example.org/", ("*",), (), "whsec_x"))
