"""The guard of outgoing requests: which addresses are refused, and what lets one through.

Own tables, because `ipaddress` answers another question: its `is_private` and `is_global` let
through addresses that end inside a network (64:ff9b::7f00:1, 2002:7f00:1::, ::127.0.0.1, fec0::1),
and their answers change with the Python version. What is not known to be public is refused
(docs/decisions/0008).
"""

import re
from collections.abc import Iterable
from contextvars import ContextVar
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from attrs import frozen

from callsheet.errors import CallsheetError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# The first network that holds an address names the reason, so narrow ones stand before wide ones.
_REFUSED_4 = tuple(
    (IPv4Network(network), reason)
    for network, reason in (
        ("169.254.169.254/32", "a cloud metadata address"),
        ("169.254.170.2/32", "a cloud metadata address"),
        ("100.100.100.200/32", "a cloud metadata address"),
        ("168.63.129.16/32", "a cloud metadata address"),
        ("192.0.0.192/32", "a cloud metadata address"),
        ("255.255.255.255/32", "the broadcast address"),
        ("0.0.0.0/32", "the unspecified address"),
        ("0.0.0.0/8", "an address of this very network"),
        ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "a shared (carrier-grade NAT) address"),
        ("127.0.0.0/8", "a loopback address"),
        ("169.254.0.0/16", "a link-local address"),
        ("172.16.0.0/12", "a private address"),
        ("192.0.0.0/24", "a reserved address"),
        ("192.0.2.0/24", "a documentation address"),
        ("192.88.99.0/24", "a 6to4 relay address"),
        ("192.168.0.0/16", "a private address"),
        ("198.18.0.0/15", "a benchmarking address"),
        ("198.51.100.0/24", "a documentation address"),
        ("203.0.113.0/24", "a documentation address"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved address"),
    )
)
_REFUSED_6 = tuple(
    (IPv6Network(network), reason)
    for network, reason in (
        ("fd00:ec2::254/128", "a cloud metadata address"),
        ("fd20:ce::254/128", "a cloud metadata address"),
        ("::/128", "the unspecified address"),
        ("::1/128", "a loopback address"),
        ("::/96", "an IPv4-compatible address"),
        ("64:ff9b:1::/48", "a local NAT64 address"),
        ("100::/64", "a discard address"),
        ("2001::/32", "a Teredo address"),
        ("2001::/23", "a reserved address"),
        ("2001:db8::/32", "a documentation address"),
        ("2002::/16", "a 6to4 address"),
        ("3fff::/20", "a documentation address"),
        ("fc00::/7", "a private address"),
        ("fe80::/10", "a link-local address"),
        ("fec0::/10", "a site-local address"),
        ("ff00::/8", "a multicast address"),
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")

_RULE = re.compile(
    r"(?:(?P<v4>[0-9.]+)|\[(?P<boxed>[0-9a-f:.]+)\]|(?P<v6>[0-9a-f:.]+)(?=/|$))"
    r"(?:/(?P<length>[0-9]{1,3}))?(?::(?P<port>[0-9]{1,5}))?",
    re.ASCII | re.IGNORECASE,
)


class AddressRefused(CallsheetError):
    """The guard does not let requests go there."""

    kind = "address-refused"
    title = "That address is refused"


@frozen
class Allow:
    """One `--http-allow` rule: a network, and the only port there if it names one."""

    network: Network
    port: int | None = None

    def covers(self, address: Address, port: int) -> bool:
        """Tell whether this rule lets a connection to `address` and `port` through."""
        return self.port in (None, port) and (address in self.network or _mapped(address) in self.network)


allowed: ContextVar[tuple[Allow, ...]] = ContextVar("allowed", default=())


def allow(rules: Iterable[Allow]) -> None:
    """Let these through, from now on, in this context and in the tasks that are started from it."""
    allowed.set(tuple(rules))


def parse_allow(text: str) -> Allow:
    """Read "10.0.0.0/8", "127.0.0.1/32:8080" or "[::1]:8080"; ValueError says what is wrong."""
    found = _RULE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a network, like 10.0.0.0/8, 127.0.0.1/32:8080 or [::1]:8080")
    base = found["v4"] or found["boxed"] or found["v6"]
    try:
        network = ip_network(f"{base}/{found['length']}" if found["length"] else base)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a network: {error}") from None
    return Allow(network, _port(text, found["port"]))


def _port(text: str, digits: str | None) -> int | None:
    if digits is None:
        return None
    if not 1 <= int(digits) <= 65_535:
        raise ValueError(f"{text!r} names a port that is not between 1 and 65535")
    return int(digits)


def why_refused(address: Address, port: int) -> str | None:
    """Say what kind of address it is that is refused, or None if a connection may go there."""
    reason = _kind(address)
    if reason is None or any(rule.covers(address, port) for rule in allowed.get()):
        return None
    return reason


def check(host: str, address: Address, port: int) -> None:
    """Raise AddressRefused unless a connection to `address`, found for `host`, may be made."""
    reason = why_refused(address, port)
    if reason is not None:
        where = str(address) if host == str(address) else f"{host} ({address})"
        raise AddressRefused(
            f"{where} is {reason}, where no request may go; "
            f"if it is meant, start the service with --http-allow {_rule_for(address, port)}."
        )


def _rule_for(address: Address, port: int) -> str:
    bare = ip_address(_mapped(address).packed)  # without the zone of fe80::1%eth0
    return f"{bare}/{bare.max_prefixlen}:{port}"


def _kind(address: Address) -> str | None:
    address = _mapped(address)
    if isinstance(address, IPv4Address):
        return next((reason for network, reason in _REFUSED_4 if address in network), None)
    if address in _NAT64:
        return _kind(IPv4Address(int(address) & 0xFFFF_FFFF))
    reason = next((reason for network, reason in _REFUSED_6 if address in network), None)
    return reason or (None if address in _GLOBAL_UNICAST else "a reserved address")


def _mapped(address: Address) -> Address:
    """Give the IPv4 address that an IPv4-mapped one (::ffff:127.0.0.1) stands for."""
    return getattr(address, "ipv4_mapped", None) or address
