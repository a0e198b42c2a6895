"""API keys: what they look like, what is kept of them, and what their roles may do. Pure; nothing is stored here."""

import hashlib
import re
import secrets
from uuid import UUID

from attrs import frozen

ROLES = ("viewer", "operator", "admin")  # each may do all that those before it may
PREFIX = "csk_"  # by which scanners for leaked secrets can know one of ours
SHORTEST = 16  # characters of a key that somebody made up
RESERVED = ("api", "cli", "configuration")  # names of callers that have no token


@frozen
class Caller:
    """Who sends a request: the name that is written down, the role, and the token (None: it has none)."""

    name: str
    role: str
    token: UUID | None = None


_ANYWHERE = re.compile(PREFIX + r"[A-Za-z0-9_-]{8,}")

KEYLESS = Caller("api", "admin")  # whoever calls while no key is needed
CONFIGURED = Caller("configuration", "admin")  # who has the key of the settings


def new_token() -> str:
    """Return a new secret of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def hidden(text: str) -> str:
    """Return a text that somebody else made up without the keys in it: people put them where they do not belong."""
    return _ANYWHERE.sub(f"{PREFIX}…", text) if PREFIX in text else text


def hash_of(secret: str) -> str:
    """Return what is kept of a secret: as it is random, one round of SHA-256 cannot be turned back."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def may(role: str, needed: str) -> bool:
    """Tell whether a role is as much as is needed."""
    return ROLES.index(role) >= ROLES.index(needed)


def check_name(name: object) -> str:
    """Check the name of a token; ValueError tells what is wrong."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name, re.ASCII):
        raise ValueError("must be 1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit")
    if name in RESERVED:
        raise ValueError(f"cannot be {name}: callers without a token are called that")
    return name


def check_secret(secret: str) -> str:
    """Check a key that somebody made up; ValueError tells what is wrong with it, but not what it is."""
    if len(secret) < SHORTEST or not re.fullmatch(r"[!-~]+", secret):
        raise ValueError(f"must be at least {SHORTEST} visible ASCII characters without spaces")
    return secret
