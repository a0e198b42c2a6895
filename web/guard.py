"""The gate in front of every route and stream: who calls, how often, and whether that role may do this.

While no key is asked for, this machine alone is answered. A page in a browser can reach loopback, too. It cannot
choose the `Host` of a request without owning the name (DNS rebinding), nor hide where the request comes from; so both
are looked at.
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from quart import Quart, Response, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import NotFound

from callsheet.errors import CallsheetError, RefusedToStart
from web.gate import Gate

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}

_ODD = re.compile(rb"//|%2F|%5C", re.IGNORECASE)  # slashes that some read as none
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]+)(?::([0-9]{1,5}))?", re.ASCII)
_ORIGIN = re.compile(r"(https?)://([^/?#@]+)", re.ASCII)
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class MisdirectedRequest(CallsheetError):
    """The request was meant for another host than this machine."""

    status = 421
    kind = "misdirected"
    title = "This server answers to loopback names only"

    def __init__(self, host: str) -> None:
        super().__init__(f"Without an API key only localhost is answered, not {host[:100]!r}.")


class CrossSite(CallsheetError):
    """A web page of another origin sent the request."""

    status = 403
    kind = "cross-site"
    title = "Web pages of other origins may not change anything here"


def check_bind(host: str, *, insecure: bool, keyed: bool = False) -> None:
    """Raise RefusedToStart unless `host` is loopback, callers need a key, or `insecure` says that this is meant."""
    if not insecure and not keyed and not _is_loopback(host):
        raise RefusedToStart(
            f"Refusing to listen on {host or 'every address'}: anybody who reaches it could run tasks."
            " Make a key with `callsheet token create` or set CALLSHEET_API_KEY, listen on 127.0.0.1,"
            " or say --insecure-no-auth if that is what you want."
        )


def check(method: str, headers: Headers, *, insecure: bool) -> CallsheetError | None:
    """Return why this request is refused, or None; `insecure` lets any `Host` through."""
    refusal = None if insecure else check_host(headers)
    return refusal or check_origin(method, headers)


def check_host(headers: Headers) -> MisdirectedRequest | None:
    """Refuse a request that does not name exactly one host, which is loopback."""
    hosts = headers.getlist("Host")
    found = _AUTHORITY.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if found and _is_loopback(found[1].strip("[]")):
        return None
    return MisdirectedRequest(", ".join(hosts))


def check_origin(method: str, headers: Headers) -> CrossSite | None:
    """Refuse what a page of another origin sends, unless it is only to read; programs send neither header."""
    if method in SAFE_METHODS:
        return None
    if not set(headers.getlist("Sec-Fetch-Site")) <= {"same-origin", "none"}:
        return CrossSite("The browser says that another site sent this request.")
    origins, hosts = headers.getlist("Origin"), headers.getlist("Host")
    if origins and not (len(origins) == len(hosts) == 1 and _is_own(origins[0], hosts[0])):
        return CrossSite(f"The request comes from {', '.join(origins)[:100]!r}, not from here.")
    return None


def install(app: Quart, *, insecure: bool, gate: Gate | None = None) -> None:
    """Check every request to `app` before its view and its body, and set the security headers on every answer.

    A view that needs another policy (a page with its own style) sets that header itself.
    """

    gate = gate or Gate()

    @app.before_request
    async def refuse() -> None:
        if _ODD.search(request.scope["raw_path"]):  # what a proxy took for another address, and let through
            raise NotFound
        refusal = check(request.method, request.headers, insecure=insecure or gate.keyring.needed)
        if refusal:
            raise refusal
        gate.admit()

    @app.after_request
    async def secure(response: Response) -> Response:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        gate.see_off(response)
        return response


def _is_loopback(name: str) -> bool:
    """Tell whether a name or address can only be this machine; no name server is asked."""
    if name.lower() == "localhost":
        return True
    try:
        return IPv6Address(name) == IPv6Address("::1") if ":" in name else IPv4Address(name).is_loopback
    except AddressValueError:
        return False


def _is_own(origin: str, host: str) -> bool:
    """Tell whether an `Origin` is the one this `Host` has; a proxy may have taken the TLS off."""
    found = _ORIGIN.fullmatch(origin)
    return found is not None and _split(found[2], found[1]) == _split(host, found[1]) is not None


def _split(authority: str, scheme: str) -> tuple[str, str] | None:
    found = _AUTHORITY.fullmatch(authority)
    return (found[1].lower(), found[2] or _DEFAULT_PORTS[scheme]) if found else None
