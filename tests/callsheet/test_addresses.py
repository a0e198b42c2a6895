"""No request leaves for an address inside, however it is spelled, unless a rule lets it through."""

import contextvars
import socket
from ipaddress import IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.builtin.addresses import (
    AddressRefused,
    Allow,
    allow,
    allowed,
    check,
    parse_allow,
    why_refused,
)

REFUSED = [
    ("0.0.0.0", "unspecified"),
    ("0.1.2.3", "this very network"),
    ("10.0.0.0", "private"),
    ("10.255.255.255", "private"),
    ("100.64.0.0", "carrier-grade"),
    ("100.64.0.1", "carrier-grade"),
    ("100.127.255.255", "carrier-grade"),
    ("100.100.100.200", "metadata"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.255", "loopback"),
    ("168.63.129.16", "metadata"),
    ("169.254.0.1", "link-local"),
    ("169.254.169.254", "metadata"),
    ("169.254.170.2", "metadata"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.1", "reserved"),
    ("192.0.0.192", "metadata"),
    ("192.0.2.1", "documentation"),
    ("192.88.99.1", "6to4"),
    ("192.168.0.1", "private"),
    ("192.168.255.255", "private"),
    ("198.18.0.1", "benchmarking"),
    ("198.19.255.255", "benchmarking"),
    ("198.51.100.1", "documentation"),
    ("203.0.113.1", "documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::127.0.0.1", "IPv4-compatible"),
    ("::8.8.8.8", "IPv4-compatible"),
    ("::ffff:127.0.0.1", "loopback"),
    ("::ffff:10.0.0.1", "private"),
    ("::ffff:169.254.169.254", "metadata"),
    ("::ffff:0:127.0.0.1", "reserved"),
    ("64:ff9b::7f00:1", "loopback"),
    ("64:ff9b::169.254.169.254", "metadata"),
    ("64:ff9b:1::1", "local NAT64"),
    ("64:ff9b:1:ffff::8.8.8.8", "local NAT64"),
    ("100::1", "discard"),
    ("2001::1", "Teredo"),
    ("2001:0:7f00:1::", "Teredo"),
    ("2001:2::1", "reserved"),
    ("2001:10::1", "reserved"),
    ("2001:db8::1", "documentation"),
    ("2002:7f00:1::", "6to4"),
    ("2002:808:808::1", "6to4"),
    ("3fff::1", "documentation"),
    ("4000::1", "reserved"),
    ("5f00::1", "reserved"),
    ("fc00::1", "private"),
    ("fd00::1", "private"),
    ("fd00:ec2::254", "metadata"),
    ("fd20:ce::254", "metadata"),
    ("fe80::1", "link-local"),
    ("fe80::1%eth0", "link-local"),
    ("febf::1", "link-local"),
    ("fec0::1", "site-local"),
    ("ff02::1", "multicast"),
    ("ff0e::1", "multicast"),
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.1",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2003::1",
    "2606:4700:4700::1111",
    "2a00:1450:4001:800::200e",
]
ODD_SPELLINGS = [
    "127.1",
    "127.0.1",
    "0x7f.1",
    "0x7f000001",
    "2130706433",
    "0177.0.0.1",
    "017700000001",
    "00000177.1",
    "0",
    "::FFFF:7f00:1",
    "0:0:0:0:0:0:0:1",
]


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_an_address_that_is_not_public_is_refused_and_told_why(text, reason):
    assert reason in why_refused(ip_address(text), 80)


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_may_be_reached(text):
    assert why_refused(ip_address(text), 443) is None


@pytest.mark.parametrize("spelling", ODD_SPELLINGS)
def test_loopback_is_refused_however_it_is_spelled(spelling):
    for found in socket.getaddrinfo(spelling, 80, type=socket.SOCK_STREAM):
        assert why_refused(ip_address(found[4][0]), 80)


@given(st.ip_addresses())
def test_what_python_knows_to_be_inside_is_never_let_through(address):
    inside = address.is_private or address.is_multicast or address.is_reserved
    assert not inside or why_refused(address, 80) or stands_for_another(address)


@given(st.ip_addresses(v=4))
def test_an_address_wrapped_into_ipv6_is_judged_by_what_it_stands_for(address):
    for prefix in ("::ffff:", "64:ff9b::"):
        assert why_refused(IPv6Address(f"{prefix}{address}"), 80) == why_refused(address, 80)


def stands_for_another(address):
    # 3.11 counts all of ::ffff:0:0/96 as private; 64:ff9b::/96 lies in what is_reserved covers.
    nat64 = parse_allow("64:ff9b::/96").network
    return address.version == 6 and (address.ipv4_mapped or address in nat64)


@pytest.mark.parametrize(
    ("rule", "address", "port", "through"),
    [
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "10.1.2.3", 5432, True),
        ("10.0.0.0/8", "11.1.2.3", 80, True),
        ("10.0.0.0/8", "192.168.0.1", 80, False),
        ("127.0.0.1/32:8080", "127.0.0.1", 8080, True),
        ("127.0.0.1/32:8080", "127.0.0.1", 8081, False),
        ("127.0.0.1/32:8080", "127.0.0.2", 8080, False),
        ("127.0.0.1:8080", "::ffff:127.0.0.1", 8080, True),
        ("127.0.0.1", "127.0.0.1", 1, True),
        ("127.0.0.1", "64:ff9b::127.0.0.1", 1, False),
        ("0.0.0.0/0", "::1", 80, False),
        ("::/0", "127.0.0.1", 80, False),
        ("fd00::/8", "fd12::1", 80, True),
        ("[::1]:8080", "::1", 8080, True),
        ("[::1]:8080", "::1", 80, False),
        ("::1/128:8080", "::1", 8080, True),
        ("fe80::/10", "fe80::1%eth0", 80, True),
    ],
)
def test_a_rule_lets_through_what_it_names_and_nothing_else(rule, address, port, through):
    def let_through():
        allow([parse_allow(rule)])
        return why_refused(ip_address(address), port) is None

    assert contextvars.copy_context().run(let_through) is through


@pytest.mark.parametrize(
    ("text", "network", "port"),
    [
        ("10.0.0.0/8", "10.0.0.0/8", None),
        (" 10.1.2.3 ", "10.1.2.3/32", None),
        ("10.1.2.3:443", "10.1.2.3/32", 443),
        ("127.0.0.1/32:8080", "127.0.0.1/32", 8080),
        ("FD00::/8", "fd00::/8", None),
        ("::1", "::1/128", None),
        ("[::1]", "::1/128", None),
        ("[::1]:1", "::1/128", 1),
        ("[fd00::]/8:65535", "fd00::/8", 65535),
        ("64:ff9b::/96", "64:ff9b::/96", None),
    ],
)
def test_a_rule_is_read_as_it_is_written(text, network, port):
    rule = parse_allow(text)

    assert (str(rule.network), rule.port) == (network, port)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not a network, like"),
        ("localhost", "is not a network, like"),
        ("10.0.0.0/8:", "is not a network, like"),
        ("10.0.0.0/", "is not a network, like"),
        ("10.0.0.0/8:http", "is not a network, like"),
        ("[::1", "is not a network, like"),
        ("10.0.0.0/8 127.0.0.1", "is not a network, like"),
        ("10.0.0.1/8", "has host bits set"),
        ("10.0.0/8", "is not a network"),
        ("127.1", "is not a network"),
        ("0177.0.0.1", "is not a network"),
        ("10.0.0.0/33", "is not a network"),
        ("::/129", "is not a network"),
        ("127.0.0.1:0", "not between 1 and 65535"),
        ("127.0.0.1:65536", "not between 1 and 65535"),
    ],
)
def test_a_rule_that_is_wrong_is_told_what_is_wrong_with_it(text, complaint):
    with pytest.raises(ValueError, match=complaint) as caught:
        parse_allow(text)
    assert repr(text) in str(caught.value)


@given(st.text(max_size=30))
def test_any_text_is_read_as_a_rule_or_refused_with_a_sentence(text):
    try:
        read = parse_allow(text)
    except ValueError as error:
        read = str(error)
    assert isinstance(read, Allow) or repr(text) in read


def test_a_refusal_names_the_address_and_the_rule_that_would_let_it_through():
    for text in ("127.0.0.1", "::1", "fe80::1%eth0", "::ffff:10.0.0.1"):
        address = ip_address(text)
        with pytest.raises(AddressRefused, match="--http-allow") as caught:
            check("inside.test", address, 8080)

        assert f"({address})" in str(caught.value)
        rule = str(caught.value).split("--http-allow ")[1].rstrip(".")
        assert parse_allow(rule).covers(address, 8080)


def test_rules_stay_in_the_context_that_set_them():
    rules = (parse_allow("127.0.0.1"),)

    def one_service():
        allow(rules)
        return allowed.get()

    assert contextvars.copy_context().run(one_service) == rules
    assert allowed.get() == ()
