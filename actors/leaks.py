"""What a body leaves open: Trio ends the parent of a task that exits inside a nursery or a cancel scope of its own.

The usual way there is leaving an async generator in the middle whose body holds a nursery (python-trio/trio#638).
Trio has no public way to close what nobody holds any more, so this uses three private names; a test holds each.
"""

import trio

from callsheet.tasks.ctrl_c import handed_on_ctrl_c


class LeftOpen(RuntimeError):
    """A task ended inside a nursery or a cancel scope that it never left."""


def leaves_open(task: trio.lowlevel.Task) -> bool:
    """Tell whether a task stands inside anything but the nursery that it was started in."""
    nursery = task.parent_nursery
    return bool(task.child_nurseries) or (nursery is not None and task._cancel_status is not nursery._cancel_status)


async def close_leaks(task: trio.lowlevel.Task) -> LeftOpen:
    """Cancel and close what the running task left open, innermost first; return what to say about it."""
    left = "a nursery" if task.child_nurseries else "a cancel scope"
    assert task.parent_nursery is not None
    task._activate_cancel_status(task.parent_nursery._cancel_status)
    for nursery in reversed(list(task.child_nurseries)):
        nursery.cancel_scope.cancel()
        try:
            await nursery._nested_child_finished(None)
        except BaseException as error:  # noqa: BLE001 - of those who were left behind
            handed_on_ctrl_c(error)
    return LeftOpen(f"the task left {left} open: was an async generator left in the middle?")
