"""What the journal can be told about webhooks and their deliveries."""

from typing import ClassVar
from uuid import UUID

from msgspec import Struct

from storage.journal.commands import Command


class AddWebhook(Command, frozen=True):
    """Command: tell this address of these events, from now on; answered with the webhook's record."""

    url: str
    events: tuple[str, ...]
    schedules: tuple[str, ...]
    secret: str


class ChangeWebhook(Command, frozen=True):
    """Command: change what is not None; answered with the webhook's record.

    What is enabled again hears of events from then on; what was on its way still is.
    """

    id: UUID
    url: str | None = None
    events: tuple[str, ...] | None = None
    schedules: tuple[str, ...] | None = None
    secret: str | None = None
    enabled: bool | None = None


class RemoveWebhook(Command, frozen=True):
    """Command: forget a webhook and what is on its way to it."""

    id: UUID


class Plan(Struct, frozen=True):
    """Of the events after `position` and up to `upto` a webhook is to be told these: (event id, body)."""

    webhook: UUID
    position: int
    upto: int
    messages: tuple[tuple[int, bytes], ...]


class PlanDeliveries(Command, frozen=True):
    """Command: write down messages and, in the same transaction, how far events have been looked at.

    A plan whose webhook has moved on since, or is disabled, is left out.
    """

    plans: tuple[Plan, ...]

    @property
    def weight(self) -> int:
        """Return the number of messages."""
        return 1 + sum(len(plan.messages) for plan in self.plans)


class EndDelivery(Command, frozen=True):
    """Command: a message was delivered at an instant."""

    keep: ClassVar[bool] = True

    delivery: UUID
    webhook: UUID
    at: int


class PostponeDelivery(Command, frozen=True):
    """Command: an attempt failed; try again at `next_at`, or (None) give up. `gone`: disable the webhook."""

    keep: ClassVar[bool] = True

    delivery: UUID
    webhook: UUID
    at: int
    error: str
    next_at: int | None
    gone: bool = False
