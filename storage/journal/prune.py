"""How history goes: a few rows in each transaction, each looked at once more in it.

An instance takes its outputs, its log and its tags along, by the foreign keys of the database.
"""

from typing import Any

from storage.journal.commands import Prune
from storage.journal.facts import Pruned
from storage.journal.work import Work
from storage.queries.history import IS_BARE, KEY_MAY_GO, LOOKED_AT, MAY_GO, OMISSION_MAY_GO

_INSTANCES = f"DELETE FROM instance WHERE id IN (SELECT i.id FROM instance i WHERE i.id IN ({{marks}}) AND {MAY_GO})"
_OMISSIONS = (
    f"DELETE FROM omission WHERE id IN (SELECT o.id FROM omission o WHERE o.id IN ({{marks}}) AND {OMISSION_MAY_GO})"
)
_BARE = f"SELECT s.id FROM schedule s WHERE s.id IN ({{marks}}) AND {IS_BARE}"
_EVENTS = f"DELETE FROM event WHERE id >= ? AND id <= ? AND id <= coalesce(({LOOKED_AT}), ?)"
_AUDIT = "DELETE FROM audit WHERE id IN ({marks})"
_TOKENS = f"DELETE FROM token WHERE id IN (SELECT t.id FROM token t WHERE t.id IN ({{marks}}) AND {KEY_MAY_GO})"
_NODES = "DELETE FROM node WHERE boot IN ({marks}) AND stopped_at IS NOT NULL AND boot <> ?"


def prune(work: Work, command: Prune) -> Pruned:
    """Delete what of the named history may go now; the answer counts it."""
    work.flush()
    return Pruned(
        instances=_delete(work, _INSTANCES, command.instances),
        omissions=_delete(work, _OMISSIONS, command.omissions),
        schedules=_forget(work, command.schedules),
        nodes=_delete(work, _NODES, command.nodes, work.boot),
        events=0 if command.events is None else int(work.execute(_EVENTS, *command.events, command.events[1]).rowcount),
        audit=_delete(work, _AUDIT, command.audit),
        tokens=_delete(work, _TOKENS, command.tokens),
    )


def _delete(work: Work, sql: str, keys: tuple[Any, ...], *more: Any) -> int:
    return int(work.execute(_marked(sql, keys), *keys, *more).rowcount) if keys else 0


def _forget(work: Work, schedules: tuple[str, ...]) -> int:
    """Delete what is left of deleted schedules: the row that kept their ids, and the states of their tasks."""
    if not schedules:
        return 0
    bare = [row[0] for row in work.all(_marked(_BARE, schedules), *schedules)]
    for slug in bare:
        work.execute("DELETE FROM task_state WHERE key > ? AND key < ?", f"{slug}\n", f"{slug}\v")
        work.execute("DELETE FROM schedule WHERE id = ?", slug)
    return len(bare)


def _marked(sql: str, keys: tuple[Any, ...]) -> str:
    return sql.format(marks=", ".join("?" * len(keys)))
