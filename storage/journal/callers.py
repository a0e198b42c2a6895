"""What is written down with a change because somebody asked for it: who it was, and the answer under the key that came.

Both are in the transaction of the change itself: there is no change without its entry in the audit, and none that a
client could bring about twice with one `Idempotency-Key`, wherever the process is killed.
"""

from collections.abc import Callable
from typing import Any

from callsheet.errors import KeyReused
from callsheet.instants import DAY
from storage.journal.audit import entry_of
from storage.journal.commands import IdempotencyKey, Kept, OnBehalf
from storage.journal.work import Work

KEPT_FOR = DAY  # how long the answer to a request with an idempotency key is kept
MOST_PRUNED = 20  # older answers that one request takes away: it adds one, so that they cannot pile up

_FIND = "SELECT fingerprint, answer FROM idempotency WHERE id = ? AND at > ?"
_OLDEST = "SELECT id FROM idempotency WHERE at <= ? ORDER BY at LIMIT ?"
_FORGET = "DELETE FROM idempotency WHERE id = ?"
_KEEP = "INSERT INTO idempotency (id, fingerprint, answer, at) VALUES (?, ?, ?, ?)"


def once(work: Work, command: OnBehalf, do: Callable[[], Any]) -> Any:
    """Do what is asked and write down who asked; what was done under the same key before is answered and not done."""
    found = None if command.key is None else _kept(work, command.key)
    if found is not None:
        return found
    changes, before = _changes(work), (work.by, work.trace)
    work.by, work.trace = command.by, command.trace
    try:
        answer = do()
    finally:
        work.by, work.trace = before
    if _changes(work) > changes:
        _write_down(work, command, answer)
    return answer if command.key is None else _keep(work, command.key, answer)


def _changes(work: Work) -> int:
    """Count what was changed so far."""
    return len(work.facts) + work.untold


def _write_down(work: Work, command: OnBehalf, answer: Any) -> None:
    entry = entry_of(command.command, answer)
    data = entry.data(request=command.request)
    work.insert_audit(
        (work.ids.make(work.now), work.now, command.by, entry.action, entry.schedule, entry.instance, data)
    )


def _kept(work: Work, key: IdempotencyKey) -> Kept | None:
    row = work.one(_FIND, key.id, work.now - KEPT_FOR)
    if row is None:
        return None
    fingerprint, answer = row
    if fingerprint != key.fingerprint:
        raise KeyReused
    return Kept(answer, replayed=True)


def _keep(work: Work, key: IdempotencyKey, answer: Any) -> Kept:
    text = key.encode(answer)
    old = [row[0] for row in work.all(_OLDEST, work.now - KEPT_FOR, MOST_PRUNED)]
    work.dialect.update(work.cursor, _FORGET, [(one,) for one in (key.id, *old)])
    work.execute(_KEEP, key.id, key.fingerprint, text, work.now)
    return Kept(text, replayed=False)
