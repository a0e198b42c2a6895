"""Others that run the same no-ops: which they are, and how each is measured, in a process of its own environment."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from benchmarks.noops import Results, side
from benchmarks.plan import Plan
from benchmarks.processes import script
from benchmarks.table import Side


@frozen
class Peer:
    """A script of `peers/`, and the number of runs with which it takes a few seconds."""

    path: str
    runs: int
    setting: str | None = None
    apscheduler4: bool = False

    def python(self, plan: Plan) -> Path | None:
        """Return the Python of its environment; None when there is none here."""
        return plan.apscheduler4 if self.apscheduler4 else plan.peers


ON_SQLITE = (
    Peer("with_huey.py", 5_000),
    Peer("with_dbos.py", 1_000, "threads"),
    Peer("with_apscheduler4.py", 500, "aiosqlite-ten", apscheduler4=True),
    Peer("with_apscheduler3.py", 2_000),
)
ON_POSTGRES = (
    Peer("with_pgqueuer.py", 20_000),
    Peer("with_procrastinate.py", 2_000),
    Peer("with_dbos.py", 2_000, "threads"),
)


def run(plan: Plan, peer: Peer, url: str | None = None) -> dict[str, Any]:
    """Run a peer once, in a file of its own or in the database of that URL."""
    setting = [] if peer.setting is None else ["--setting", peer.setting]
    where = [] if url is None else ["--url", url]
    runs = max(round(peer.runs * plan.peer_share), 50)
    return script(
        str(peer.python(plan)), f"peers/{peer.path}", "--runs", runs, *setting, *where, directory=plan.directory
    )


def sides(work: str, found: dict[Peer, Results], ours: Results) -> Iterator[Side]:
    """Return a row for each that was measured."""
    for results in found.values():
        if results:
            one = results[0]
            yield side(work, f"{one['name']} ({one['versions']})", one["keeps"], results, ours)
