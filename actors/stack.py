"""Where a task instance stands in its code: the frames it awaits in, without their values."""

import trio


def await_stack(task: trio.lowlevel.Task | None) -> list[str]:
    """Return the lines a Trio task and its children wait at, outermost first; only the author's side of the guard."""
    if task is None:
        return []
    lines = _frames(task)
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            lines.extend(f"  {child.name}: {line}" for line in _frames(child))
    return lines


def _frames(task: trio.lowlevel.Task) -> list[str]:
    lines = [f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_name}" for frame, line in task.iter_await_frames()]
    inside = [index for index, line in enumerate(lines) if line.endswith("in _run")]
    return lines[inside[0] + 1 :] if inside and inside[0] + 1 < len(lines) else lines


def where_it_stands(task: trio.lowlevel.Task | None) -> str:
    """Return the innermost line of the author's own code, or of whatever is innermost."""
    lines = await_stack(task)
    own = [line for line in lines if "/trio/" not in line]
    return (own or lines or ["unknown"])[-1]
