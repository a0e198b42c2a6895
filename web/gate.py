"""The gate for callers: their key, their pace and their role, before a byte of the body is read."""

import logging
from collections.abc import Callable
from math import ceil

import trio
from attrs import define, field
from quart import Response, current_app, g, request

from callsheet.errors import CallsheetError
from callsheet.logs import told
from callsheet.tokens import KEYLESS, Caller, may
from web.keyring import Keyring
from web.pace import Pace, Quota
from web.roles import OPEN, needed_role

log = logging.getLogger("callsheet.web")

FAILURES = 0.2, 20  # wrong keys from one address: one in 5 s, 20 at once


class Unauthenticated(CallsheetError):
    """The request has no key, or one that opens nothing."""

    status = 401
    kind = "unauthenticated"
    title = "This needs an API key"

    def __init__(self, detail: str, *, wrong: bool = False) -> None:
        super().__init__(detail)
        self.headers = {"WWW-Authenticate": 'Bearer realm="callsheet"' + (', error="invalid_token"' if wrong else "")}


class Forbidden(CallsheetError):
    """The key is good, but its role may not do this."""

    status = 403
    kind = "forbidden"
    title = "This needs another role"

    def __init__(self, caller: Caller, needed: str) -> None:
        super().__init__(f"The key {caller.name!r} has the role {caller.role}; this needs {needed}.")
        self.headers = {"WWW-Authenticate": f'Bearer realm="callsheet", error="insufficient_scope", scope="{needed}"'}
        self.members = {"needed_role": needed}


class TooMany(CallsheetError):
    """The caller asks more often than it may."""

    status = 429
    kind = "too-many-requests"
    title = "Too many requests"

    def __init__(self, detail: str, wait: float) -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": str(max(ceil(wait), 1))}


def _monotonic() -> int:
    return int(trio.current_time() * 1_000_000)


@define(eq=False)
class Gate:
    """Lets callers in; `pace` (None: no limit) is for each key, or each address while no key is asked for."""

    keyring: Keyring = field(factory=Keyring)
    pace: Pace | None = None
    failures: Pace = field(factory=lambda: Pace(*FAILURES))
    ticks: Callable[[], int] = _monotonic  # microseconds on a clock that does not jump

    def admit(self) -> None:
        """Check the request at hand and note who calls; raise why it is refused."""
        rule = getattr(request.url_rule, "rule", None)
        if rule in OPEN:
            return
        g.caller = caller = self._authenticate() if self.keyring.needed else KEYLESS
        self._slow_down(caller)
        needed = needed_role(request.method, rule)
        if not may(caller.role, needed):
            raise Forbidden(caller, needed)

    def see_off(self, response: Response) -> None:
        """Say what is left to the caller; bind a stream to the key of its caller."""
        quota: Quota | None = g.get("quota")
        response.headers.update(self.left(quota))
        stream = request.scope.get("callsheet.stream")
        if getattr(response, "timeout", ...) is None and isinstance(stream, trio.CancelScope):
            self.keyring.hold(caller_at_hand(), stream, current_app.config["SITE"].clock.now())

    def caller_with(self, authorization: str, now: int) -> Caller | None:
        """Return who shows this `Authorization`, None if it opens nothing."""
        scheme, _, secret = authorization.partition(" ")
        return self.keyring.caller(secret.strip(" "), now) if scheme.lower() == "bearer" else None

    def pace_of(self, caller: Caller, address: str) -> Quota | None:
        """Take one request from what is left to a caller; None when there is no limit."""
        return None if self.pace is None else self.pace.take(_who(caller, address), self.ticks())

    def welcomes(self, caller: Caller, address: str) -> bool:
        """Tell whether a request of a caller would be within its pace, and take none."""
        return self.pace is None or self.pace.look(_who(caller, address), self.ticks()).welcome

    def left(self, quota: Quota | None) -> dict[str, str]:
        """Return the headers that say what is left to the caller."""
        if self.pace is None or quota is None:
            return {}
        return {
            "RateLimit-Policy": f'"default";q={self.pace.burst};w={self.pace.window}',
            "RateLimit": f'"default";r={quota.left};t={ceil(quota.full)}',
        }

    def _authenticate(self) -> Caller:
        given = request.headers.getlist("Authorization")
        if not given:
            raise Unauthenticated("Send an API key: Authorization: Bearer csk_….")
        caller = self.caller_with(given[0], current_app.config["SITE"].clock.now()) if len(given) == 1 else None
        return caller or self._turn_away()

    def _turn_away(self) -> Caller:
        """Refuse a wrong key. A good one is let in whatever others at its address tried: they may share a proxy."""
        address = _address()
        quota = self.failures.take(address, self.ticks())
        if not quota.welcome:
            raise TooMany("Too many wrong API keys came from your address.", quota.wait)
        if quota.left == 0:
            extra = told("keys.many_wrong", client=address)
            log.warning("many wrong API keys come from %s; they are answered 429 for a while", address, extra=extra)
        raise Unauthenticated("That is no API key of this service: it is wrong, revoked or expired.", wrong=True)

    def _slow_down(self, caller: Caller) -> None:
        g.quota = quota = self.pace_of(caller, _address())
        if self.pace is not None and quota is not None and not quota.welcome:
            raise TooMany(f"More than {self.pace.rate:g} requests a second are too many.", quota.wait)


def caller_at_hand() -> Caller:
    """Return who sent the request at hand."""
    caller: Caller = g.get("caller", KEYLESS)
    return caller


def _who(caller: Caller, address: str) -> str:
    return address if caller is KEYLESS else str(caller.token or caller.name)


def _address() -> str:
    client = request.scope.get("client")
    return client[0] if client else "?"
