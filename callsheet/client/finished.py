"""What the client knows of tasks and runs that is not a request: their names, and typed outputs."""

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from attrs import frozen

from callsheet.client.errors import ClientError
from callsheet.models import Instance, Started, Webhook

if TYPE_CHECKING:
    from callsheet.tasks.inline import Runnable

T = TypeVar("T")

Named = Instance | Started | str


class RunFailed(ClientError):
    """A run did not succeed; `instance` says how it ended."""

    def __init__(self, instance: Instance) -> None:
        why = f": {instance.error.type}: {instance.error.message}" if instance.error else ""
        super().__init__(f"{instance.task} {instance.outcome}{why} ({instance.uri}).")
        self.instance = instance


@frozen
class Finished(Generic[T]):
    """A run that is over, with all that it sent."""

    instance: Instance
    outputs: list[T]

    @property
    def succeeded(self) -> bool:
        """Tell whether it did what it should."""
        return self.instance.outcome == "succeeded"

    def check(self) -> "Finished[T]":
        """Return itself; raise RunFailed unless it succeeded."""
        if not self.succeeded:
            raise RunFailed(self.instance)
        return self


def id_of(thing: Named | Webhook) -> str:
    """Return the id of an instance or a webhook, however it is named."""
    text = thing if isinstance(thing, str) else thing.id
    return text.rsplit("/", 1)[-1]


def name_of(task: "Runnable[Any] | str") -> str:
    """Return the name of a task; TypeError for what is none."""
    name = task if isinstance(task, str) else getattr(task, "name", None)
    if not isinstance(name, str):
        raise TypeError(f"a task is named by its name or given as made by @task, not {task!r}")
    return name


def finished(task: Any, instance: Instance, outputs: list[Any]) -> Finished[Any]:
    """Return a run with its outputs as the task's type has them, where the task is at hand."""
    read = getattr(task, "decode_output", None)
    return Finished(instance, outputs if read is None else [read(msgspec.json.encode(value)) for value in outputs])
