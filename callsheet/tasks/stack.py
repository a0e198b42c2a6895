"""Where a task instance stands in its code: the frames it awaits in, without their values."""

import sys
from types import FrameType

import trio

from callsheet.tasks.definition import Task
from callsheet.tasks.threads import in_thread

MOST = 1000  # lines that are shown of a crowd of children
DEEPEST = 100  # frames that are shown of one thread: the innermost
_TRIO = trio.run.__code__.co_filename.removesuffix("_core/_run.py")  # the folder; "trio/" in a one-file binary


def await_stack(task: trio.lowlevel.Task | None) -> list[str]:
    """Return the lines a Trio task waits at, outermost first, then those of its children, indented by generation."""
    lines: list[str] = []
    todo = [] if task is None else [(0, task)]
    while todo and len(lines) <= MOST:
        depth, one = todo.pop()
        name = f"{'  ' * depth}{one.name}: " if depth else ""
        lines.extend(name + line for line in _frames(one))
        todo += [(depth + 1, child) for nursery in one.child_nurseries for child in nursery.child_tasks]
    return lines if len(lines) <= MOST else [*lines[:MOST], "..."]


def thread_stack(thread: int | None) -> list[str]:
    """Return the lines where a thread stands, outermost first; none once it has ended."""
    lines: list[str] = []
    frame = None if thread is None else sys._current_frames().get(thread)
    while frame is not None and len(lines) < DEEPEST and not _is_guard(frame):
        lines.append(_line(frame, frame.f_lineno))
        frame = frame.f_back
    return lines[::-1]


def _frames(task: trio.lowlevel.Task) -> list[str]:
    """Return the lines of one task: those on the author's side of the guard, if need be in its worker thread."""
    lines: list[str] = []
    for frame, number in task.iter_await_frames():
        if frame.f_code is in_thread.__code__:
            return thread_stack(frame.f_locals["seat"].thread) or ["waits for a worker thread"]
        lines.append(_line(frame, number))
    lines = [line for line in lines if f"{_TRIO}_core/" not in line]
    inside = [index for index, line in enumerate(lines) if line.endswith("in _run")]
    return lines[inside[0] + 1 :] if inside and inside[0] + 1 < len(lines) else lines


def _is_guard(frame: FrameType) -> bool:
    """Tell whether a frame is the one of ours that called the author's function."""
    return frame.f_code is Task._run.__code__ or frame.f_code in in_thread.__code__.co_consts


def _line(frame: FrameType, number: int) -> str:
    return f"{frame.f_code.co_filename}:{number} in {frame.f_code.co_name}"


def where_it_stands(task: trio.lowlevel.Task | None) -> str:
    """Return the innermost line of the author's own code, or of whatever is innermost."""
    lines = await_stack(task)
    own = [line for line in lines if _TRIO not in line and line != "..."]
    return (own or lines or ["unknown"])[-1]
