"""The engine inside another Trio program: a small TCP server that answers, and whose visitors are counted.

A task may close over the program's own objects, as it runs in the same loop. Ctrl-C lets what runs finish.

    python examples/embedded.py        # then: curl telnet://localhost:7007
"""

import signal
from collections import Counter

import trio

import callsheet
from callsheet import Out, Task, task


def report_of(visitors: Counter[str]) -> Task[None, dict[str, int]]:
    """Return a task that reports who came since its last run."""

    @task(timeout="10s")
    async def report(_in: None, out: Out[dict[str, int]]) -> None:
        """Send the visitors, and begin to count anew."""
        await out.send(dict(visitors))
        visitors.clear()

    return report


async def main(database: str = "sqlite:///visitors.db", port: int = 7007) -> None:
    """Serve until told to stop, with an engine beside that reports every minute."""
    visitors: Counter[str] = Counter()
    report = report_of(visitors)

    async def welcome(stream: trio.SocketStream) -> None:
        visitors[stream.socket.getpeername()[0]] += 1
        await stream.send_all(b"Welcome.\n")

    async with callsheet.engine(database, [report], drain="5s") as engine:
        await engine.put("report", report, every="1m")
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_tcp, welcome, port)
            await until_told()
            nursery.cancel_scope.cancel()
        print(*(await engine.run(report)).outputs)


async def until_told() -> None:
    """Wait for Ctrl-C or SIGTERM."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            return


if __name__ == "__main__":
    trio.run(main)
