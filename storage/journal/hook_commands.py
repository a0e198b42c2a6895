"""What the journal can be told about webhooks and their deliveries."""

from typing import ClassVar
from uuid import UUID

from attrs import frozen

from storage.journal.commands import Command


@frozen
class AddWebhook(Command):
    """Command: tell this address of these events, from now on; answered with the webhook's record."""

    url: str
    events: tuple[str, ...]
    schedules: tuple[str, ...]
    secret: str


@frozen
class ChangeWebhook(Command):
    """Command: change what is not None; answered with the webhook's record.

    What is enabled again hears of events from then on; what was on its way still is.
    """

    id: UUID
    url: str | None = None
    events: tuple[str, ...] | None = None
    schedules: tuple[str, ...] | None = None
    secret: str | None = None
    enabled: bool | None = None


@frozen
class RemoveWebhook(Command):
    """Command: forget a webhook and what is on its way to it."""

    id: UUID


@frozen
class Plan:
    """Of the events after `position` and up to `upto` a webhook is to be told these: (event id, body)."""

    webhook: UUID
    position: int
    upto: int
    messages: tuple[tuple[int, bytes], ...]


@frozen
class PlanDeliveries(Command):
    """Command: write down messages and, in the same transaction, how far events have been looked at.

    A plan whose webhook has moved on since, or is disabled, is left out.
    """

    plans: tuple[Plan, ...]

    @property
    def weight(self) -> int:
        """Return the number of messages."""
        return 1 + sum(len(plan.messages) for plan in self.plans)


@frozen
class EndDelivery(Command):
    """Command: a message was delivered at an instant."""

    keep: ClassVar[bool] = True

    delivery: UUID
    webhook: UUID
    at: int


@frozen
class PostponeDelivery(Command):
    """Command: an attempt failed; try again at `next_at`, or (None) give up. `gone`: disable the webhook."""

    keep: ClassVar[bool] = True

    delivery: UUID
    webhook: UUID
    at: int
    error: str
    next_at: int | None
    gone: bool = False
