"""Retention, as its tests ask for it."""

from callsheet.instants import SECOND
from callsheet.retention import Keep
from storage.journal.facts import Pruned
from storage.queries.history import WALKS


def find(bench, keep):
    """Return what all walks find to go now."""
    found = []
    for walk in WALKS:
        after = None
        while True:
            page = walk(bench.database, keep, bench.clock.now(), after)
            found += page.prunes
            after = page.next
            if after is None:
                break
    return found


def sweep(bench, **keep):
    """Delete what may go now; `keep` in seconds, but `last`."""
    kept = Keep(**{name: value if name == "last" else round(value * SECOND) for name, value in keep.items()})
    gone = Pruned()
    for prune in find(bench, kept):
        gone += bench.ask(prune)
    return gone


def run(bench, seconds=10.0):
    """Let time pass and end what is due then at once."""
    (started,) = bench.claim_after(seconds)
    bench.end(started)
    return started
