"""http_get fetches what it may, tells how it went, and connects to nothing that was not checked."""

from ipaddress import ip_address

import pytest
import trio

from callsheet import run
from callsheet.builtin.addresses import AddressRefused, allow, parse_allow
from callsheet.builtin.dialling import BadAnswer, NotReached, TooSlow, resolve
from callsheet.builtin.fetching import MOST_BYTES, fetch
from callsheet.builtin.http_get import Reply, http_get
from callsheet.errors import Invalid
from tests.callsheet.tiny_server import OK, names, redirect, silence


async def test_the_status_and_the_seconds_are_told(serve):
    server = await serve(OK)

    reply = await fetch(server.url + "path?q=1#part")

    assert reply.status == 200
    assert 0 < reply.seconds < 5
    assert server.requests[0].startswith("GET /path?q=1 HTTP/1.1\r\n")


async def test_the_seconds_run_until_the_body_was_read(autojump_clock, serve):
    async def slowly(stream):
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        await trio.sleep(3)
        await stream.send_all(b"k")

    server = await serve(slowly)

    assert (await fetch(server.url)).seconds == 3


@pytest.mark.parametrize("status", [204, 304, 404, 418, 500, 503])
async def test_an_http_error_is_a_result_like_any_other(serve, status):
    server = await serve(f"HTTP/1.1 {status} So\r\nContent-Length: 0\r\n\r\n".encode())

    assert (await fetch(server.url)).status == status


async def test_the_name_is_resolved_once_and_stays_the_host_header(serve):
    server = await serve(OK)
    resolver = names(callsheet=["127.0.0.1"])

    await fetch(f"http://callsheet.test:{server.port}/", resolve=resolver)

    assert resolver.asked == [("callsheet.test", server.port)]
    assert f"\r\nHost: callsheet.test:{server.port}\r\n" in server.requests[0]


async def test_the_default_port_is_not_named_in_the_host_header(serve):
    server = await serve(redirect("http://callsheet.test:80/"), OK)

    with pytest.raises(AddressRefused, match=r"callsheet\.test \(127\.0\.0\.1\).*127\.0\.0\.1/32:80"):
        await fetch(server.url, resolve=names(callsheet=["127.0.0.1"], **{"127.0.0.1": ["127.0.0.1"]}))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://127.1/",
        "http://0x7f.1/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://0/",
        "http://*/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data/",
        "https://10.0.0.1/",
        "http://example.org\\@127.0.0.1/",
        "http://user:password@example.org/",
        "http:///etc/passwd",
        "http://example.org:0/",
        "http://example.org:99999/",
        "http://[::1/",
        "http://a\r\nHost: b/",
        "ftp://example.org/",
        "file:///etc/passwd",
    ],
)
async def test_what_must_not_be_fetched_is_refused_before_anything_is_sent(url):
    with pytest.raises(AddressRefused):
        await fetch(url)


async def test_a_name_with_one_answer_inside_is_refused_altogether(serve):
    server = await serve(OK)
    mixed = names(callsheet=["127.0.0.1", "192.168.0.1"])

    with pytest.raises(AddressRefused, match=r"callsheet\.test \(192\.168\.0\.1\) is a private"):
        await fetch(f"http://callsheet.test:{server.port}/", resolve=mixed)

    assert server.requests == []


async def test_a_name_that_changes_its_answer_after_the_check_gains_nothing(serve):
    server = await serve(OK)
    answers = [[ip_address("127.0.0.1")], [ip_address("10.0.0.1")]]

    async def rebinding(host, port):
        return answers.pop(0)

    assert (await fetch(f"http://callsheet.test:{server.port}/", resolve=rebinding)).status == 200
    assert len(answers) == 1


async def test_an_address_that_is_dead_gives_way_to_the_next(serve):
    server = await serve(OK)
    allow([parse_allow(f"127.0.0.0/8:{server.port}")])
    resolver = names(callsheet=["127.0.0.2", "127.0.0.1"])

    assert (await fetch(f"http://callsheet.test:{server.port}/", resolve=resolver)).status == 200


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(serve, status):
    server = await serve(redirect("/next", status), OK)

    assert (await fetch(server.url)).status == 200
    assert server.requests[1].startswith("GET /next HTTP/1.1\r\n")


async def test_five_redirects_are_followed_and_a_sixth_is_one_too_many(serve):
    five = await serve(*[redirect("/again")] * 5, OK)
    endless = await serve(redirect("/again"))

    assert (await fetch(five.url)).status == 200
    with pytest.raises(BadAnswer, match="more than 5 redirects"):
        await fetch(endless.url)
    assert len(endless.requests) == 6


async def test_a_redirect_that_leads_nowhere_is_the_result(serve):
    server = await serve(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")

    assert (await fetch(server.url)).status == 302


@pytest.mark.parametrize(
    "location",
    [
        "http://10.0.0.1/",
        "//169.254.169.254/latest/meta-data/",
        "http://localhost:1/",
        "http://2130706433:1/",
        "https://[::1]/",
        "file:///etc/passwd",
        "ftp://example.org/",
        "javascript:alert(1)",
        "gopher://127.0.0.1:6379/_",
        "http://[::1",
    ],
)
async def test_a_redirect_to_what_must_not_be_fetched_is_refused(serve, location):
    server = await serve(redirect(location))

    with pytest.raises(AddressRefused):
        await fetch(server.url)


async def test_a_redirect_to_another_port_needs_a_rule_of_its_own(serve):
    other = await serve(OK)
    server = await serve(redirect(other.url))
    allow([parse_allow(f"127.0.0.1:{server.port}")])

    with pytest.raises(AddressRefused, match="loopback"):
        await fetch(server.url)
    assert other.requests == []


async def test_credentials_in_a_redirect_are_not_sent(serve):
    server = await serve()
    server.answers = [redirect(f"http://user:password@127.0.0.1:{server.port}/in"), OK]

    assert (await fetch(server.url)).status == 200
    assert server.requests[1].startswith("GET /in HTTP/1.1\r\n")
    assert "authorization" not in server.requests[1].lower()
    assert "user" not in server.requests[1].replace("User-Agent", "")


async def test_proxies_and_netrc_of_the_environment_are_ignored(serve, monkeypatch, tmp_path):
    server, proxy = await serve(OK), await serve(b"HTTP/1.1 502 Proxy\r\n\r\n")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)

    assert (await fetch(server.url)).status == 200
    assert proxy.requests == []
    assert "authorization" not in server.requests[0].lower()


async def test_a_body_without_end_is_read_to_its_cap_only(serve):
    sent = 0

    async def endlessly(stream):
        nonlocal sent
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await stream.send_all(b"x" * 65_536)
            sent += 65_536

    server = await serve(endlessly)

    assert (await fetch(server.url)).status == 200
    assert MOST_BYTES <= sent < 16 * MOST_BYTES  # what the socket buffers hold was sent, too


async def test_a_server_that_drips_is_ended_by_the_time_limit(autojump_clock, serve):
    async def drip(stream):
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await trio.sleep(1)
            await stream.send_all(b"x")

    server = await serve(drip)

    with pytest.raises(TooSlow, match="within 30 s"):
        await fetch(server.url)
    assert trio.current_time() == 30


async def test_a_server_that_says_nothing_is_ended_by_the_time_limit(autojump_clock, serve):
    server = await serve(silence)

    with pytest.raises(TooSlow):
        await fetch(server.url, within=3)


async def test_cancelling_ends_a_fetch_at_once(autojump_clock, serve):
    server = await serve(silence)

    with trio.move_on_after(2) as scope:
        await fetch(server.url)

    assert scope.cancelled_caught
    assert trio.current_time() == 2


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"", "without sending a response"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not answer in proper HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "without sending complete"),
        (b"HTTP/1.1 101 Switch\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", "proper HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, "proper HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "proper HTTP"),
    ],
)
async def test_an_answer_that_is_not_http_fails_with_a_sentence(serve, answer, sentence):
    server = await serve(answer)

    with pytest.raises(BadAnswer, match=sentence):
        await fetch(server.url)


async def test_a_refused_connection_fails_with_a_sentence(serve):
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        allow([parse_allow(f"127.0.0.1:{port}")])

        with pytest.raises(NotReached, match=r"No connection to 127\.0\.0\.1: Connection refused\."):
            await fetch(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("host", ["callsheet.invalid", "a..b", "%31%32%37.0.0.1", "x" * 70 + ".y"])
async def test_a_name_without_an_address_fails_with_a_sentence(host):
    with pytest.raises(NotReached, match="could not be resolved"):
        await fetch(f"http://{host}/")


async def test_a_name_is_resolved_to_each_of_its_addresses_once():
    assert set(await resolve("localhost", 80)) <= {ip_address("127.0.0.1"), ip_address("::1")}
    assert await resolve("127.1", 80) == [ip_address("127.0.0.1")]


async def test_the_task_sends_one_reply(serve):
    server = await serve(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")

    result = await run(http_get, {"url": server.url})

    assert result.outcome == "succeeded"
    (reply,) = result.outputs
    assert reply == Reply(500, reply.seconds)


async def test_the_task_fails_where_the_guard_refuses():
    result = await run(http_get, {"url": "http://169.254.169.254/latest/meta-data/"})

    assert (result.outcome, result.outputs) == ("failed", [])
    assert isinstance(result.error, AddressRefused)


async def test_the_task_is_timed_out_after_thirty_seconds(autojump_clock, serve):
    server = await serve(silence)

    result = await run(http_get, {"url": server.url})

    assert result.outcome == "timed_out"
    assert trio.current_time() == 30


async def test_the_task_takes_longer_where_its_timeout_was_set_longer(autojump_clock, serve):
    async def late(stream):
        await trio.sleep(40)
        await stream.send_all(OK)

    server = await serve(late)

    result = await run(http_get, {"url": server.url}, timeout="1m")

    assert result.outcome == "succeeded"
    assert result.outputs[0].seconds == 40


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"url": "ftp://example.org"},
        {"url": "example.org"},
        {"url": "//example.org"},
        {"url": " http://example.org"},
        {"url": 1},
        {"url": "http://example.org/" + "x" * 2048},
        {"url": "http://example.org", "method": "POST"},
    ],
)
async def test_an_input_that_is_not_just_one_web_address_is_invalid(document):
    with pytest.raises(Invalid):
        await run(http_get, document)
