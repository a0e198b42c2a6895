"""What is taken for a plain request is what h11 makes of the same bytes; in doubt it is not taken."""

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from web.plain import LARGEST, plain_of_bytes

LOOK = b"GET /v1/instances/x HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"
START = (
    b"POST /v1/instances HTTP/1.1\r\nHost: localhost:80\r\n"
    b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)
PIECES = [
    b"GET ",
    b"POST ",
    b"get ",
    b" /v1/instances",
    b"http://a/",
    b"//",
    b"*",
    b" HTTP/1.1",
    b" HTTP/1.0",
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b"\0",
    b"\xff",
    b":",
    b"Host: a\r\n",
    b"Host:b\r\n",
    b"HOST:  c \r\n",
    b"Host : a\r\n",
    b"Content-Length: 2\r\n",
    b"Content-Length: +2\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 2, 2\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: h2c\r\n",
    b" folded: yes\r\n",
    b"Accept: a\r\n",
    b"{}",
    b"2\r\n{}\r\n0\r\n\r\n",
    b"\r\n\r\n",
]


def as_h11_reads(data):
    """Return the request that h11 finds, its body, and whether nothing is left; None if it refuses or waits."""
    connection, body = h11.Connection(h11.SERVER), b""
    connection.receive_data(data)
    try:
        request = connection.next_event()
        if not isinstance(request, h11.Request):
            return None
        while isinstance(event := connection.next_event(), h11.Data):
            body += event.data
    except h11.RemoteProtocolError:
        return None
    if not isinstance(event, h11.EndOfMessage) or connection.they_are_waiting_for_100_continue:
        return None
    stays = connection.our_state is not h11.MUST_CLOSE and connection.their_state is h11.DONE
    return request, body, stays and connection.trailing_data == (b"", False)


def hold_to_h11(data):
    """Check what is taken."""
    found = plain_of_bytes(data, "127.0.0.1")
    if found is None:
        return
    plain, body = found
    request, as_read, alone = as_h11_reads(data)
    assert (plain.method.encode(), plain.path, request.http_version) == (request.method, request.target, b"1.1")
    assert sorted(plain.headers.items()) == sorted(request.headers)
    assert body == as_read
    assert alone


@pytest.mark.parametrize("data", [LOOK, START])
def test_a_plain_request_is_taken_as_it_is(data):
    assert plain_of_bytes(data, "127.0.0.1") is not None
    hold_to_h11(data)


@given(
    data=st.sampled_from([LOOK, START]),
    where=st.integers(0, len(START)),
    cut=st.integers(0, 3),
    piece=st.sampled_from(PIECES),
)
@example(data=LOOK, where=len(LOOK) - 2, cut=0, piece=b"Content-Length: 2\r\n")
def test_a_request_with_one_odd_piece_is_what_h11_makes_of_it_or_not_taken(data, where, cut, piece):
    hold_to_h11(data[:where] + piece + data[where + cut :])


@given(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))
def test_requests_of_odd_pieces_are_what_h11_makes_of_them_or_not_taken(rest):
    for begin in (b"", b"GET /v1/instances/x HTTP/1.1\r\nHost: localhost\r\n", START[:-6]):
        hold_to_h11(begin + rest)


@given(data=st.sampled_from([LOOK, START]), where=st.integers(0, len(START)), byte=st.integers(0, 255))
def test_a_request_with_one_odd_byte_is_what_h11_makes_of_it_or_not_taken(data, where, byte):
    hold_to_h11(data[:where] + bytes([byte]) + data[where + 1 :])


@pytest.mark.parametrize(
    "header",
    [
        b"Transfer-Encoding: chunked",
        b"Connection: close",
        b"Connection: upgrade",
        b"Expect: 100-continue",
        b"Prefer: wait=5",
        b"Cookie: a=b",
        b"Origin: http://a",
        b"Idempotency-Key: k",
        b"Host: localhost",
        b"Accept: a\tb",
        b"Accept: \xc3\xa9",
        b" folded",
        b"Content-Length: 1",
    ],
)
def test_whatever_means_something_special_is_not_taken(header):
    assert plain_of_bytes(LOOK[:-2] + header + b"\r\n\r\n", "127.0.0.1") is None


@pytest.mark.parametrize(
    "data",
    [
        LOOK[:-1],
        LOOK + LOOK,
        START[:-1],
        START + b"G",
        START.replace(b": 2", b": 2 2"),
        b"\r\n" + LOOK,
        LOOK.replace(b"1.1", b"1.0"),
        LOOK.replace(b"localhost", b"a b"),
        LOOK.replace(b"Host", b"Via"),
        LOOK.replace(b"*/*", b"x" * 9_000),
        START.replace(b": 2", b": 100000").replace(b"{}", b"{}" * (LARGEST)),
    ],
)
def test_what_is_not_one_whole_small_request_is_not_taken(data):
    assert plain_of_bytes(data, "127.0.0.1") is None
