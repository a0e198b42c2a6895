"""What servers send that means nothing, and without end, neither holds the loop nor lasts."""

import pytest
import trio

from callsheet.builtin.addresses import allow, parse_allow
from callsheet.builtin.dialling import BadAnswer
from callsheet.builtin.fetching import fetch
from callsheet.builtin.posting import post

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
async def serve(nursery):
    """Start a server that answers with a beginning, and then with something for ever; return its URL."""

    async def start(beginning, endlessly):
        async def answer(stream):
            async with stream:
                try:
                    await stream.receive_some()
                    await stream.send_all(beginning)
                    while True:
                        await stream.send_all(endlessly * 1000)
                except trio.BrokenResourceError:
                    return

        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, answer, [listener])
        port = listener.socket.getsockname()[1]
        allow([parse_allow(f"127.0.0.1:{port}")])
        return f"http://127.0.0.1:{port}/"

    return start


@pytest.mark.parametrize(
    ("beginning", "endlessly", "sentence"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "head"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", "head"),
        (CHUNKED, b"1\r\nx\r\n", "crumbs"),
    ],
)
@pytest.mark.parametrize("way", ["get", "post"])
async def test_an_answer_that_never_gets_anywhere_is_given_up(serve, way, beginning, endlessly, sentence):
    url = await serve(beginning, endlessly)
    turns = 0

    async def take_turns():
        nonlocal turns
        while True:
            await trio.sleep(0.001)
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take_turns)
        with trio.fail_after(10), pytest.raises(BadAnswer, match=sentence):
            await (fetch(url) if way == "get" else post(url, [], b"{}", within=9))
        nursery.cancel_scope.cancel()

    assert turns > 15
