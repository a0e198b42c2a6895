import trio
import trio.testing

from callsheet.tasks.stack import await_stack, where_it_stands


async def inner() -> None:
    await trio.sleep(10)


async def outer() -> None:
    await inner()


async def family() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outer)
        nursery.start_soon(trio.sleep, 5)


async def clan() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(family)


async def stand(nursery: trio.Nursery, body) -> trio.lowlevel.Task:
    """Run a body until it waits, and return its task."""
    started: list[trio.lowlevel.Task] = []

    async def note() -> None:
        started.append(trio.lowlevel.current_task())
        await body()

    nursery.start_soon(note)
    await trio.testing.wait_all_tasks_blocked()
    return started[0]


async def test_a_task_stands_at_its_author_s_innermost_line(autojump_clock):
    async with trio.open_nursery() as nursery:
        task = await stand(nursery, outer)
        names = [line.rpartition(" in ")[2] for line in await_stack(task)]
        assert names[:3] == ["note", "outer", "inner"]
        assert where_it_stands(task).endswith("in inner")
        assert "test_tasks_stack.py:" in where_it_stands(task)
        nursery.cancel_scope.cancel()


async def test_a_nursery_shows_where_its_children_stand(autojump_clock):
    async with trio.open_nursery() as nursery:
        task = await stand(nursery, family)
        lines = await_stack(task)
        assert any("outer: " in line and line.endswith("in inner") for line in lines)
        assert where_it_stands(task).endswith("in inner")
        nursery.cancel_scope.cancel()


async def test_grandchildren_are_shown_too(autojump_clock):
    async with trio.open_nursery() as nursery:
        task = await stand(nursery, clan)
        assert any(line.startswith("    ") and line.endswith("in inner") for line in await_stack(task))
        nursery.cancel_scope.cancel()


async def test_a_crowd_of_children_is_cut(autojump_clock):
    async def crowd() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(5000):
                nursery.start_soon(inner)

    async with trio.open_nursery() as nursery:
        task = await stand(nursery, crowd)
        lines = await_stack(task)
        assert 100 < len(lines) <= 1001
        assert lines[-1] == "..."
        assert where_it_stands(task).endswith("in inner")
        nursery.cancel_scope.cancel()


def test_what_has_not_begun_stands_nowhere():
    assert await_stack(None) == []
    assert where_it_stands(None) == "unknown"
