"""The event table as a log: read forward, by window, and never with a gap that nobody is told of."""

import pytest

from storage.journal.commands import KeepEvent
from storage.queries.events import EventsGone, Wanted, extent, last_event, read_events


@pytest.fixture
def say(bench):
    """Return a function that writes an event for each type given."""
    bench.boot()
    bench.write("DELETE FROM event")

    def say(*types):
        for kind in types:
            bench.ask(KeepEvent(kind, b"{}"))

    return say


def types(page):
    return [event.type for event in page.items]


def test_events_are_read_forward(bench, say):
    say("a.a", "a.b", "b.a")
    first = read_events(bench.database, Wanted(), 0, 2)
    second = read_events(bench.database, Wanted(), first.upto, 2)

    assert (types(first), first.more) == (["a.a", "a.b"], True)
    assert (types(second), second.more) == (["b.a"], False)
    assert second.upto == last_event(bench.database)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(("a.*",)), ["a.a", "a.b"]),
        (Wanted(("a.b", "b.*")), ["a.b", "b.a"]),
        (Wanted(("a.b",)), ["a.b"]),
        (Wanted(schedule="nobody"), []),
    ],
)
def test_the_database_and_the_stream_filter_alike(bench, say, wanted, found):
    say("a.a", "a.b", "b.a", "ab.a")
    page = read_events(bench.database, wanted, 0, 50)
    everything = read_events(bench.database, Wanted(), 0, 50)

    assert types(page) == found
    assert [event.type for event in everything.items if wanted.takes(event)] == found


def test_a_window_bounds_what_is_looked_through(bench, say, monkeypatch):
    monkeypatch.setattr("storage.queries.events.WINDOW", 2)
    say("a.a", "a.a", "a.a", "b.a")

    pages, after = [], 0
    while not pages or pages[-1].more:
        pages.append(read_events(bench.database, Wanted(("b.a",)), after, 50))
        after = pages[-1].upto

    assert [types(page) for page in pages] == [[], ["b.a"]]


def test_only_what_is_missing_is_gone(bench, say):
    say(*["a.a"] * 5)
    last = last_event(bench.database)
    bench.write("DELETE FROM event WHERE id <= ?", last - 2)

    for after in (0, last - 2, last - 1, last):
        read_events(bench.database, Wanted(), after, 50, checked=True)
    for after in (1, last - 3, last + 1):
        with pytest.raises(EventsGone):
            read_events(bench.database, Wanted(), after, 50, checked=True)


def test_an_empty_table_remembers_how_far_it_had_come(bench, say):
    assert extent(bench.database).highest > 0  # what the boot wrote is removed
    say("a.a")
    last = last_event(bench.database)
    bench.write("DELETE FROM event")

    assert last_event(bench.database) == 0
    read_events(bench.database, Wanted(), last, 50, checked=True)
    with pytest.raises(EventsGone):
        read_events(bench.database, Wanted(), last - 1, 50, checked=True)
