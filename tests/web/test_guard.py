"""Without a key the server answers this machine only, and obeys no web page of another origin."""

import pytest
from quart_trio import QuartTrio
from werkzeug.datastructures import Headers

from callsheet.errors import CallsheetError, RefusedToStart
from web.guard import CrossSite, MisdirectedRequest, check, check_bind, install

LOOPBACK = ["localhost", "LOCALHOST", "127.0.0.1", "127.0.0.2", "127.255.255.254", "[::1]", "[0:0:0:0:0:0:0:1]"]
STRANGE = [
    "example.org",
    "localhost.example.org",
    "127.0.0.1.nip.io",
    "localhost.",
    "0.0.0.0",
    "128.0.0.1",
    "127.1",
    "0177.0.0.1",
    "2130706433",
    "[::]",
    "[::2]",
    "[::ffff:127.0.0.1]",
    "[::1%lo]",
    "::1",
]
ODD = ["", " ", ":8080", "localhost:", "localhost:x", "localhost:8080:1", "user@localhost", "localhost/x", "[::1"]
OWN = "localhost:8080"
UNSAFE = ["POST", "PUT", "PATCH", "DELETE", "TRACE", "anything"]


def refusal(method="GET", *, insecure=False, host=OWN, **headers):
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return check(method, Headers([("Host", host), *named]), insecure=insecure)


@pytest.mark.parametrize("host", LOOPBACK)
@pytest.mark.parametrize("port", ["", ":80", ":8080"])
def test_loopback_names_are_answered(host, port):
    assert refusal(host=host + port) is None


@pytest.mark.parametrize("host", STRANGE + ODD)
def test_any_other_host_is_misdirected(host):
    assert isinstance(refusal(host=host), MisdirectedRequest)
    assert isinstance(refusal(host=host + ":8080"), MisdirectedRequest)


def test_a_missing_or_second_host_is_misdirected():
    assert isinstance(check("GET", Headers(), insecure=False), MisdirectedRequest)
    assert isinstance(refusal(Host=OWN), MisdirectedRequest)


@pytest.mark.parametrize("host", STRANGE)
def test_insecure_answers_any_host(host):
    assert refusal(host=host, insecure=True) is None


@pytest.mark.parametrize("method", UNSAFE)
def test_programs_send_neither_header_and_may_change_things(method):
    assert refusal(method) is None


@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "none, none"])
@pytest.mark.parametrize("insecure", [True, False])
def test_a_page_of_another_site_may_not_change_things(method, site, insecure):
    found = refusal(method, insecure=insecure, Sec_Fetch_Site=site)

    assert isinstance(found, CrossSite)
    assert found.status == 403


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://example.org",
        "http://localhost",
        "http://localhost:8081",
        "http://127.0.0.1:8080",
        "http://localhost:8080.example.org",
        "http://localhost:8080@example.org",
        "http://user@localhost:8080",
        "http://localhost:8080/",
        "localhost:8080",
        "chrome-extension://localhost:8080",
        "http://localhost:8080, http://localhost:8080",
    ],
)
@pytest.mark.parametrize("insecure", [True, False])
def test_another_origin_may_not_change_things(origin, insecure):
    assert isinstance(refusal("POST", insecure=insecure, Origin=origin), CrossSite)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:8080", "localhost:8080"),
        ("http://LOCALHOST:8080", "localhost:8080"),
        ("https://localhost:8080", "localhost:8080"),
        ("http://localhost", "localhost"),
        ("http://localhost", "localhost:80"),
        ("https://localhost", "localhost:443"),
        ("http://[::1]:8080", "[::1]:8080"),
    ],
)
def test_our_own_pages_may_change_things(origin, host):
    assert refusal("POST", host=host, Origin=origin, Sec_Fetch_Site="same-origin") is None


def test_one_foreign_origin_among_two_is_enough():
    headers = Headers([("Host", OWN), ("Origin", "http://" + OWN), ("Origin", "http://example.org")])

    assert isinstance(check("POST", headers, insecure=False), CrossSite)


def test_a_page_of_another_site_may_follow_a_link_to_us():
    assert refusal("GET", Sec_Fetch_Site="cross-site", Origin="http://example.org") is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1"])
def test_loopback_needs_no_consent(host):
    check_bind(host, insecure=False)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.168.0.1", "example.org", "127.1", "[::1]"])
def test_any_other_address_needs_consent(host):
    check_bind(host, insecure=True)
    with pytest.raises(RefusedToStart, match="say --insecure-no-auth"):
        check_bind(host, insecure=False)


# Installed


def client(*, insecure=False):
    app = QuartTrio("tiny")
    install(app, insecure=insecure)

    @app.route("/", methods=["GET", "POST"])
    async def index():
        return "hello"

    @app.get("/page")
    async def page():
        return "page", {"Content-Security-Policy": "default-src 'self'"}

    @app.get("/fail")
    async def fail():
        raise ValueError("on purpose")

    @app.errorhandler(CallsheetError)
    async def refuse(error):
        return str(error), error.status

    return app.test_client()


@pytest.mark.parametrize("path", ["/", "/nowhere"])
async def test_every_path_is_guarded(path):
    misdirected = await client().get(path, headers={"Host": "example.org"})
    cross_site = await client().post(path, headers={"Host": OWN, "Origin": "null"})

    assert misdirected.status_code == 421
    assert await misdirected.get_data() == b"Without an API key only localhost is answered, not 'example.org'."
    assert cross_site.status_code == 403


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [("/", OWN, 200), ("/nowhere", OWN, 404), ("/fail", OWN, 500), ("/", "example.org", 421)],
)
async def test_every_answer_carries_the_security_headers(path, host, status):
    answer = await client().get(path, headers={"Host": host})

    assert answer.status_code == status
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_page_may_set_its_own_policy():
    answer = await client().get("/page", headers={"Host": OWN})

    assert answer.headers.getlist("Content-Security-Policy") == ["default-src 'self'"]
