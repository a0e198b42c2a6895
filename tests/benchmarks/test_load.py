"""The load counts answers that are complete and good, and nothing else."""

import socket
import threading
from contextlib import closing, suppress

import pytest

from benchmarks.load import encode, length_of, load, percentile

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize("cut", [0, 10, 17, 37])
def test_the_length_of_an_answer_is_not_known_before_its_head_is_complete(cut):
    assert length_of(GOOD[:cut]) is None


def test_the_length_of_an_answer_has_its_head_in_it():
    assert length_of(GOOD) == len(GOOD)
    assert (
        length_of(b"HTTP/1.1 202 \r\na: b\r\ncontent-length:7\r\n\r\n{")
        == len(b"HTTP/1.1 202 \r\na: b\r\ncontent-length:7\r\n\r\n") + 7
    )


REFUSED = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
WITHOUT_LENGTH = b"HTTP/1.1 200 OK\r\na: b\r\n\r\n"


@pytest.mark.parametrize("answer", [REFUSED, WITHOUT_LENGTH])
def test_other_answers_end_the_load(answer):
    with pytest.raises(RuntimeError):
        length_of(answer)


def test_a_request_is_sent_as_http():
    assert encode("GET", "/a").splitlines()[0] == b"GET /a HTTP/1.1"
    assert encode("POST", "/a", "{}").endswith(b"Content-Length: 2\r\n\r\n{}")


def test_percentiles_are_values_that_occurred():
    assert percentile([1.0, 2.0, 3.0], 0.5) == 2.0
    assert percentile([1.0, 2.0, 3.0], 0.99) == 3.0
    assert percentile([], 0.5) == 0.0


def test_every_answer_of_a_real_server_is_counted_once():
    served = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=serve, args=(listener, served), daemon=True).start()
        found = load(listener.getsockname()[1], [encode("GET", "/")], connections=1, warm_up=0.05, seconds=0.2)
    assert found["requests"] > 0
    assert found["requests"] / found["seconds"] == pytest.approx(found["requests_per_second"], rel=0.01)
    assert len(served) - found["answered_in_all"] in (0, 1), "one may be on its way at the end"
    assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["worst_ms"]


def test_a_connection_that_gets_no_more_answers_is_replaced():
    served = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=serve_once_each, args=(listener, served), daemon=True).start()
        found = load(listener.getsockname()[1], [encode("GET", "/")], connections=2, warm_up=0.05, seconds=0.2)
    assert found["answered_in_all"] > 4
    assert len(served) - found["answered_in_all"] in (0, 1, 2), "one of each may be on its way at the end"


def serve_once_each(listener, served):
    """Answer each connection once."""
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection:
                if connection.recv(4096):
                    served.append(1)
                    connection.sendall(GOOD.replace(b"200 OK", b"200 OK\r\nConnection: close"))


def serve(listener, served):
    """Answer one connection, each answer in two pieces, until it hangs up."""
    connection, _ = listener.accept()
    with connection, suppress(OSError):
        while connection.recv(4096):
            served.append(1)
            connection.sendall(GOOD[:20])
            connection.sendall(GOOD[20:])
