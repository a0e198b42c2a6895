"""The secrets of webhooks, and how messages are signed: as Standard Webhooks has it, so that libraries know it."""

import base64
import binascii
import hashlib
import hmac
import secrets

PREFIX = "whsec_"


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
