"""What a webhook subscribes to, how its messages look, and how they are signed: pure rules, by two public standards.

A message is a CloudEvent (1.0, JSON); its signature is that of Standard Webhooks, so that the receiver's library knows
both.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Any

from callsheet.lifecycle import FATES, OUTCOMES
from callsheet.tasks.retry import Retry

WORDS = (*OUTCOMES, *FATES)
EVERYTHING = "*"
OWN = "webhook."  # events about webhooks go to none: a message that cannot be delivered must not make others
BACKOFF = Retry(0, backoff="5s..1h")
PREFIX = "whsec_"

_NAME = re.compile(r"[a-z_]+\.([a-z_]+|\*)", re.ASCII)


def check_name(text: object) -> str:
    """Check what a webhook may subscribe to: a type, a family of types, an outcome, a fate, or everything."""
    if not isinstance(text, str) or not (text in (*WORDS, EVERYTHING) or _NAME.fullmatch(text)):
        words = ", ".join(WORDS)
        raise ValueError(f"must hold types like instance.ended, families like instance.*, {words}, or *")
    return text


def takes(names: tuple[str, ...], kind: str, data: Mapping[str, Any]) -> bool:
    """Tell whether an event of this type, with this data, is among what was subscribed to."""
    if kind.startswith(OWN):
        return False
    word = {"instance.ended": "outcome", "due.omitted": "fate"}.get(kind)
    known = {EVERYTHING, kind, kind.partition(".")[0] + ".*"} | ({data.get(word)} if word else set())
    return not known.isdisjoint(names)


def new_secret() -> str:
    """Make up a secret."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def check_secret(value: object) -> str:
    """Check a secret that somebody brings along: `whsec_` and 24 to 64 bytes in base64."""
    if not isinstance(value, str) or not value.startswith(PREFIX) or not 24 <= len(_key(value)) <= 64:
        raise ValueError(f"must be {PREFIX} and 24 to 64 random bytes in base64")
    return value


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return b""


def signed(secret: str, message: str, at: int, body: bytes) -> dict[str, str]:
    """Return the headers of a message that is sent `at` (seconds since the epoch)."""
    digest = hmac.digest(_key(secret), f"{message}.{at}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": message,
        "webhook-timestamp": str(at),
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


def cloud_event(source: str, event: dict[str, Any]) -> dict[str, Any]:
    """Return an event, as the API shows it, as a CloudEvent; `data` is the same object."""
    schedule = event["schedule"]
    subject = event["instance"] or (schedule and f"/v1/schedules/{schedule}")
    return {
        "specversion": "1.0",
        "id": str(event["id"]),
        "source": source,
        "type": f"callsheet.{event['type']}",
        "time": event["at"],
        **({"subject": subject} if subject else {}),
        "datacontenttype": "application/json",
        "data": event,
    }
