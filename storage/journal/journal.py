"""The journal applies batches of commands, one transaction each, and gives back the facts to be told.

All or nothing: a command that is refused has written nothing; one that fails unexpectedly takes its batch down with it,
and then each of the batch is applied alone. Nothing is returned before it is committed, and a commit whose reply
was lost is settled by reading back the number that each transaction leaves in the node's row.
"""

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import groupby
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace
from pony import orm

from callsheet.clock import Clock
from callsheet.errors import CallsheetError, GaveUp, Unavailable
from callsheet.ids import IdMaker
from callsheet.logs import told
from callsheet.tasks import Task
from storage.database import Database, NodeIdentity
from storage.failures import at_fault, connection_lost, meaning_of, translated
from storage.journal import (
    backfills,
    cancels,
    claims,
    commands,
    ends,
    hook_commands,
    prune,
    recovery,
    schedule_batches,
    schedules,
    skips,
    starts,
    tokens,
    webhooks,
)
from storage.journal.callers import once
from storage.journal.commands import Command, OnBehalf
from storage.journal.facts import Fact
from storage.journal.settling import settle
from storage.journal.work import Mismatch, Work

log = logging.getLogger("callsheet.journal")

_HANDLERS: dict[type[Command], Callable[[Work, Any], Any]] = {
    commands.StartInstances: starts.start_instances,
    commands.TriggerSchedule: starts.trigger_schedule,
    commands.RerunInstance: starts.rerun_instance,
    commands.EndInstance: ends.end_instance,
    commands.CancelInstance: cancels.cancel_instance,
    commands.CancelInstances: cancels.cancel_instances,
    commands.KeepOutput: ends.keep_output,
    commands.KeepLog: ends.keep_log,
    commands.MarkStuck: ends.mark_stuck,
    commands.KeepEvent: ends.keep_event,
    commands.Claim: claims.claim,
    commands.PutSchedule: schedules.put_schedule,
    commands.CreateSchedules: schedule_batches.create_schedules,
    commands.PatchSchedule: schedules.patch_schedule,
    commands.PauseSchedule: schedules.pause_schedule,
    commands.ResumeSchedule: schedules.resume_schedule,
    commands.DeleteSchedule: schedules.delete_schedule,
    commands.PlanChange: schedules.plan_change,
    commands.SkipDue: skips.skip_due,
    commands.UnskipDue: skips.unskip_due,
    commands.BackfillSchedule: backfills.backfill_schedule,
    commands.CreateToken: tokens.create_token,
    commands.RevokeToken: tokens.revoke_token,
    hook_commands.AddWebhook: webhooks.add_webhook,
    hook_commands.ChangeWebhook: webhooks.change_webhook,
    hook_commands.RemoveWebhook: webhooks.remove_webhook,
    hook_commands.PlanDeliveries: webhooks.plan_deliveries,
    hook_commands.EndDelivery: webhooks.end_delivery,
    hook_commands.PostponeDelivery: webhooks.postpone_delivery,
    commands.Recover: recovery.recover,
    commands.Drain: recovery.drain,
    commands.StopNode: recovery.stop_node,
    commands.Prune: prune.prune,
}
# These change rows as Pony objects; a batch is cut where they meet the others, which write below Pony's back.
_BY_ENTITY = frozenset((
    commands.PutSchedule,
    commands.CreateSchedules,
    commands.PatchSchedule,
    commands.PauseSchedule,
    commands.ResumeSchedule,
    commands.DeleteSchedule,
    commands.PlanChange,
    commands.SkipDue,
    commands.UnskipDue,
))  # fmt: skip
SETTLE = 60.0  # seconds in which it must turn out whether a commit took place whose reply was lost
PAUSE = 0.2  # seconds between two tries to find out
_RETRIES = 2  # of a whole transaction whose connection was lost before the commit
_FENCED = -1  # in `last_batch`: a later boot has taken over the database, and nothing may be written any more
_FENCE = "UPDATE node SET last_batch = ? WHERE last_batch >= 0 AND boot <> ?"
_MARK = "UPDATE node SET last_batch = ?, seen_at = ? WHERE boot = ? AND last_batch >= 0"


class Verdict(Struct, frozen=True):
    """What became of one command: the answer, or the error with which it was refused."""

    answer: Any = None
    error: Exception | None = None


class Applied(Struct, frozen=True):
    """A batch that is committed: a verdict for each command, and the facts in order."""

    verdicts: list[Verdict] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)


class Journal:
    """Writes for one node. Its methods are synchronous and belong in the writer's thread."""

    def __init__(
        self,
        database: Database,
        node: NodeIdentity,
        tasks: Mapping[str, Task[Any, Any]],
        clock: Clock,
        ids: IdMaker,
        most_running: int | None = None,
        *,
        keeps_events: bool = True,
    ) -> None:
        """`most_running` bounds the instances of all tasks together; further ones are queued.

        Without `keeps_events` the facts are told, but no table of them is kept: for a database that nobody can ask.
        """
        self._database = database
        self._node = node
        self._tasks = tasks
        self._clock = clock
        self._ids = ids
        self._most_running = most_running
        self._keeps_events = keeps_events
        self._batch = 0
        self._draining = False

    @property
    def database(self) -> Database:
        """Return the database that it writes to, for those who read beside it."""
        return self._database

    @property
    def node(self) -> str:
        """Return the name of the node that it writes for."""
        return self._node.name

    def register(self) -> None:
        """Write this boot into the node table, before anything else, and shut out all earlier ones."""
        now = self._clock.now()
        with translated(), orm.db_session:
            self._work(self._database.db.get_connection().cursor()).execute(_FENCE, _FENCED, self._node.boot)
            self._database.entities.Node(
                boot=self._node.boot, name=self._node.name, host=self._node.host, pid=self._node.pid,
                started_at=now, seen_at=now, last_batch=0,
            )  # fmt: skip

    def apply(self, batch: list[Command]) -> Applied:
        """Apply all commands in order; Unavailable means that those without a verdict have changed nothing."""
        whole = Applied()
        for _, group in groupby(batch, key=_by_entity):
            try:
                applied = self._apply_together(list(group))
            except CallsheetError as error:
                raise Interrupted(whole, error) from error
            whole.verdicts.extend(applied.verdicts)
            whole.facts.extend(applied.facts)
        return whole

    def _apply_together(self, batch: list[Command]) -> Applied:
        try:
            return self._transact(batch)
        except CallsheetError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it concerns one command of the batch
            if len(batch) == 1:
                return self._failed_alone(batch[0], error)
        return self._apply_one_by_one(batch)

    def _failed_alone(self, command: Command, error: Exception) -> Applied:
        """Settle a command that cannot be applied even by itself: an end must not stay untold."""
        if command.keep and not at_fault(error):
            raise Unavailable(f"The database refuses what it should take: {error}") from error
        if isinstance(command, commands.EndInstance):
            if isinstance(error, Mismatch):
                extra = told("instance.ended_before", instance=command.run.id, task=command.run.task)
                log.warning("instance %s had ended before: its first end stands", command.run.id, extra=extra)
                return Applied([Verdict()], [ends.told_elsewhere(command, self._first_end(command))])
            if command.error != ends.NOT_WRITABLE:
                extra = told("instance.end_rewritten", instance=command.run.id, task=command.run.task)
                log.error(
                    "the end of instance %s cannot be written as it is", command.run.id, exc_info=error, extra=extra
                )
                plain = replace(command, outcome="failed", error=ends.NOT_WRITABLE, state=None, may_retry=False)
                return self._apply_together([plain])
        kind = type(asked(command)).__name__
        log.error("command failed: %s", kind, exc_info=error, extra=told("command.failed", command=kind))
        return Applied([Verdict(error=error)])

    def _first_end(self, command: commands.EndInstance) -> str:
        with translated(), orm.db_session:
            row = self._database.entities.Instance.get(id=command.run.id)
            return command.outcome if row is None else str(row.state)

    def _apply_one_by_one(self, batch: list[Command]) -> Applied:
        whole = Applied()
        for command in batch:
            try:
                applied = self._apply_together([command])
            except CallsheetError as error:
                raise Interrupted(whole, error) from error
            whole.verdicts.extend(applied.verdicts)
            whole.facts.extend(applied.facts)
        return whole

    def _transact(self, batch: list[Command]) -> Applied:
        self._batch += 1
        for attempt in range(_RETRIES + 1):
            try:
                return self._attempt(batch)
            except GaveUp:
                raise
            except Exception as error:
                if attempt == _RETRIES or not connection_lost(error):
                    raise
        raise AssertionError("unreachable")

    def _attempt(self, batch: list[Command]) -> Applied:
        committing = False
        self._database.check_in_place()
        try:
            objects = _by_entity(batch[0])
            with self._database.transaction(objects=objects) as cursor:
                work = self._work(cursor)
                verdicts = [_verdict(work, command) for command in batch]
                if objects:
                    orm.flush()
                settle(work)
                work.finish()
                self._mark(work)
                committing = True
        except Exception as error:  # noqa: BLE001 - whatever it is, did the commit take place?
            if not (committing and self._was_committed(error)):
                _raise_meaning(error)
        self._draining = work.draining
        return Applied(verdicts, work.facts)

    def _work(self, cursor: Any) -> Work:
        database = self._database
        now = self._clock.now()
        return Work(
            cursor, database.dialect, database.entities, self._tasks, self._ids, now, self._node.name, self._node.boot,
            self._draining, self._most_running, keeps_events=self._keeps_events,
        )  # fmt: skip

    def _mark(self, work: Work) -> None:
        changed = work.execute(_MARK, self._batch, work.now, self._node.boot).rowcount
        if changed != 1:
            raise GaveUp("Another node has taken over the database: this one may write nothing more.")

    def _was_committed(self, error: Exception) -> bool:
        """Find out whether a commit took place whose reply was lost; nothing goes on before that is known."""
        if not connection_lost(error):
            return False
        deadline = time.monotonic() + SETTLE
        while time.monotonic() < deadline:
            try:
                return self._read_back() == self._batch
            except Exception as outage:  # noqa: BLE001 - the next try may tell more
                extra = told("database.silent")
                log.warning("the last transaction cannot be read back yet: %s", outage, extra=extra)
                time.sleep(PAUSE)
        raise GaveUp("The database does not tell whether the last transaction took place.") from error

    def _read_back(self) -> int:
        """Return the number of this boot's last transaction, once none of ours is under way any more."""
        with orm.db_session:
            row = self._database.entities.Node.get_for_update(boot=self._node.boot)  # waits for a commit still going on
            return _FENCED if row is None else int(row.last_batch)


class Interrupted(CallsheetError):
    """The database failed within a batch: `applied` is the part that is committed, `reason` why the rest is not."""

    def __init__(self, applied: Applied, reason: CallsheetError) -> None:
        earlier = reason.applied if isinstance(reason, Interrupted) else Applied()
        super().__init__(str(reason))
        self.applied: Applied = Applied(applied.verdicts + earlier.verdicts, applied.facts + earlier.facts)
        self.reason: CallsheetError = reason.reason if isinstance(reason, Interrupted) else reason


def _verdict(work: Work, command: Command) -> Verdict:
    try:
        if isinstance(command, OnBehalf):
            return Verdict(once(work, command, partial(_HANDLERS[type(command.command)], work, command.command)))
        return Verdict(_HANDLERS[type(command)](work, command))
    except CallsheetError as error:
        return Verdict(error=error)


def asked(command: Command) -> Command:
    """Return what is to be done, whoever asks for it."""
    return command.command if isinstance(command, OnBehalf) else command


def _by_entity(command: Command) -> bool:
    return type(asked(command)) in _BY_ENTITY


def _raise_meaning(error: Exception) -> None:
    if isinstance(error, CallsheetError):
        raise error
    meaning = meaning_of(error)
    if meaning is not None:
        raise meaning from error
    raise error
