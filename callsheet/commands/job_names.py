"""What a job of cron is called: by the program that it runs, and the file that this is about."""

import hashlib
import re
from collections.abc import Iterator

MOST = 60  # characters of a name, before what tells it from others

_REDIRECTION = re.compile(r"[0-9&]*(?:>>?|<)\s*(?:&[0-9-]|[^\s;&|]+)")
_TEST = re.compile(r"(?:\btest\s|\[\s)[^;&|\]]*\]?")  # and what it looks at, which is not what runs
_ELSEWHERE = re.compile(r"\b(?:cd|command -v)\s+[^\s;&|]+")
_WORDS = re.compile(r"[\s;&|(){}\"'`]+")
_BEFORE = frozenset((
    "", ".", "!", "command", "exec", "nice", "ionice", "env", "time", "timeout", "flock", "chronic", "sudo", "if",
    "then", "else", "fi", "while", "do", "done", "true",
))  # fmt: skip
_STRANGE = re.compile(r"[^A-Za-z0-9._-]+")


def slug(owner: str, command: str, stdin: str | None) -> str:
    """Return an id that says what runs, and stays the same when its times change."""
    digest = hashlib.sha256(f"{owner}\0{command}\0{stdin}".encode()).hexdigest()[:6]
    return f"{'-'.join(_named(command))[:MOST].rstrip('-._') or 'job'}-{digest}"


def _named(command: str) -> Iterator[str]:
    """Yield the name of the program, and that of the first file which it is given."""
    words = list(_words(command))
    files = [word for word in words[1:] if "/" in word]
    for word in words[:1] + files[:1]:
        name = _STRANGE.sub("-", word.rstrip("/").rsplit("/", 1)[-1]).strip("-._")
        if name:
            yield name


def _words(command: str) -> Iterator[str]:
    """Yield the words of a command without what only prepares it, its options and its numbers."""
    text = command
    for noise in (_REDIRECTION, _TEST, _ELSEWHERE):
        text = noise.sub(" ", text)
    for word in _WORDS.split(text):
        is_value = "=" in word or word.startswith("-") or re.fullmatch(r"[0-9]+[smhd]?", word)
        if not is_value and word not in _BEFORE:
            yield word
