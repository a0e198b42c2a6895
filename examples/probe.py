"""Probe several addresses at once: does anybody listen there, and how soon?

One nursery holds all connections, so cancelling the run cancels each of them. One address that does not answer
neither delays nor fails the others.

    callsheet serve --tasks examples/probe.py
"""

import trio
from msgspec import Struct

from callsheet import Out, task


class Addresses(Struct, forbid_unknown_fields=True):
    """Where to knock: ["localhost:8080", "example.org:443"]; `patience` is in seconds."""

    addresses: list[str]
    patience: float = 3.0


class Answer(Struct):
    """What became of one address; `seconds` is how long the connection took."""

    address: str
    open: bool
    seconds: float | None = None
    error: str | None = None


@task(timeout="1m", retries=1)
async def probe(_in: Addresses, out: Out[Answer]) -> None:
    """Connect to each address and hang up again; fails when none of them is open."""
    answers: list[Answer] = []
    async with trio.open_nursery() as nursery:
        for address in _in.addresses:
            nursery.start_soon(knock, address, _in.patience, out, answers)
    if not any(answer.open for answer in answers):
        raise ConnectionError("none of the addresses is open")


async def knock(address: str, patience: float, out: Out[Answer], answers: list[Answer]) -> None:
    """Try one address and send the answer."""
    host, _, port = address.rpartition(":")
    began = trio.current_time()
    try:
        with trio.fail_after(patience):
            stream = await trio.open_tcp_stream(host, int(port))
        await stream.aclose()
    except (OSError, trio.TooSlowError, ValueError) as error:
        answer = Answer(address, open=False, error=str(error) or type(error).__name__)
    else:
        answer = Answer(address, open=True, seconds=round(trio.current_time() - began, 6))
    answers.append(answer)
    await out.send(answer)
