"""http_get over TLS: the name is checked, though the address is dialled."""

import shutil
import ssl
import subprocess

import pytest
import trio

from callsheet.builtin.dialling import NotReached, TooSlow
from callsheet.builtin.fetching import fetch
from tests.callsheet.tiny_server import OK, names


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for callsheet.test, with its key, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    key, pem = folder / "key.pem", folder / "cert.pem"
    command = "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 2"
    names = ["-subj", "/CN=callsheet.test", "-addext", "subjectAltName=DNS:callsheet.test"]
    subprocess.run(
        ["openssl", *command.split(), *names, "-keyout", key, "-out", pem],
        check=True,
        capture_output=True,
    )
    return pem, key


@pytest.fixture
async def secure(serve, certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    return await serve(OK, tls=context)


async def test_tls_names_the_host_though_the_address_is_dialled(secure, certificate):
    trusting = ssl.create_default_context(cafile=certificate[0])
    url = f"https://callsheet.test:{secure.port}/"

    reply = await fetch(url, resolve=names(callsheet=["127.0.0.1"]), tls=trusting)

    assert reply.status == 200
    assert secure.hosts == ["callsheet.test"]
    assert f"\r\nHost: callsheet.test:{secure.port}\r\n" in secure.requests[0]


async def test_a_name_with_a_trailing_dot_is_the_same_name_to_tls(secure, certificate):
    trusting = ssl.create_default_context(cafile=certificate[0])
    url = f"https://callsheet.test.:{secure.port}/"

    assert (await fetch(url, resolve=names(**{"callsheet.test.": ["127.0.0.1"]}), tls=trusting)).status == 200


async def test_a_certificate_for_another_name_is_not_trusted(secure, certificate):
    trusting = ssl.create_default_context(cafile=certificate[0])

    with pytest.raises(NotReached, match="certificate is not trusted: Hostname mismatch"):
        await fetch(
            f"https://other.test:{secure.port}/",
            resolve=names(other=["127.0.0.1"]),
            tls=trusting,
        )
    assert secure.requests == []


async def test_a_certificate_of_nobody_we_trust_fails_with_a_sentence(secure):
    with pytest.raises(NotReached, match="certificate is not trusted: self-signed"):
        await fetch(f"https://callsheet.test:{secure.port}/", resolve=names(callsheet=["127.0.0.1"]))


async def test_https_to_a_server_without_tls_fails_with_a_sentence(serve):
    server = await serve(OK)

    with pytest.raises(NotReached, match="TLS failed"):
        await fetch(server.url.replace("http:", "https:"))


async def test_a_tls_handshake_that_is_cut_off_leaves_no_socket_open(autojump_clock, serve):
    hung_up = trio.Event()

    async def say_nothing(stream):
        assert await stream.receive_some() == b""
        hung_up.set()

    server = await serve(say_nothing)

    with pytest.raises(TooSlow):
        await fetch(server.url.replace("http:", "https:"))
    with trio.fail_after(1):
        await hung_up.wait()
