"""Where a task instance stands in its code: the frames it awaits in, without their values."""

import trio

MOST = 1000  # lines that are shown of a crowd of children


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


def _frames(task: trio.lowlevel.Task) -> list[str]:
    """Return the lines of one task: only those on the author's side of the guard."""
    lines = [f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_name}" for frame, line in task.iter_await_frames()]
    lines = [line for line in lines if "/trio/_core/" not in line]
    inside = [index for index, line in enumerate(lines) if line.endswith("in _run")]
    return lines[inside[0] + 1 :] if inside and inside[0] + 1 < len(lines) else lines


def where_it_stands(task: trio.lowlevel.Task | None) -> str:
    """Return the innermost line of the author's own code, or of whatever is innermost."""
    lines = await_stack(task)
    own = [line for line in lines if "/trio/" not in line and line != "..."]
    return (own or lines or ["unknown"])[-1]
